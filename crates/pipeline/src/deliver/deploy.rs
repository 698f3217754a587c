//! The write-back: an image's tag and digest go into an environment's values, as a commit.
//!
//! The commit is made from git objects alone, on top of the branch as the remote has it: no checkout, no
//! work tree, no merge. When somebody else pushed first, the same two values are set on the new tip, so
//! nobody's update can get lost. A commit says in its trailers what it deploys, in the words that Argo CD's
//! source hydrator uses; that is also how an older run notices that a newer one was faster.

use crate::Outcome;
use crate::deliver::environment::{Env, Image, SOURCE, Source, Values, with_image};
use crate::deliver::reference;
use crate::deliver::registry::Registry;
use crate::deliver::sign as signature;
use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, short};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// How long to keep trying while others push to the same branch.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a push may fail although the branch hasn't moved: then it isn't contention.
const REFUSALS: u32 = 3;

/// Write an image's tag and digest back to an environment's values.
///
/// Commits `image.tag` and `image.digest` in charts/waybill/values-ENV.yaml to the environment's branch, and
/// changes no other byte. Safe to run twice, at once with others, and late: a newer deployment stays.
///
/// Writes only an image whose signature and provenance verify. Where the values say `hold`, nothing is written and
/// the exit code is 3.
#[derive(clap::Args)]
pub(crate) struct Deploy {
    /// The environment
    #[arg(long, value_enum)]
    env: Env,
    /// The image's tag, as people read it
    #[arg(long, value_parser = reference::parse_tag)]
    tag: String,
    /// The image's digest, which decides what runs
    #[arg(long, value_parser = reference::parse_digest)]
    digest: String,
    /// The commit that the image was built from [default: HEAD]
    #[arg(long, env = "GITHUB_SHA", value_name = "SHA")]
    commit: Option<String>,
    /// The values file [default: charts/waybill/values-ENV.yaml]
    #[arg(long)]
    file: Option<PathBuf>,
    /// Only edit the file here: no git, no network
    #[arg(long)]
    no_commit: bool,
    /// Show what would be written, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The remote that has the environment's branch
    #[arg(long, default_value = "origin")]
    remote: String,
    /// A repository of its own for the manifests, by its URL; it has the values, this one the code
    #[arg(
        long,
        env = "GITOPS_REPOSITORY",
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    repository: String,
    /// The branch to write to [default: the environment's]
    #[arg(
        long,
        env = "GITOPS_BRANCH",
        default_value = "",
        hide_default_value = true
    )]
    branch: String,
}

/// Exit code of a write-back that a hold forbids: neither done nor failed.
pub(crate) const HELD: u8 = 3;

/// What became of a write-back.
#[derive(Debug)]
enum Written {
    Commit(String),
    Unchanged,
    Superseded(String),
    /// The values say `hold`, and why.
    Held(String),
    /// A dry run: the message and the change that would be made.
    Shown,
}

/// What to do about one tip of the branch.
enum Step {
    Done(Written),
    Push(String),
}

