//! Tells the forge what `coverage` measured: a pull request by a comment, a branch by a commit status. The status
//! is where the comments of later pull requests find what to compare with, so nothing has to be kept elsewhere.

use crate::Outcome;
use crate::api::{Api, Kind};
use crate::checks::coverage::{FIGURES, Figures, PACKAGES, change, floor, markdown, percent};
use crate::deliver::plan::payload;
use crate::project::root;
use crate::workflow::{self, Event, is_commit, short};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The first is for an account of its own; the second is the job's.
const TOKENS: [&str; 2] = ["COMMENT_TOKEN", "GITHUB_TOKEN"];

/// What our comment begins with; readers don't see it.
const MARKER: &str = "<!-- waybill:coverage -->";

/// The name of the commit status.
const STATUS: &str = "coverage";

/// How far back the base branch is searched for a status: what the delivery bot commits is not measured.
const COMMITS: usize = 20;

/// How many of the pull request's files the comment names.
const FILES: usize = 10;

/// Tell the forge the coverage that `coverage` measured.
///
/// On a pull request as one comment, which later runs update. On a push as the commit status `coverage`, with
/// which the comments of pull requests to that branch compare. In a `workflow_run`, the pull request is the open
/// one whose head was measured.
#[derive(clap::Args)]
pub(crate) struct Comment {
    /// The base branch's figures, to compare file by file too [default: its commit status]
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Succeed where the forge can't be told, and say so
    #[arg(long)]
    optional: bool,
}

impl Comment {
    pub(crate) fn run(&self) -> Outcome {
        let root = root()?;
        let event = Event::from_env()?;
        let base = self.base.as_deref().map(Figures::read).transpose()?;
        let told = Told {
            floor: floor(&root)?,
            figures: Figures::read(&root.join(FIGURES))?,
            base: base.map(Base::from),
        };
        // A `workflow_run` is about another run, whose figures nothing here can vouch for.
        let theirs = event.name == "workflow_run";
        let measured = &told.figures.commit;
        ensure!(
            theirs || *measured == event.sha,
            "{FIGURES} is of {}, but this run is for {}: run `cargo pipeline coverage` first",
            short(measured),
            short(&event.sha)
        );
        let Err(error) = told.tell(&event) else {
            return Ok(());
        };
        print!("{}", told.figures.table(told.floor, None));
        if !self.optional {
            return Err(error);
        }
        let message = format!("the forge was not told the coverage: {error:#}");
        println!("{message}");
        workflow::annotate_notice(&message);
        Ok(())
    }
}

/// What there is to tell.
struct Told {
    floor: f64,
    figures: Figures,
    base: Option<Base>,
}

/// What the figures are compared with.
struct Base {
    commit: String,
    /// Tenths of a percent.
    packages: BTreeMap<String, u64>,
    /// The same; empty if only the packages are known.
    files: BTreeMap<String, u64>,
}

impl From<Figures> for Base {
    fn from(figures: Figures) -> Self {
        let packages = PACKAGES.iter().map(|package| {
            let lines = figures.package(package);
            (package.name.to_owned(), lines.permille())
        });
        let files = figures.files.iter();
        Self {
            packages: packages.collect(),
            files: files
                .map(|(file, l)| (file.clone(), l.permille()))
                .collect(),
            commit: figures.commit,
        }
    }
}

/// A pull request as the forge knows it now.
struct Pull {
    number: u64,
    head: String,
    base: String,
}

impl Pull {
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
        pull().context("the forge described a pull request without number, head or base")
    }
}

impl Told {
    fn tell(&self, event: &Event) -> Result<()> {
        ensure!(
            TOKENS.iter().any(|name| workflow::var(name).is_some()),
            "neither {} is set",
            TOKENS.join(" nor ")
        );
        let api = Api::from_env(&TOKENS)?;
        match event.name.as_str() {
            "push" => self.set_status(&api, &event.sha),
            "pull_request" => {
                let payload = payload()?;
                let number = payload
                    .pointer("/pull_request/number")
                    .and_then(Value::as_u64)
                    .context("the event doesn't say which pull request it is about")?;
                let pull = api
                    .get(&format!("/pulls/{number}"))?
                    .with_context(|| format!("the forge knows no pull request {number}"))?;
                let pull = Pull::parse(&pull)?;
                match payload
                    .pointer("/pull_request/head/sha")
                    .and_then(Value::as_str)
                {
                    Some(head) if head == pull.head => self.comment(&api, &pull),
                    _ => {
                        println!("pull request {number} has newer commits, whose run comments");
                        Ok(())
                    }
                }
            }
            "workflow_run" => {
                let pulls = measured_pulls(&api, &payload()?)?;
                if pulls.is_empty() {
                    println!("no open pull request has the head that was measured");
                }
                pulls.iter().try_for_each(|pull| self.comment(&api, pull))
            }
            other => bail!("the event `{other}` is about no commit or pull request to tell"),
        }
    }

