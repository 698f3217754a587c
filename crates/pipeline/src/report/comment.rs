//! `cargo pipeline comment` reports the coverage to the forge: as a comment on a pull request, or as a commit status on a
//! branch. Comments on later pull requests compare with the status, so nothing else has to be stored.

use crate::api::{Api, Kind};
use crate::checks::coverage::{CoverageReport, PACKAGES, REPORT, change, percent};
use crate::checks::thresholds::Thresholds;
use crate::markdown;
use crate::project::root;
use crate::workflow::{self, Event, Payload, WorkflowRunPayload, is_commit, short};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variables with a token: of a separate account, or of the job.
const TOKENS: [&str; 2] = ["COMMENT_TOKEN", "GITHUB_TOKEN"];

/// The start of our comment. Readers do not see it.
const MARKER: &str = "<!-- waybill:coverage -->";

/// The name of the commit status.
const STATUS: &str = "coverage";

/// How many commits of the base branch are searched for a status. Commits of the delivery bot have none.
const COMMITS: usize = 20;

/// How many files of the pull request the comment lists.
const FILES: usize = 10;

/// Report the measured coverage to the forge.
///
/// For a pull request, writes one comment, which later runs update. For a push, sets the commit status `coverage`; the
/// comments on pull requests compare with that of their base branch. In a `workflow_run`, comments on the open pull
/// request whose head was measured. `cargo pipeline coverage` must have run before.
#[derive(clap::Args)]
pub(crate) struct Comment {
    /// Coverage report of the base branch, to compare files too [default: its commit status, without files]
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Only print a notice if the report fails
    #[arg(long)]
    optional: bool,
}

impl Comment {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let event = Event::from_env()?;
        let base = self.base.as_deref().map(CoverageReport::read).transpose()?;
        let coverage = CoverageComment {
            floor: Thresholds::read(&root)?.coverage.floor,
            report: CoverageReport::read(&root.join(REPORT))?,
            base: base.map(Baseline::from),
        };
        // In a `workflow_run`, the report belongs to another commit than this run.
        let other = event.name == "workflow_run";
        let measured = &coverage.report.commit;
        ensure!(
            other || *measured == event.sha,
            "{REPORT} is for {}, but this run is for {}: run `cargo pipeline coverage` first",
            short(measured),
            short(&event.sha)
        );
        let Err(error) = coverage.send(&event) else {
            return Ok(());
        };
        print!("{}", coverage.report.table(coverage.floor, None));
        if !self.optional {
            return Err(error);
        }
        let message = format!("the coverage was not reported: {error:#}");
        println!("{message}");
        workflow::annotate_notice(&message);
        Ok(())
    }
}

/// The coverage to report.
struct CoverageComment {
    floor: f64,
    report: CoverageReport,
    base: Option<Baseline>,
}

/// The coverage to compare with.
struct Baseline {
    commit: String,
    /// In tenths of a percent, by package.
    packages: BTreeMap<String, u64>,
    /// In tenths of a percent, by file. Empty if only the packages are known.
    files: BTreeMap<String, u64>,
}

impl From<CoverageReport> for Baseline {
    fn from(report: CoverageReport) -> Self {
        let packages = PACKAGES.iter().map(|package| {
            let lines = report.package(package);
            (package.name.to_owned(), lines.permille())
        });
        let files = report.files.iter();
        Self {
            packages: packages.collect(),
            files: files
                .map(|(file, l)| (file.clone(), l.permille()))
                .collect(),
            commit: report.commit,
        }
    }
}

/// The current state of a pull request.
struct PullRequest {
    number: u64,
    head: String,
    base: String,
}

impl PullRequest {
    fn parse(value: &Value) -> Result<Self> {
        let commit = |pointer: &str| {
            let sha = value.pointer(pointer).and_then(Value::as_str);
            sha.filter(|sha| is_commit(sha)).map(str::to_owned)
        };
        let pull = || {
            Some(Self {
                number: value["number"].as_u64()?,
                head: commit("/head/sha")?,
                base: commit("/base/sha")?,
            })
        };
        pull().context("the forge returned a pull request without a number, head or base")
    }
}