impl Deploy {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if self.no_commit {
            return self.edit_file().map(|()| ExitCode::SUCCESS);
        }
        let written = self.write_back()?;
        let (env, tag) = (self.env.name(), &self.tag);
        let (result, message) = match &written {
            Written::Commit(id) => (
                "written",
                format!("{env} gets {tag} by commit {}", short(id)),
            ),
            Written::Unchanged => (
                "unchanged",
                format!("{env} already has {tag} with this digest"),
            ),
            Written::Superseded(newer) => (
                "superseded",
                format!(
                    "{env} already has the newer commit {}: nothing to do",
                    short(newer)
                ),
            ),
            Written::Held(why) => ("held", format!("{env} is held and stays as it is: {why}")),
            Written::Shown => return Ok(ExitCode::SUCCESS),
        };
        println!("{message}");
        if matches!(result, "superseded" | "held") {
            workflow::annotate_notice(&message);
        }
        workflow::output("result", result)?;
        workflow::summary(&format!("**Deploy:** {message}"))?;
        Ok(match result {
            "held" => ExitCode::from(HELD),
            _ => ExitCode::SUCCESS,
        })
    }

    fn image(&self) -> Image {
        Image {
            tag: self.tag.clone(),
            digest: self.digest.clone(),
        }
    }

    fn path(&self) -> PathBuf {
        let default = || self.env.file().into();
        self.file.clone().unwrap_or_else(default)
    }

    fn edit_file(&self) -> Outcome {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => root()?.join(self.path()),
        };
        let name = file.display();
        let before =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        let after =
            with_image(&before, &self.image()).with_context(|| format!("cannot edit {name}"))?;
        if before == after {
            println!("{name} already has {} with this digest", self.tag);
        } else if self.dry_run {
            print!("{}", difference(&before, &after));
        } else {
            std::fs::write(&file, after).with_context(|| format!("cannot write {name}"))?;
            println!("{name} has {} now", self.tag);
        }
        Ok(())
    }

    fn write_back(&self) -> Result<Written> {
        // A workflow sets what isn't configured to the empty string, so that means the default.
        let branch = match self.branch.as_str() {
            "" => own_branch(self.env)?,
            branch => branch,
        };
        let path = self.path();
        let path = path.to_str().context("the file's name is not UTF-8")?;
        ensure!(
            !Path::new(path).is_absolute(),
            "`{path}` must be relative to the repository; `--no-commit` edits any file"
        );
        let here = Git::new(&root()?);
        let source = Source::read(&here, self.commit.as_deref().unwrap_or("HEAD"))?;
        let target = self.target(&here)?;
        let commit = signature::verify(&Registry::from_env()?, &self.digest)?;
        signature::built_from(&commit, &source.sha)?;

        let git = &target.git;
        let start = Instant::now();
        let (mut attempt, mut refusals) = (0, 0);
        let mut tip = target.tip(branch)?;
        loop {
            attempt += 1;
            let commit = match self.prepare(&target, &here, &tip, path, branch, &source)? {
                Step::Done(written) => return Ok(written),
                Step::Push(commit) => commit,
            };
            let place = format!("{commit}:refs/heads/{branch}");
            let refused = match git.read(&["push", "--quiet", &target.remote, &place]) {
                Ok(_) => return Ok(Written::Commit(commit)),
                Err(refused) => refused,
            };
            let moved = target.tip(branch)?;
            refusals = if moved == tip { refusals + 1 } else { 0 };
            if refusals >= REFUSALS {
                return Err(refused).with_context(|| format!("{branch} refuses the write-back"));
            }
            if start.elapsed() > PATIENCE {
                return Err(refused)
                    .with_context(|| format!("{branch} kept moving for {attempt} attempts"));
            }
            tip = moved;
            std::thread::sleep(pause(attempt));
        }
    }

    /// Where the manifests are: beside the code, or in a repository of their own, of which no work tree is needed.
    fn target(&self, here: &Git) -> Result<Target> {
        let url = &self.repository;
        if url.is_empty() {
            return Ok(Target {
                git: to_remote(here.clone(), &self.remote)?,
                remote: self.remote.clone(),
                own: None,
            });
        }
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let git = Git::new(folder.path());
        git.read(&["init", "--quiet", "--bare"])?;
        Ok(Target {
            git: authorised(git, url)?,
            remote: url.clone(),
            own: Some(folder),
        })
    }

    /// The commit that deploys on top of `tip`, or why there is none to make.
    fn prepare(
        &self,
        target: &Target,
        here: &Git,
        tip: &str,
        path: &str,
        branch: &str,
        source: &Source,
    ) -> Result<Step> {
        let git = &target.git;
        ensure!(
            target.own.is_some() || git.contains(tip, &source.sha)?,
            "commit {} is not on {branch}: only what is there can be deployed to {}",
            short(&source.sha),
            self.env.name()
        );
        let before = Values::read(git, tip, path)
            .with_context(|| format!("{branch} can't be deployed to"))?;
        let image = self.image();
        let after = before.with(&image)?;
        if before.text() == after.text() {
            return Ok(Step::Done(Written::Unchanged));
        }
        if let Some(newer) = newer(git, here, tip, path, &source.sha)? {
            return Ok(Step::Done(Written::Superseded(newer)));
        }
        if let Some(why) = before.hold()? {
            return Ok(Step::Done(Written::Held(why)));
        }
        let message = before.message(self.env, &image, source)?;
        if self.dry_run {
            println!("would commit to {branch}, on top of {}:\n", short(tip));
            let change = difference(before.text(), after.text());
            println!("{message}\n--- {path}\n{change}");
            return Ok(Step::Done(Written::Shown));
        }
        Ok(Step::Push(after.commit(git, tip, &message)?))
    }
}

