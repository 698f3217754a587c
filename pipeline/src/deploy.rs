//! The write-back: an image's tag and digest go into an environment's values, as a commit.
//!
//! The commit is made from git objects alone, on top of the branch as the remote has it: no checkout, no
//! work tree, no merge. When somebody else pushed first, the same two values are set on the new tip, so
//! nobody's update can get lost. A commit says in its trailers what it deploys, in the words that Argo CD's
//! source hydrator uses; that is also how an older run notices that a newer one was faster.

use crate::Outcome;
use crate::forge::{self, short};
use crate::git::Git;
use crate::process::{read_bytes, root};
use crate::yaml::{self, Node};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

const SOURCE: &str = "Argocd-reference-commit";
/// How long to keep trying while others push to the same branch.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a push may fail although the branch hasn't moved: then it isn't contention.
const REFUSALS: u32 = 3;

/// Write an image's tag and digest back to an environment's values.
///
/// Commits `image.tag` and `image.digest` in charts/waybill/values-ENV.yaml to the environment's branch, and
/// changes no other byte. Safe to run twice, at once with others, and late: a newer deployment stays.
#[derive(clap::Args)]
pub(crate) struct Deploy {
    /// The environment
    #[arg(long, value_enum)]
    env: Env,
    /// The image's tag, as people read it
    #[arg(long, value_parser = parse_tag)]
    tag: String,
    /// The image's digest, which decides what runs
    #[arg(long, value_parser = parse_digest)]
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
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Env {
    Dev,
    Staging,
    Prod,
}

impl Env {
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }

    /// The branch that a write-back goes to. The others are protected by approvals: they change by pull request.
    fn branch(self) -> Result<&'static str> {
        match self {
            Self::Dev => Ok("develop"),
            Self::Staging | Self::Prod => bail!(
                "{0} changes by pull request, not by write-back; `--no-commit` edits values-{0}.yaml for one",
                self.name()
            ),
        }
    }
}

/// What became of a write-back.
#[derive(Debug)]
enum Written {
    Commit(String),
    Unchanged,
    Superseded(String),
    /// A dry run: the message and the change that would be made.
    Shown,
}

/// What to do about one tip of the branch.
enum Step {
    Done(Written),
    Push(String),
}

impl Deploy {
    pub(crate) fn run(&self) -> Outcome {
        if self.no_commit {
            return self.edit_file();
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
            Written::Shown => return Ok(()),
        };
        println!("{message}");
        if result == "superseded" {
            forge::annotate_notice(&message);
        }
        forge::output("result", result)?;
        forge::summary(&format!("**Deploy:** {message}"))
    }

    fn changes(&self) -> [(&str, &str); 2] {
        [("image.tag", &self.tag), ("image.digest", &self.digest)]
    }

