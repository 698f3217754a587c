//! `cargo pipeline promote` opens the pull request that promotes an image from one environment to the next.
//!
//! Its branch has the tip of the target branch, a merge of the source, and one commit that copies the tag and the
//! digest. Reviewers see the digest that they approve, and later pushes to the source do not change it.

use super::environment::{Environment, SourceCommit, Values, require_on_staging_tip};
use super::reference::{ImageReference, is_prerelease};
use super::registry::Registry;
use super::remote::{HELD, with_remote};
use super::verify;
use crate::api::Api;
use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, short};
use anyhow::{Context, Result, bail, ensure};
use clap::builder::FalseyValueParser;
use serde_json::{Value, json};
use std::process::ExitCode;

/// How many commits a description lists.
const COMMITS: usize = 50;

/// Promote an image: propose it to the next environment by a pull request.
///
/// For staging, the pull request `promote/staging` proposes the image that dev runs. For prod, `release/VERSION`
/// proposes the image that a version tag on staging names. An open pull request is not changed, so that its approvals
/// stay valid; `--refresh` replaces it, and its approvals are lost.
///
/// Proposes only images whose signature and provenance verify. If the values contain `hold`, nothing is proposed and
/// the exit code is 3. The author is the owner of DELIVERY_BOT_TOKEN, who cannot approve the pull request.
#[derive(clap::Args)]
pub(crate) struct Promote {
    /// Environment that gets the image: staging or prod
    #[arg(long, value_enum)]
    to: Environment,
    /// Version tag on staging whose image goes to prod
    #[arg(long, value_name = "TAG", required_if_eq("to", "prod"))]
    version: Option<String>,
    /// Replace an open pull request
    #[arg(long, env = "PROMOTE_REFRESH", value_parser = FalseyValueParser::new())]
    refresh: bool,
    /// Show the pull request without opening it
    #[arg(long)]
    dry_run: bool,
    /// Git remote with the branches
    #[arg(long, default_value = "origin")]
    remote: String,
}

/// The source of a promotion.
struct PromotionSource {
    env: Environment,
    /// The commit with the values.
    commit: String,
    /// The name for people: `develop (0123abc)`.
    name: String,
    /// The new tag of the image in the values, if it changes.
    tag: Option<String>,
}

impl PromotionSource {
    fn image(&self, git: &Git) -> Result<ImageReference> {
        let env = self.env;
        let image = Values::read(git, &self.commit, &env.file())?.image()?;
        let mut image = image.with_context(|| {
            format!(
                "{} has no image at {}: nothing to promote",
                env.name(),
                self.name
            )
        })?;
        if let Some(tag) = &self.tag {
            image.tag.clone_from(tag);
        }
        Ok(image)
    }

    /// The tip of a branch, with the source merged into it.
    fn merged_into(&self, git: &Git, tip: &str, branch: &str) -> Result<String> {
        if git.contains(tip, &self.commit)? {
            return Ok(tip.to_owned());
        }
        let message = format!("Merge {} into {branch}", self.name);
        git.merge(tip, &self.commit, &message).with_context(|| {
            format!(
                "{} cannot be promoted: merge {branch} into a branch of your own, resolve the conflict, and merge that branch to develop first",
                self.name
            )
        })
    }

    fn require_commit(&self, git: &Git, built: &str) -> Result<()> {
        ensure!(
            git.contains(&self.commit, built)?,
            "the image was built from {}, which is not part of {}",
            short(built),
            self.name
        );
        Ok(())
    }
}

/// A pull request to open. Its commits are in this clone.
struct Proposal {
    head: String,
    image: ImageReference,
    title: String,
    body: String,
}

enum Prepared {
    Proposal(Box<Proposal>),
    /// The environment already has the image.
    Unchanged(ImageReference),
    /// The values have a hold, for a reason.
    Held(String),
}