/// The repository and the remote that have the manifests.
struct Target {
    git: Git,
    remote: String,
    /// The folder of a repository that is theirs alone: it goes when the write-back is done.
    own: Option<TempDir>,
}

impl Target {
    /// The branch as the remote has it now, with its history.
    fn tip(&self, branch: &str) -> Result<String> {
        self.git
            .fetch(&self.remote, &format!("refs/heads/{branch}"))
    }
}

/// The branch that a write-back goes to. The others are protected by approvals: they change by pull request.
fn own_branch(env: Env) -> Result<&'static str> {
    ensure!(
        env == Env::Dev,
        "{0} changes by pull request, not by write-back: `cargo pipeline promote --to {0}` proposes one",
        env.name()
    );
    Ok(env.branch())
}

/// A clone that its remote lets in.
pub(crate) fn to_remote(git: Git, remote: &str) -> Result<Git> {
    let url = git
        .read(&["remote", "get-url", remote])
        .with_context(|| format!("there is no remote `{remote}`"))?;
    authorised(git, &url)
}

/// With the bot's token where there is one. A workflow has no other way in; a person has their own.
fn authorised(git: Git, url: &str) -> Result<Git> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Ok(git);
    }
    match workflow::var("DELIVERY_BOT_TOKEN") {
        Some(token) => Ok(git.with_token(url, &token)),
        None if workflow::in_workflow() => bail!(
            "DELIVERY_BOT_TOKEN is not set: give the repository the secret, or the variable BOT_APP_ID and its key (docs/pipeline.md)"
        ),
        None => Ok(git),
    }
}

/// The commit deployed to `path` last, if it is newer than `sha`.
fn newer(git: &Git, here: &Git, tip: &str, path: &str, sha: &str) -> Result<Option<String>> {
    let format = format!("--format=%(trailers:key={SOURCE}-sha,valueonly)");
    let grep = format!("--grep=^{SOURCE}-sha: ");
    let log = git.read(&["log", &format, &grep, tip, "--", path])?;
    // A commit that this history doesn't know can't be compared: it came from somewhere else.
    let deployed = log
        .lines()
        .find(|line| workflow::is_commit(line))
        .and_then(|line| here.commit(line));
    match deployed {
        Some(deployed) if deployed != sha && here.contains(&deployed, sha)? => Ok(Some(deployed)),
        _ => Ok(None),
    }
}

/// The lines that differ; an edit never adds or removes one.
fn difference(before: &str, after: &str) -> String {
    let pairs = before.lines().zip(after.lines());
    pairs
        .filter(|(old, new)| old != new)
        .map(|(old, new)| format!("-{old}\n+{new}\n"))
        .collect()
}

/// Grows to about a second; the clock's low digits keep those who collided from colliding again.
fn pause(attempt: u32) -> Duration {
    let ceiling = 50 << attempt.min(5);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let random = clock.map_or(0, |time| time.subsec_micros()) ^ std::process::id();
    Duration::from_millis(u64::from(random % ceiling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_short() {
        for attempt in 1..100 {
            assert!(pause(attempt) < Duration::from_secs(2));
        }
    }
}
