//! `cargo pipeline comment` reports the coverage to the forge: as a comment on a pull request, or as a commit status on a
//! branch. Comments on later pull requests compare with the status, so nothing else has to be stored.

use crate::checks::coverage::{CoverageReport, Package, REPORT, change, percent};
use crate::checks::thresholds::Thresholds;
use crate::markdown::table;
use crate::project::root;
use crate::workflow::{self, Event, Payload, WorkflowRunPayload};
use anyhow::{Context, Result, bail, ensure};
use devkit::forge::{Forge, NewStatus, Pull, StatusState};
use devkit::git::{is_commit, short};
use devkit::text::{Markdown, code};
use devkit::{markdown, plain};
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
/// comments on pull requests compare with that of their base branch. In a `workflow_run`, does both for the open pull
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
        let packages = Package::all(&root)?;
        let coverage = CoverageComment {
            floor: Thresholds::read(&root)?.coverage.floor,
            report: CoverageReport::read(&root.join(REPORT))?,
            base: base.map(|report| Baseline::new(report, &packages)),
            packages,
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
        print!("{}", coverage.table(None).as_str());
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
    packages: Vec<Package>,
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

impl Baseline {
    fn new(report: CoverageReport, packages: &[Package]) -> Self {
        let packages = report.measured(packages).map(|package| {
            let lines = report.package(package);
            (package.name.clone(), lines.permille())
        });
        let packages: BTreeMap<String, u64> = packages.collect();
        let files = report.files.iter();
        Self {
            packages,
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
    fn new(pull: Pull) -> Result<Self> {
        let (head, base) = (pull.head.sha, pull.base.sha);
        ensure!(
            is_commit(&head) && is_commit(&base),
            "the forge returned pull request {} without the commits of its head and base",
            pull.number
        );
        Ok(Self {
            number: pull.number,
            head,
            base,
        })
    }
}

impl CoverageComment {
    fn table(&self, base: Option<&BTreeMap<String, u64>>) -> Markdown {
        self.report.table(&self.packages, self.floor, base)
    }

    fn send(&self, event: &Event) -> Result<()> {
        ensure!(
            TOKENS.iter().any(|name| workflow::var(name).is_some()),
            "neither {} is set",
            TOKENS.join(" nor ")
        );
        let forge = Forge::from_env(&TOKENS)?;
        match event.name.as_str() {
            "push" => self.set_status(&forge, &event.sha),
            "pull_request" => {
                let pull = Payload::read()?.pull_request.unwrap_or_default();
                let number = pull
                    .number
                    .context("the event does not name its pull request")?;
                let measured = pull.head.sha;
                let pull = PullRequest::new(forge.pull(number)?)?;
                match measured {
                    Some(head) if head == pull.head => self.comment(&forge, &pull),
                    _ => {
                        println!("pull request {number} has newer commits; their run will comment");
                        Ok(())
                    }
                }
            }
            "workflow_run" => {
                let pulls = measured_pulls(&forge, &Payload::read()?)?;
                if pulls.is_empty() {
                    println!("no open pull request has the head that was measured");
                }
                for pull in &pulls {
                    self.comment(&forge, pull)?;
                    // A later comment then compares with an earlier commit. Gitea's job token may not set a status.
                    if let Err(error) = self.set_status(&forge, &pull.head) {
                        let head = short(&pull.head);
                        workflow::annotate_warning(&format!(
                            "the coverage of {head} is not kept as a commit status: {error:#}"
                        ));
                    }
                }
                Ok(())
            }
            other => bail!("the event `{other}` has no commit or pull request to report to"),
        }
    }

    fn set_status(&self, forge: &Forge, commit: &str) -> Result<()> {
        if self.report.measured.is_empty() {
            println!("{}: no package was measured", short(commit));
            return Ok(());
        }
        let packages = self.report.measured(&self.packages).map(|package| {
            let lines = self.report.package(package);
            format!("{} {}", package.name, percent(lines.permille()))
        });
        let description = plain!("{}", packages.collect::<Vec<_>>().join(", "));
        let reached = self.report.check(&self.packages, self.floor).is_ok();
        let status = NewStatus {
            context: STATUS,
            state: match reached {
                true => StatusState::Success,
                false => StatusState::Failure,
            },
            description: &description,
        };
        if self.newest_status(forge, commit)?.as_deref() != Some(description.as_str()) {
            forge.set_status(commit, &status)?;
        }
        println!("{}: {}", short(commit), description.as_str());
        Ok(())
    }

    /// Writes our comment, or updates it.
    fn comment(&self, forge: &Forge, pull: &PullRequest) -> Result<()> {
        let number = pull.number;
        let author = author(forge)?;
        let body = self.body(forge, pull)?;
        let comments = forge.comments(number)?;
        // Anyone can write the marker, so the author must match too.
        let ours = comments
            .iter()
            .find(|comment| comment.body.starts_with(MARKER) && comment.user.login == author);
        match ours {
            None => {
                forge.create_comment(number, &body)?;
                println!("commented on pull request {number}");
            }
            Some(comment) if comment.body == body.as_str() => {
                println!("the comment on pull request {number} is up to date");
            }
            Some(comment) => {
                forge.edit_comment(comment.id, &body)?;
                println!("updated the comment on pull request {number}");
            }
        }
        Ok(())
    }

    fn body(&self, forge: &Forge, pull: &PullRequest) -> Result<Markdown> {
        let found = match &self.base {
            Some(_) => None,
            None => self.base_status(forge, &pull.base)?,
        };
        let base = self.base.as_ref().or(found.as_ref());
        let packages = base.map(|base| &base.packages);
        let against = match base {
            Some(base) => markdown!("compared with {}", short(&base.commit)),
            None => markdown!("the base branch has no coverage to compare with"),
        };
        let table = self.table(packages);
        let files = self.files(forge, pull, base)?;
        Ok(markdown!(
            "<!-- waybill:coverage -->\n## Coverage\n\n{}\n{}Lines that tests run, at {}; {}.\n",
            table,
            files,
            short(&pull.head),
            against
        ))
    }

    /// A table of the pull request's files. The largest drops come first, then the files with the most missing lines.
    fn files(
        &self,
        forge: &Forge,
        pull: &PullRequest,
        base: Option<&Baseline>,
    ) -> Result<Markdown> {
        let changed = forge.pull_files(pull.number)?;
        let none = BTreeMap::new();
        let before = base.map_or(&none, |base| &base.files);
        let mut files: Vec<_> = changed
            .iter()
            .filter_map(|file| self.report.files.get_key_value(&file.filename))
            .filter(|(_, lines)| lines.missing() > 0)
            .map(|(file, lines)| (file, *lines, before.get(file).copied()))
            .collect();
        if files.is_empty() {
            return Ok(Markdown::default());
        }
        files.sort_by_key(|(_, lines, before)| {
            let lost = before.map_or(0, |before| before.saturating_sub(lines.permille()));
            Reverse((lost, lines.missing()))
        });
        let head = ["File", "Covered", "Base", "Change", "Missing"];
        let mut rows = vec![head.map(|name| markdown!("{}", name))];
        for (file, lines, before) in files.into_iter().take(FILES) {
            rows.push([
                code(file),
                markdown!("{}", percent(lines.permille())),
                markdown!("{}", before.map_or("unknown".into(), percent)),
                before.map_or(Markdown::default(), |before| {
                    markdown!("{}", change(lines.permille(), before))
                }),
                markdown!("{} of {}", lines.missing(), lines.total),
            ]);
        }
        let columns: &[usize] = match before.is_empty() {
            true => &[0, 1, 4],
            false => &[0, 1, 2, 3, 4],
        };
        Ok(markdown!("{}\n", table(&rows, columns)))
    }

    /// The newest coverage of each package on the base branch, at its tip or a little before it.
    ///
    /// A run that merges a pull request does not measure again, so the heads of merged pull requests count too.
    fn base_status(&self, forge: &Forge, tip: &str) -> Result<Option<Baseline>> {
        let mut packages = BTreeMap::new();
        let mut newest = None;
        let mut commit = tip.to_owned();
        for _ in 0..COMMITS {
            let described = forge.find_commit(&commit)?;
            let parents = described.map_or_else(Vec::new, |commit| commit.parents);
            let merged = parents.get(1).filter(|sha| is_commit(sha));
            for measured in std::iter::once(&commit).chain(merged) {
                for (name, permille) in self.status(forge, measured)? {
                    newest.get_or_insert_with(|| measured.clone());
                    packages.entry(name).or_insert(permille);
                }
            }
            if packages.len() == self.packages.len() {
                break;
            }
            match parents.into_iter().next().filter(|sha| is_commit(sha)) {
                Some(parent) => commit = parent,
                None => break,
            }
        }
        Ok(newest.map(|commit| Baseline {
            commit,
            packages,
            files: BTreeMap::new(),
        }))
    }

    /// The coverage by package that the status of a commit tells.
    fn status(&self, forge: &Forge, commit: &str) -> Result<BTreeMap<String, u64>> {
        let description = self.newest_status(forge, commit)?.unwrap_or_default();
        Ok(parse_status(&self.packages, &description))
    }

    fn newest_status(&self, forge: &Forge, commit: &str) -> Result<Option<String>> {
        let statuses = forge.statuses(commit)?.into_iter();
        let ours = statuses.filter(|status| status.context == STATUS);
        Ok(ours
            .max_by_key(|status| status.id)
            .map(|status| status.description))
    }
}

/// The user name of the account that comments.
fn author(forge: &Forge) -> Result<String> {
    if let Some(author) = workflow::var("COMMENT_AUTHOR") {
        return Ok(author);
    }
    ensure!(
        workflow::var(TOKENS[0]).is_none(),
        "{} is set, so COMMENT_AUTHOR must name the account of the token",
        TOKENS[0]
    );
    Ok(forge.job_account().to_owned())
}

/// The open pull requests whose head another run measured. Only the forge is asked: files of that run may come from a
/// stranger and could name any pull request.
fn measured_pulls(forge: &Forge, payload: &Payload) -> Result<Vec<PullRequest>> {
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
    let pulls = forge.open_pulls(None)?.into_iter();
    let measured = pulls.filter(|pull| {
        let theirs = pull.head.repo.as_ref().map(|repo| repo.full_name.as_str());
        pull.head.sha == head && (repository.is_none() || repository == theirs)
    });
    measured.map(PullRequest::new).collect()
}

/// The coverage in tenths of a percent by package, from a description such as `devkit 93.1 %, pipeline 91.0 %`.
fn parse_status(packages: &[Package], description: &str) -> BTreeMap<String, u64> {
    let package = |part: &str| {
        let (name, number) = part.trim().strip_suffix(" %")?.split_once(' ')?;
        let (whole, tenths) = number.split_once('.')?;
        let known = packages.iter().any(|package| package.name == name);
        let digits = |text: &str| text.parse::<u16>().ok().map(u64::from);
        let permille = digits(whole)? * 10 + digits(tenths)?;
        (known && tenths.len() == 1 && permille <= 1000).then(|| (name.to_owned(), permille))
    };
    description.split(',').filter_map(package).collect()
}
