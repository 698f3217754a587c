//! `cargo pipeline deploy` writes the tag and the digest of an image to the values of an environment, as a commit.
//!
//! The commit is made from git objects, on top of the remote branch: no checkout, no work tree, no merge. If another
//! push came first, the same two values are set on the new tip, so no update is lost. Trailers of the commit name the
//! deployed source commit; an older run uses them to notice that a newer one was faster.

use super::branch::{Attempt, Branch};
use super::registry::Registry;
use super::remote::{HELD, with_bot, with_remote};
use super::values_file::{ValuesFile, newest_source};
use super::verification;
use crate::project::root;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use devkit::delivery::{Delivery, Environment, Promotion};
use devkit::git::{CommitInfo, Git, short};
use devkit::reference::{Digest, Image, Tag};
use devkit::values::{self, Hold, Values};
use devkit::{markdown, plain};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::{NamedTempFile, TempDir};

/// Deploy an image: write its tag and digest to the values of an environment.
///
/// Commits `image.tag` and `image.digest` in the values file of the environment to its branch. Changes no other byte. You
/// can repeat the command and run it concurrently; a newer deployment is never replaced by an older one.
///
/// Commits only to an environment whose `promotion` in delivery.toml is `build`; for the others, run
/// `cargo pipeline promote`. Deploys only images whose signature and provenance verify. If the values contain `hold`, nothing is written and the
/// exit code is 3.
#[derive(clap::Args)]
pub(crate) struct Deploy {
    /// Environment in delivery.toml to deploy to
    #[arg(long, value_name = "NAME")]
    env: String,
    /// Tag of the image, for people
    #[arg(long)]
    tag: Tag,
    /// Digest of the image, which decides what runs
    #[arg(long)]
    digest: Digest,
    /// Commit that the image was built from [default: HEAD]
    #[arg(long, env = "GITHUB_SHA", value_name = "SHA")]
    commit: Option<String>,
    /// Values file [default: the values file of the environment]
    #[arg(long)]
    file: Option<PathBuf>,
    /// Edit the file in the work tree only, without a commit or network access
    #[arg(long)]
    no_commit: bool,
    /// Show the change without making it
    #[arg(long)]
    dry_run: bool,
    /// Git remote with the branch of the environment
    #[arg(long, default_value = "origin")]
    remote: String,
    /// URL of a separate repository with the values [default: this repository]
    #[arg(
        long,
        env = "GITOPS_REPOSITORY",
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    repository: String,
    /// Branch to write to [default: the branch of the environment]
    #[arg(
        long,
        env = "GITOPS_BRANCH",
        default_value = "",
        hide_default_value = true
    )]
    branch: String,
}

/// The result of a deployment.
#[derive(Debug)]
enum Deployment {
    /// The commit was pushed.
    Committed(String),
    /// The values already had this image.
    Unchanged,
    /// The values already had a newer commit.
    Superseded(String),
    /// The values have a hold.
    Held(Hold),
    /// A dry run printed the change.
    Previewed,
}

impl Deploy {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let env = delivery.environment(&self.env)?;
        if self.no_commit {
            return self.edit_file(&root, env);
        }
        let written = self.write_back(&root, &delivery, env)?;
        let tag = &self.tag;
        let (result, message) = match &written {
            Deployment::Committed(id) => (
                "written",
                plain!("{} gets {} by commit {}", env, tag, short(id)),
            ),
            Deployment::Unchanged => (
                "unchanged",
                plain!("{} already has {} with this digest", env, tag),
            ),
            Deployment::Superseded(newer) => (
                "superseded",
                plain!(
                    "{} already has the newer commit {}: nothing to do",
                    env,
                    short(newer)
                ),
            ),
            Deployment::Held(hold) => (
                "held",
                plain!("{} is on hold and stays as it is: {}", env, hold),
            ),
            Deployment::Previewed => return Ok(ExitCode::SUCCESS),
        };
        println!("{}", message.as_str());
        if matches!(result, "superseded" | "held") {
            workflow::annotate_notice(message.as_str());
        }
        workflow::output("result", result)?;
        workflow::summary(&markdown!("**Deploy:** {}", message))?;
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