impl CoverageComment {
    fn send(&self, event: &Event) -> Result<()> {
        ensure!(
            TOKENS.iter().any(|name| workflow::var(name).is_some()),
            "neither {} is set",
            TOKENS.join(" nor ")
        );
        let api = Api::from_env(&TOKENS)?;
        match event.name.as_str() {
            "push" => self.set_status(&api, &event.sha),
            "pull_request" => {
                let pull = Payload::read()?.pull_request.unwrap_or_default();
                let number = pull
                    .number
                    .context("the event does not name its pull request")?;
                let measured = pull.head.sha;
                let pull = api
                    .get(&format!("/pulls/{number}"))?
                    .with_context(|| format!("the forge has no pull request {number}"))?;
                let pull = PullRequest::parse(&pull)?;
                match measured {
                    Some(head) if head == pull.head => self.comment(&api, &pull),
                    _ => {
                        println!("pull request {number} has newer commits; their run will comment");
                        Ok(())
                    }
                }
            }
            "workflow_run" => {
                let pulls = measured_pulls(&api, &Payload::read()?)?;
                if pulls.is_empty() {
                    println!("no open pull request has the head that was measured");
                }
                pulls.iter().try_for_each(|pull| self.comment(&api, pull))
            }
            other => bail!("the event `{other}` has no commit or pull request to report to"),
        }
    }

    fn set_status(&self, api: &Api, commit: &str) -> Result<()> {
        let packages = PACKAGES.iter().map(|package| {
            let lines = self.report.package(package);
            format!("{} {}", package.name, percent(lines.permille()))
        });
        let description = packages.collect::<Vec<_>>().join(", ");
        let reached = self.report.check(self.floor).is_ok();
        let status = json!({
            "context": STATUS,
            "description": description,
            "state": if reached { "success" } else { "failure" },
        });
        api.send("POST", &format!("/statuses/{commit}"), &status)?;
        println!("{}: {description}", short(commit));
        Ok(())
    }

    /// Writes our comment, or updates it.
    fn comment(&self, api: &Api, pull: &PullRequest) -> Result<()> {
        let PullRequest { number, .. } = pull;
        let author = author(api)?;
        let body = json!({"body": self.body(api, pull)?});
        let comments = api.list(&format!("/issues/{number}/comments"), None)?;
        // Anyone can write the marker, so the author must match too.
        let ours = comments.iter().find(|comment| {
            let text = comment["body"].as_str().unwrap_or_default();
            text.starts_with(MARKER) && comment["user"]["login"] == author
        });
        match ours {
            None => {
                api.send("POST", &format!("/issues/{number}/comments"), &body)?;
                println!("commented on pull request {number}");
            }
            Some(comment) if comment["body"] == body["body"] => {
                println!("the comment on pull request {number} is up to date");
            }
            Some(comment) => {
                let id = comment["id"]
                    .as_u64()
                    .context("the forge's comment has no id")?;
                api.send("PATCH", &format!("/issues/comments/{id}"), &body)?;
                println!("updated the comment on pull request {number}");
            }
        }
        Ok(())
    }

    fn body(&self, api: &Api, pull: &PullRequest) -> Result<String> {
        let found = match &self.base {
            Some(_) => None,
            None => base_status(api, &pull.base)?,
        };
        let base = self.base.as_ref().or(found.as_ref());
        let packages = base.map(|base| &base.packages);
        let against = match base {
            Some(base) => format!("compared with {}", short(&base.commit)),
            None => "the base branch has no coverage to compare with".to_owned(),
        };
        let table = self.report.table(self.floor, packages);
        let files = self.files(api, pull, base)?;
        let head = short(&pull.head);
        Ok(format!(
            "{MARKER}\n## Coverage\n\n{table}\n{files}Lines that tests run, at {head}; {against}.\n"
        ))
    }

    /// A table of the pull request's files. The largest drops come first, then the files with the most missing lines.
    fn files(&self, api: &Api, pull: &PullRequest, base: Option<&Baseline>) -> Result<String> {
        let changed = api.list(&format!("/pulls/{}/files", pull.number), None)?;
        let none = BTreeMap::new();
        let before = base.map_or(&none, |base| &base.files);
        let mut files: Vec<_> = changed
            .iter()
            .filter_map(|file| self.report.files.get_key_value(file["filename"].as_str()?))
            .filter(|(_, lines)| lines.missing() > 0)
            .map(|(file, lines)| (file, *lines, before.get(file).copied()))
            .collect();
        if files.is_empty() {
            return Ok(String::new());
        }
        files.sort_by_key(|(_, lines, before)| {
            let lost = before.map_or(0, |before| before.saturating_sub(lines.permille()));
            Reverse((lost, lines.missing()))
        });
        let mut rows = vec![["File", "Covered", "Base", "Change", "Missing"].map(String::from)];
        for (file, lines, before) in files.into_iter().take(FILES) {
            rows.push([
                format!("`{file}`"),
                percent(lines.permille()),
                before.map_or("unknown".into(), percent),
                before.map_or(String::new(), |before| change(lines.permille(), before)),
                format!("{} of {}", lines.missing(), lines.total),
            ]);
        }
        let columns: &[usize] = match before.is_empty() {
            true => &[0, 1, 4],
            false => &[0, 1, 2, 3, 4],
        };
        Ok(format!("{}\n", markdown::table(&rows, columns)))
    }
}