    fn set_status(&self, api: &Api, commit: &str) -> Result<()> {
        let packages = PACKAGES.iter().map(|package| {
            let lines = self.figures.package(package);
            format!("{} {}", package.name, percent(lines.permille()))
        });
        let description = packages.collect::<Vec<_>>().join(", ");
        let reached = self.figures.check(self.floor).is_ok();
        let status = json!({
            "context": STATUS,
            "description": description,
            "state": if reached { "success" } else { "failure" },
        });
        api.send("POST", &format!("/statuses/{commit}"), &status)?;
        println!("{}: {description}", short(commit));
        Ok(())
    }

    /// Writes our comment, or brings the one that is there up to date.
    fn comment(&self, api: &Api, pull: &Pull) -> Result<()> {
        let Pull { number, .. } = pull;
        let author = author(api)?;
        let body = json!({"body": self.body(api, pull)?});
        let comments = api.list(&format!("/issues/{number}/comments"), None)?;
        // Anybody may write the marker: somebody else's comment is never touched.
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

    fn body(&self, api: &Api, pull: &Pull) -> Result<String> {
        let found = match &self.base {
            Some(_) => None,
            None => base_status(api, &pull.base)?,
        };
        let base = self.base.as_ref().or(found.as_ref());
        let packages = base.map(|base| &base.packages);
        let against = match base {
            Some(base) => format!("compared with {}", short(&base.commit)),
            None => "the base branch has no figures to compare with".to_owned(),
        };
        let table = self.figures.table(self.floor, packages);
        let files = self.files(api, pull, base)?;
        let head = short(&pull.head);
        Ok(format!(
            "{MARKER}\n## Coverage\n\n{table}\n{files}Lines that tests run, at {head}; {against}.\n"
        ))
    }

    /// The pull request's files: those that lost most first, then those that lack most.
    fn files(&self, api: &Api, pull: &Pull, base: Option<&Base>) -> Result<String> {
        let changed = api.list(&format!("/pulls/{}/files", pull.number), None)?;
        let none = BTreeMap::new();
        let before = base.map_or(&none, |base| &base.files);
        let mut files: Vec<_> = changed
            .iter()
            .filter_map(|file| self.figures.files.get_key_value(file["filename"].as_str()?))
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
        Ok(format!("{}\n", markdown(&rows, columns)))
    }
}

/// Whose comments ours are.
fn author(api: &Api) -> Result<String> {
    if let Some(author) = workflow::var("COMMENT_AUTHOR") {
        return Ok(author);
    }
    ensure!(
        workflow::var(TOKENS[0]).is_none(),
        "{} is set, so COMMENT_AUTHOR must name its account",
        TOKENS[0]
    );
    // A job's own token can't ask who it is; these are its accounts.
    Ok(match api.kind() {
        Kind::GitHub => "github-actions[bot]".to_owned(),
        Kind::Gitea => "gitea-actions".to_owned(),
    })
}

/// The open pull requests whose head another run measured. The forge says which: what that run left behind may be
/// a stranger's work, and could name anybody's.
fn measured_pulls(api: &Api, payload: &Value) -> Result<Vec<Pull>> {
    let run = &payload["workflow_run"];
    // To Gitea a renewed pull request is a `pull_request_sync`.
    let event = run["event"].as_str().unwrap_or_default();
    if !matches!(event, "pull_request" | "pull_request_sync") {
        return Ok(Vec::new());
    }
    let head = run["head_sha"].as_str().unwrap_or_default();
    ensure!(
        is_commit(head),
        "the event doesn't say which commit was measured"
    );
    // GitHub says it, Gitea doesn't; the commit is the same wherever it lies.
    let repository = run["head_repository"]["full_name"].as_str();
    let pulls = api.list("/pulls?state=open", None)?;
    let measured = pulls.iter().filter(|pull| {
        let theirs = pull["head"]["repo"]["full_name"].as_str();
        pull["head"]["sha"] == head && (repository.is_none() || repository == theirs)
    });
    measured.map(Pull::parse).collect()
}

/// The newest coverage that the base branch was told, at its tip or a little before it.
fn base_status(api: &Api, tip: &str) -> Result<Option<Base>> {
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
            return Ok(Some(Base {
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

/// Tenths of a percent by package, of a description such as `waybill 93.1 %, pipeline 91.0 %`.
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