    fn edit_file(&self, root: &Path, env: &Environment) -> Result<ExitCode> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => root.join(&env.values),
        };
        let name = file.display();
        let before =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        let edit = || {
            let values = Values::parse(before.as_str())?;
            Ok::<_, values::Error>((values.with_image(&self.image())?, values.hold()?))
        };
        let (after, hold) = edit().with_context(|| format!("cannot edit {name}"))?;
        let after = after.text();
        if before == after {
            println!("{name} already has {} with this digest", self.tag);
        } else if let Some(hold) = hold {
            println!("{env} is on hold and stays as it is: {hold}");
            return Ok(ExitCode::from(HELD));
        } else if self.dry_run {
            print!("{}", difference(&before, after));
        } else {
            replace(&file, after).with_context(|| format!("cannot write {name}"))?;
            println!("{name} has {} now", self.tag);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn write_back(
        &self,
        root: &Path,
        delivery: &Delivery,
        env: &Environment,
    ) -> Result<Deployment> {
        require_writable(env)?;
        // A workflow passes an empty string for what is not configured.
        let branch = match self.branch.as_str() {
            "" => &env.branch,
            branch => branch,
        };
        let path = match &self.file {
            Some(file) => file
                .to_str()
                .context("the name of the values file is not UTF-8")?,
            None => &env.values,
        };
        ensure!(
            !Path::new(path).is_absolute(),
            "`{path}` must be relative to the repository; use `--no-commit` to edit any other file"
        );
        let here = Git::new(root);
        let source = here.describe(self.commit.as_deref().unwrap_or("HEAD"))?;
        let target = self.target(here, branch)?;
        let commit = verification::verify(&Registry::from_env(delivery)?, &self.digest)?;
        verification::require_commit(&commit, &source.sha)?;
        let prepare = |tip: &str| self.prepare(&target, env, tip, path, &source);
        target.branch.push(prepare)
    }

    /// The repository with the values: this one, or a separate one without a work tree.
    fn target(&self, here: Git, branch: &str) -> Result<Target> {
        let url = &self.repository;
        let name = branch.to_owned();
        if url.is_empty() {
            let branch = Branch {
                git: with_remote(here.clone(), &self.remote)?,
                remote: self.remote.clone(),
                name,
            };
            return Ok(Target {
                branch,
                here,
                temporary: None,
            });
        }
        let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
        let git = Git::new(folder.path());
        git.read(&["init", "--quiet", "--bare"])?;
        let branch = Branch {
            git: with_bot(git, url)?,
            remote: url.clone(),
            name,
        };
        Ok(Target {
            branch,
            here,
            temporary: Some(folder),
        })
    }

    /// Makes the commit that deploys on top of `tip`, unless there is nothing to deploy.
    fn prepare(
        &self,
        target: &Target,
        env: &Environment,
        tip: &str,
        path: &str,
        source: &CommitInfo,
    ) -> Result<Attempt<Deployment>> {
        let (git, branch) = (&target.branch.git, &target.branch.name);
        ensure!(
            target.temporary.is_some() || git.contains(tip, &source.sha)?,
            "commit {} is not on {branch}: only commits of that branch can be deployed to {env}",
            short(&source.sha)
        );
        let before = ValuesFile::read(git, tip, path)
            .with_context(|| format!("{branch} cannot be deployed to"))?;
        let image = self.image();
        let after = before.with_image(&image)?;
        if before.text() == after.text() {
            return Ok(Attempt::Done(Deployment::Unchanged));
        }
        if let Some(newer) = target.newer(tip, path, &source.sha)? {
            return Ok(Attempt::Done(Deployment::Superseded(newer)));
        }
        if let Some(hold) = before.hold()? {
            return Ok(Attempt::Done(Deployment::Held(hold)));
        }
        let message = before.message(env, &image, source);
        if self.dry_run {
            println!("would commit to {branch}, on top of {}:\n", short(tip));
            let change = difference(before.text(), after.text());
            println!("{}\n--- {path}\n{change}", message.as_str());
            return Ok(Attempt::Done(Deployment::Previewed));
        }
        let commit = after.commit(git, tip, &message)?;
        let result = Box::new(Deployment::Committed);
        Ok(Attempt::Push { commit, result })
    }
}

/// The branch with the values.
struct Target {
    branch: Branch,
    /// The repository with the code. It is the one of the branch, unless the values have their own.
    here: Git,
    /// The folder of a separate repository, deleted at the end.
    temporary: Option<TempDir>,
}

impl Target {
    /// The commit deployed to `path` last, if it is newer than `sha`.
    fn newer(&self, tip: &str, path: &str, sha: &str) -> Result<Option<String>> {
        let deployed = newest_source(&self.branch.git, tip, path)?;
        // A commit from another history cannot be compared.
        let deployed = deployed.and_then(|deployed| self.here.commit(&deployed));
        match deployed {
            Some(deployed) if deployed != sha && self.here.contains(&deployed, sha)? => {
                Ok(Some(deployed))
            }
            _ => Ok(None),
        }
    }
}

/// Fails unless this command may commit to the environment. The others change by pull request, with approvals.
fn require_writable(env: &Environment) -> Result<()> {
    match env.promotion {
        Promotion::Build => Ok(()),
        Promotion::PullRequest => {
            bail!("{env} changes only by pull request: run `cargo pipeline promote --to {env}`")
        }
        Promotion::Tag => bail!(
            "{env} changes only by pull request: run `cargo pipeline promote --version vX.Y.Z`"
        ),
    }
}

/// Replaces a file as a whole: it keeps its old content if the disk is full. Its permissions stay, and a link stays a
/// link.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let file = file.canonicalize()?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut new = NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file()
        .set_permissions(file.metadata()?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}

/// The changed lines. An edit never adds or removes lines.
fn difference(before: &str, after: &str) -> String {
    let pairs = before.lines().zip(after.lines());
    pairs
        .filter(|(old, new)| old != new)
        .map(|(old, new)| format!("-{old}\n+{new}\n"))
        .collect()
}