    fn path(&self) -> PathBuf {
        let default = || format!("charts/waybill/values-{}.yaml", self.env.name()).into();
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
            yaml::set(&before, &self.changes()).with_context(|| format!("cannot edit {name}"))?;
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
        let branch = self.env.branch()?;
        let path = self.path();
        let path = path.to_str().context("the file's name is not UTF-8")?;
        ensure!(
            !Path::new(path).is_absolute(),
            "`{path}` must be relative to the repository; `--no-commit` edits any file"
        );
        let root = root()?;
        let git = self.authorised(Git::new(&root))?;
        let source = Source::read(&git, self.commit.as_deref().unwrap_or("HEAD"))?;

        let start = Instant::now();
        let (mut attempt, mut refusals) = (0, 0);
        let mut tip = self.fetch(&git, branch)?;
        loop {
            attempt += 1;
            let commit = match self.prepare(&git, &tip, path, branch, &source)? {
                Step::Done(written) => return Ok(written),
                Step::Push(commit) => commit,
            };
            let target = format!("{commit}:refs/heads/{branch}");
            let refused = match git.read(&["push", "--quiet", &self.remote, &target]) {
                Ok(_) => return Ok(Written::Commit(commit)),
                Err(refused) => refused,
            };
            let moved = self.fetch(&git, branch)?;
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

    /// With the bot's token where there is one. A workflow has no other way in; a person has their own.
    fn authorised(&self, git: Git) -> Result<Git> {
        let url = git
            .read(&["remote", "get-url", &self.remote])
            .with_context(|| format!("there is no remote `{}`", self.remote))?;
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Ok(git);
        }
        match forge::var("DELIVERY_BOT_TOKEN") {
            Some(token) => Ok(git.with_token(&url, &token)),
            None if forge::in_workflow() => bail!(
                "DELIVERY_BOT_TOKEN is not set: give the repository the secret, or the variable BOT_APP_ID and its key (docs/pipeline.md)"
            ),
            None => Ok(git),
        }
    }

    /// The branch as the remote has it now, with its history.
    fn fetch(&self, git: &Git, branch: &str) -> Result<String> {
        let reference = format!("refs/heads/{branch}");
        let mut args = vec!["fetch", "--quiet", "--no-tags"];
        if git.is_shallow()? {
            args.push("--unshallow");
        }
        args.extend([self.remote.as_str(), &reference]);
        git.read(&args)
            .with_context(|| format!("cannot fetch {branch} from {}", self.remote))?;
        git.commit("FETCH_HEAD")
            .context("git fetched something that is not a commit")
    }

    /// The commit that deploys on top of `tip`, or why there is none to make.
    fn prepare(
        &self,
        git: &Git,
        tip: &str,
        path: &str,
        branch: &str,
        source: &Source,
    ) -> Result<Step> {
        ensure!(
            git.contains(tip, &source.sha)?,
            "commit {} is not on {branch}: only what is there can be deployed to {}",
            short(&source.sha),
            self.env.name()
        );
        let entry = git.read(&["ls-tree", "-z", tip, "--", path])?;
        let (mode, _) = entry
            .split_once(" blob ")
            .with_context(|| format!("{branch} has no file {path}"))?;
        let before = git.read_bytes(&["cat-file", "blob", &format!("{tip}:{path}")])?;
        let before = String::from_utf8(before).with_context(|| format!("{path} is not UTF-8"))?;
        let after = yaml::set(&before, &self.changes())
            .with_context(|| format!("cannot edit {path} on {branch}"))?;
        if before == after {
            return Ok(Step::Done(Written::Unchanged));
        }
        if let Some(newer) = newer(git, tip, path, &source.sha)? {
            return Ok(Step::Done(Written::Superseded(newer)));
        }
        let message = self.message(&before, source)?;
        if self.dry_run {
            println!("would commit to {branch}, on top of {}:\n", short(tip));
            println!("{message}\n--- {path}\n{}", difference(&before, &after));
            return Ok(Step::Done(Written::Shown));
        }
        Ok(Step::Push(commit(git, tip, mode, path, &after, &message)?))
    }

    fn message(&self, values: &str, source: &Source) -> Result<String> {
        let repository = Node::parse(values)?
            .at("image.repository")
            .and_then(Node::text)
            .map_or_else(|| "The image".to_owned(), str::to_owned);
        let (env, tag, digest) = (self.env.name(), &self.tag, &self.digest);
        let Source {
            sha,
            author,
            subject,
            date,
        } = source;
        let mut message = format!(
            "chore(deploy): {env} {tag}\n\n{repository} was built from {}.\nDigest: {digest}\n\n",
            short(sha)
        );
        let url = forge::var("GITHUB_SERVER_URL").zip(forge::var("GITHUB_REPOSITORY"));
        let url = url.map(|(server, name)| format!("{}/{name}", server.trim_end_matches('/')));
        let trailers = [
            ("sha", Some(sha)),
            ("author", Some(author)),
            ("date", Some(date)),
            ("subject", Some(subject)),
            ("repourl", url.as_ref()),
        ];
        for (name, value) in trailers {
            if let Some(value) = value {
                message.push_str(&format!("{SOURCE}-{name}: {value}\n"));
            }
        }
        Ok(message)
    }
}

/// The commit that an image was built from.
struct Source {
    sha: String,
    author: String,
    subject: String,
    date: String,
}

impl Source {
    fn read(git: &Git, name: &str) -> Result<Self> {
        let sha = git
            .commit(name)
            .with_context(|| format!("`{name}` is not a commit that this clone has"))?;
        let show = |format: &str| {
            let format = format!("--format={format}");
            git.read(&["show", "--no-patch", "--no-show-signature", &format, &sha])
        };
        Ok(Self {
            author: show("%an <%ae>")?,
            subject: show("%s")?,
            date: show("%aI")?,
            sha,
        })
    }
}

/// The commit deployed to `path` last, if it is newer than `sha`.
fn newer(git: &Git, tip: &str, path: &str, sha: &str) -> Result<Option<String>> {
    let format = format!("--format=%(trailers:key={SOURCE}-sha,valueonly)");
    let grep = format!("--grep=^{SOURCE}-sha: ");
    let log = git.read(&["log", &format, &grep, tip, "--", path])?;
    // A commit that this history doesn't know can't be compared: it came from somewhere else.
    let deployed = log
        .lines()
        .find(|line| forge::is_commit(line))
        .and_then(|line| git.commit(line));
    match deployed {
        Some(deployed) if deployed != sha && git.contains(&deployed, sha)? => Ok(Some(deployed)),
        _ => Ok(None),
    }
}

/// Makes the commit with one file changed, out of objects: the work tree and its index aren't touched.
fn commit(
    git: &Git,
    tip: &str,
    mode: &str,
    path: &str,
    text: &str,
    message: &str,
) -> Result<String> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let index = folder.path().join("index");
    let write = |name: &str, text: &str| -> Result<String> {
        let file = folder.path().join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file.to_string_lossy().into_owned())
    };
    let with_index = |args: &[&str]| -> Result<String> {
        let mut command = git.command(args);
        command.env("GIT_INDEX_FILE", &index).stdin(Stdio::null());
        Ok(String::from_utf8(read_bytes(&mut command)?)?
            .trim_end()
            .to_owned())
    };
    let blob = git.read(&["hash-object", "-w", "--no-filters", &write("blob", text)?])?;
    with_index(&["read-tree", tip])?;
    with_index(&[
        "update-index",
        "--cacheinfo",
        &format!("{mode},{blob},{path}"),
    ])?;
    let tree = with_index(&["write-tree"])?;
    let mut command = git.command(&[
        "commit-tree",
        "-p",
        tip,
        "-F",
        &write("message", message)?,
        &tree,
    ]);
    let name = forge::var("DELIVERY_BOT_NAME").unwrap_or_else(|| "waybill-delivery".to_owned());
    let email = forge::var("DELIVERY_BOT_EMAIL")
        .unwrap_or_else(|| "waybill-delivery@users.noreply.github.com".to_owned());
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), &name);
        command.env(format!("GIT_{role}_EMAIL"), &email);
    }
    crate::process::read(&mut command)
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