impl Promote {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let git = with_remote(Git::new(&root()?), &self.remote)?;
        ensure!(
            !git.is_shallow()?,
            "this clone has only a part of the history: run `git fetch --unshallow`"
        );
        let source = self.source(&git)?;
        let env = self.to.name();
        match self.prepare(&git, &source)? {
            Prepared::Held(why) => {
                report("held", &format!("{env} is held and stays as it is: {why}"))?;
                Ok(ExitCode::from(HELD))
            }
            Prepared::Unchanged(image) => {
                report("unchanged", &format!("{env} has {} already", image.tag))?;
                Ok(ExitCode::SUCCESS)
            }
            Prepared::Proposal(proposal) if self.dry_run => {
                println!("{}\n\n{}", proposal.title, proposal.body);
                Ok(ExitCode::SUCCESS)
            }
            Prepared::Proposal(proposal) => {
                self.propose(&git, &source, &proposal)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn source(&self, git: &Git) -> Result<PromotionSource> {
        match (self.to, &self.version) {
            (Environment::Dev, _) => {
                bail!("dev gets each merge to develop by itself: promote to staging or prod")
            }
            (Environment::Staging, Some(_)) => {
                bail!("`--version` is only for prod: staging gets the image that dev runs")
            }
            (Environment::Staging, None) => {
                let branch = Environment::Dev.branch();
                let commit = git.fetch(&self.remote, &format!("refs/heads/{branch}"))?;
                Ok(PromotionSource {
                    env: Environment::Dev,
                    name: format!("{branch} ({})", short(&commit)),
                    commit,
                    tag: None,
                })
            }
            (Environment::Prod, None) => bail!("the version is missing: add `--version vX.Y.Z`"),
            (Environment::Prod, Some(version)) => {
                ensure!(
                    !is_prerelease(version)?,
                    "{version} is a prerelease: prod gets only final versions"
                );
                let commit = git.fetch(&self.remote, &format!("refs/tags/{version}"))?;
                let staging = git.fetch(&self.remote, "refs/heads/staging")?;
                require_on_staging_tip(git, &staging, &commit)?;
                Ok(PromotionSource {
                    env: Environment::Staging,
                    commit,
                    name: version.clone(),
                    tag: Some(version.clone()),
                })
            }
        }
    }

    fn prepare(&self, git: &Git, source: &PromotionSource) -> Result<Prepared> {
        let image = source.image(git)?;
        let branch = self.to.branch();
        let tip = git.fetch(&self.remote, &format!("refs/heads/{branch}"))?;
        let merged = source.merged_into(git, &tip, branch)?;
        let before = Values::read(git, &merged, &self.to.file())?;
        let after = before.with(&image)?;
        if merged == tip && before.text() == after.text() {
            return Ok(Prepared::Unchanged(image));
        }
        if let Some(why) = before.hold()? {
            return Ok(Prepared::Held(why));
        }
        let built = verify::verify(&Registry::from_env()?, &image.digest)?;
        source.require_commit(git, &built)?;
        let message = before.message(self.to, &image, &SourceCommit::read(git, &built)?)?;
        Ok(Prepared::Proposal(Box::new(Proposal {
            head: after.commit(git, &merged, &message)?,
            title: format!("Promote {} to {}", image.tag, self.to.name()),
            body: self.body(git, source, &image, &built, &tip)?,
            image,
        })))
    }

    /// The description for the reviewers.
    fn body(
        &self,
        git: &Git,
        source: &PromotionSource,
        image: &ImageReference,
        built: &str,
        tip: &str,
    ) -> Result<String> {
        let env = self.to.name();
        let mut body = format!(
            "`{}`, which {} runs, goes to {env}.\n\n- digest: `{}`\n- built from: {built}\n\nAfter the merge, {env} is OutOfSync until you sync it: `argocd app sync waybill-{env}`.\n",
            image.tag,
            source.env.name(),
            image.digest,
        );
        let range = format!("{tip}..{}", source.commit);
        let log = git.read(&[
            "log",
            "--no-merges",
            "--invert-grep",
            "--grep=^chore(deploy): ",
            "--format=- %h %s",
            &range,
        ])?;
        let commits: Vec<&str> = log.lines().collect();
        if !commits.is_empty() {
            body.push_str("\nNew there:\n\n");
            for commit in commits.iter().take(COMMITS) {
                body.push_str(commit);
                body.push('\n');
            }
            if let Some(more @ 1..) = commits.len().checked_sub(COMMITS) {
                body.push_str(&format!("- and {more} more\n"));
            }
        }
        Ok(body)
    }

    /// The branch of the pull request.
    fn branch(&self) -> String {
        match &self.version {
            Some(version) => format!("release/{version}"),
            None => format!("promote/{}", self.to.name()),
        }
    }

    fn propose(&self, git: &Git, source: &PromotionSource, proposal: &Proposal) -> Result<()> {
        let api = Api::from_env(&["DELIVERY_BOT_TOKEN", "GITHUB_TOKEN"])?;
        let branch = self.branch();
        let open = api
            .list("/pulls?state=open", None)?
            .into_iter()
            .find(|pull| {
                let (head, base) = (&pull["head"], &pull["base"]);
                head["ref"] == branch.as_str()
                && base["ref"] == self.to.branch()
                // A fork may have a branch of the same name.
                && head["repo"]["full_name"] == base["repo"]["full_name"]
            });
        let listed = git.read(&["ls-remote", &self.remote, &format!("refs/heads/{branch}")])?;
        let there = listed.split_whitespace().next().unwrap_or_default();
        if let Some(pull) = &open
            && !self.refresh
        {
            let proposed = git.fetch(&self.remote, &format!("refs/heads/{branch}"))?;
            let proposed = Values::read(git, &proposed, &self.to.file())?.image()?;
            return Self::report_open(pull, proposed.as_ref(), &proposal.image);
        }
        // The push fails if the remote branch changed in the meantime.
        let lease = format!("--force-with-lease=refs/heads/{branch}:{there}");
        let place = format!("{}:refs/heads/{branch}", proposal.head);
        git.read(&["push", "--quiet", &lease, &self.remote, &place])
            .with_context(|| format!("cannot push {branch}"))?;
        let text = json!({"title": proposal.title, "body": proposal.body});
        let (result, pull) = match open {
            Some(pull) => {
                let number = number(&pull)?;
                (
                    "refreshed",
                    api.send("PATCH", &format!("/pulls/{number}"), &text)?,
                )
            }
            None => {
                let mut pull = text;
                pull["head"] = branch.into();
                pull["base"] = self.to.branch().into();
                ("proposed", api.send("POST", "/pulls", &pull)?)
            }
        };
        let number = number(&pull)?;
        workflow::output("number", &number.to_string())?;
        report(
            result,
            &format!(
                "{} gets {} of {} by pull request {number}: {}",
                self.to.name(),
                proposal.image.tag,
                source.name,
                pull["html_url"].as_str().unwrap_or_default()
            ),
        )
    }

    fn report_open(
        pull: &Value,
        proposed: Option<&ImageReference>,
        image: &ImageReference,
    ) -> Result<()> {
        let number = number(pull)?;
        workflow::output("number", &number.to_string())?;
        let proposed = proposed.map_or("no image", |image| image.tag.as_str());
        let mut message = format!("pull request {number} is open and proposes {proposed}");
        if proposed != image.tag {
            message.push_str(&format!(
                "; `--refresh` makes it {}, and its approvals are lost",
                image.tag
            ));
        }
        report("open", &message)
    }
}

fn number(pull: &Value) -> Result<i64> {
    pull["number"]
        .as_i64()
        .context("the forge's pull request has no number")
}

/// Prints the result, and sets the output `result`.
fn report(result: &str, message: &str) -> Result<()> {
    println!("{message}");
    if result != "proposed" {
        workflow::annotate_notice(message);
    }
    workflow::output("result", result)?;
    workflow::summary(&format!("**Promote:** {message}"))
}