/// The user name of the account that comments.
fn author(api: &Api) -> Result<String> {
    if let Some(author) = workflow::var("COMMENT_AUTHOR") {
        return Ok(author);
    }
    ensure!(
        workflow::var(TOKENS[0]).is_none(),
        "{} is set, so COMMENT_AUTHOR must name the account of the token",
        TOKENS[0]
    );
    // The token of a job cannot read its own account. These are the accounts of the jobs.
    Ok(match api.kind() {
        Kind::GitHub => "github-actions[bot]".to_owned(),
        Kind::Gitea => "gitea-actions".to_owned(),
    })
}

/// The open pull requests whose head another run measured. Only the forge is asked: files of that run may come from a
/// stranger and could name any pull request.
fn measured_pulls(api: &Api, payload: &Payload) -> Result<Vec<PullRequest>> {
    let Some(WorkflowRunPayload {
        event: Some(event),
        head_sha,
        head_repository,
    }) = &payload.workflow_run
    else {
        return Ok(Vec::new());
    };
    // On Gitea, an updated pull request is a `pull_request_sync`.
    if !matches!(event.as_str(), "pull_request" | "pull_request_sync") {
        return Ok(Vec::new());
    }
    let head = head_sha.as_deref().unwrap_or_default();
    ensure!(
        is_commit(head),
        "the event does not name the commit that was measured"
    );
    // Gitea does not send the repository; the commit ID is enough there.
    let repository = head_repository
        .as_ref()
        .and_then(|repository| repository.full_name.as_deref());
    let pulls = api.list("/pulls?state=open", None)?;
    let measured = pulls.iter().filter(|pull| {
        let theirs = pull["head"]["repo"]["full_name"].as_str();
        pull["head"]["sha"] == head && (repository.is_none() || repository == theirs)
    });
    measured.map(PullRequest::parse).collect()
}

/// The newest coverage status of the base branch, at its tip or a little before it.
fn base_status(api: &Api, tip: &str) -> Result<Option<Baseline>> {
    let mut commit = tip.to_owned();
    for _ in 0..COMMITS {
        let statuses = api.list(&format!("/commits/{commit}/statuses"), None)?;
        let newest = statuses
            .iter()
            .filter(|status| status["context"] == STATUS)
            .max_by_key(|status| status["id"].as_u64());
        let packages = newest
            .and_then(|status| status["description"].as_str())
            .map(parse_status);
        if let Some(packages) = packages.filter(|packages| !packages.is_empty()) {
            let files = BTreeMap::new();
            return Ok(Some(Baseline {
                commit,
                packages,
                files,
            }));
        }
        let described = api.get(&format!("/git/commits/{commit}"))?;
        let parent = described
            .as_ref()
            .and_then(|commit| commit.pointer("/parents/0/sha"));
        match parent.and_then(Value::as_str).filter(|sha| is_commit(sha)) {
            Some(parent) => commit = parent.to_owned(),
            None => break,
        }
    }
    Ok(None)
}

/// The coverage in tenths of a percent by package, from a description such as `waybill 93.1 %, pipeline 91.0 %`.
fn parse_status(description: &str) -> BTreeMap<String, u64> {
    let package = |part: &str| {
        let (name, number) = part.trim().strip_suffix(" %")?.split_once(' ')?;
        let (whole, tenths) = number.split_once('.')?;
        let known = PACKAGES.iter().any(|package| package.name == name);
        let digits = |text: &str| text.parse::<u16>().ok().map(u64::from);
        let permille = digits(whole)? * 10 + digits(tenths)?;
        (known && tenths.len() == 1 && permille <= 1000).then(|| (name.to_owned(), permille))
    };
    description.split(',').filter_map(package).collect()
}