fn parse_tag(tag: &str) -> Result<String, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known = tag.chars().all(|c| word(c) || c == '.' || c == '-');
    if !tag.starts_with(word) || !known || tag.len() > 128 {
        return Err(
            "not an image tag (letters, digits, `_.-`, at most 128, not beginning with `.` or `-`)"
                .into(),
        );
    }
    if tag == "latest" || tag == "unreleased" {
        return Err("names no particular image".into());
    }
    Ok(tag.to_owned())
}

fn parse_digest(digest: &str) -> Result<String, String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("not a digest (sha256: and 64 hexadecimal digits)".into());
    }
    if hex.bytes().all(|b| b == b'0') {
        return Err("the all-zero digest stands for no image".into());
    }
    Ok(digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_checked() {
        for tag in [
            "v1",
            "develop-0123456",
            "sha-0123456",
            "1.10",
            "_x",
            &"a".repeat(128),
        ] {
            assert!(parse_tag(tag).is_ok(), "{tag}");
        }
        for tag in [
            "",
            "-x",
            ".x",
            "a b",
            "a/b",
            "a:b",
            "a@b",
            "é",
            "latest",
            "unreleased",
            &"a".repeat(129),
        ] {
            assert!(parse_tag(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn digests_are_checked() {
        assert!(parse_digest(&format!("sha256:{}1", "0".repeat(63))).is_ok());
        for digest in [
            "",
            "sha256:",
            "sha256:abc",
            &"a".repeat(64),
            &format!("sha256:{}", "0".repeat(64)),
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha512:{}", "a".repeat(64)),
        ] {
            assert!(parse_digest(digest).is_err(), "{digest}");
        }
    }

    #[test]
    fn a_pause_is_short() {
        for attempt in 1..100 {
            assert!(pause(attempt) < Duration::from_secs(2));
        }
    }
}
