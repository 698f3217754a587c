//! A promotion: the pull request that gives an environment the image which the one before it runs.
//!
//! Its branch is the environment's tip, a merge of what the image ran on, and one commit that copies tag and digest.
//! So reviewers see the digest that they approve, and what they approve is what will be there. Later pushes don't move it.

use crate::Outcome;
use crate::api::Api;
use crate::deliver::deploy::{HELD, to_remote};
use crate::deliver::environment::{Env, Image, Source, Values};
use crate::deliver::registry::Registry;
use crate::deliver::release;
use crate::deliver::sign as signature;
use crate::deliver::tags;
use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, short};
use anyhow::{Context, Result, bail, ensure};
use clap::builder::FalseyValueParser;
use serde_json::{Value, json};
use std::process::ExitCode;

/// How many commits a description lists.
const COMMITS: usize = 50;

/// Propose to an environment the image that the one before it runs.
///
/// To staging goes what dev runs, as pull request `promote/staging`; to prod what a version tag on staging names, as
/// `release/VERSION`. One that is open already stays as it is, so that nobody approves one thing and gets another;
/// `--refresh` makes it anew, and its approvals are lost.
///
/// Proposes only an image whose signature and provenance verify. Where the values say `hold`, nothing is proposed and
/// the exit code is 3. As the owner of DELIVERY_BOT_TOKEN, who can't approve it.
#[derive(clap::Args)]
pub(crate) struct Promote {
    /// The environment that gets the image: staging or prod
    #[arg(long, value_enum)]
    to: Env,
    /// The version tag on staging whose image goes to prod
    #[arg(long, value_name = "TAG", required_if_eq("to", "prod"))]
    version: Option<String>,
    /// Make an open pull request anew
    #[arg(long, env = "PROMOTE_REFRESH", value_parser = FalseyValueParser::new())]
    refresh: bool,
    /// Show what would be proposed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The remote that has the branches
    #[arg(long, default_value = "origin")]
    remote: String,
}

/// Where the image comes from.
struct Origin {
    env: Env,
    /// The commit of its branch that has the values.
    commit: String,
    /// What people call that: `develop (0123abc)`.
    name: String,
    /// The tag that the image gets in the values, if another than there.
    tag: Option<String>,
}

impl Origin {
    fn image(&self, git: &Git) -> Result<Image> {
        let env = self.env;
        let image = Values::read(git, &self.commit, &env.file())?.image()?;
        let mut image = image.with_context(|| {
            format!(
                "{} has no image at {}: there is nothing to promote",
                env.name(),
                self.name
            )
        })?;
        if let Some(tag) = &self.tag {
            image.tag.clone_from(tag);
        }
        Ok(image)
    }

    /// The tip of a branch with all of this in it.
    fn merged_into(&self, git: &Git, tip: &str, branch: &str) -> Result<String> {
        if git.contains(tip, &self.commit)? {
            return Ok(tip.to_owned());
        }
        let message = format!("Merge {} into {branch}", self.name);
        git.merge(tip, &self.commit, &message).with_context(|| {
            format!(
                "{} can't be promoted: merge {branch} into a branch of your own, and that one to develop first",
                self.name
            )
        })
    }

    fn must_contain(&self, git: &Git, built: &str) -> Outcome {
        ensure!(
            git.contains(&self.commit, built)?,
            "the image was built from {}, which is not part of {}",
            short(built),
            self.name
        );
        Ok(())
    }
}

/// What is proposed, as commits of this clone.
struct Proposal {
    head: String,
    image: Image,
    title: String,
    body: String,
}

enum Prepared {
    Proposal(Box<Proposal>),
    /// Everything is there already.
    Unchanged(Image),
    /// The values say `hold`, and why.
    Held(String),
}

impl Promote {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let git = to_remote(Git::new(&root()?), &self.remote)?;
        ensure!(
            !git.is_shallow()?,
            "this clone has only a part of the history: fetch all of it"
        );
        let origin = self.origin(&git)?;
        let env = self.to.name();
        match self.prepare(&git, &origin)? {
            Prepared::Held(why) => {
                said("held", &format!("{env} is held and stays as it is: {why}"))?;
                Ok(ExitCode::from(HELD))
            }
            Prepared::Unchanged(image) => {
                said("unchanged", &format!("{env} has {} already", image.tag))?;
                Ok(ExitCode::SUCCESS)
            }
            Prepared::Proposal(proposal) if self.dry_run => {
                println!("{}\n\n{}", proposal.title, proposal.body);
                Ok(ExitCode::SUCCESS)
            }
            Prepared::Proposal(proposal) => {
                self.propose(&git, &origin, &proposal)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn origin(&self, git: &Git) -> Result<Origin> {
        match (self.to, &self.version) {
            (Env::Dev, _) => {
                bail!("dev gets what is merged to develop; to promote is for staging and prod")
            }
            (Env::Staging, Some(_)) => bail!("`--version` is for prod: staging gets what dev runs"),
            (Env::Staging, None) => {
                let branch = Env::Dev.branch();
                let commit = git.fetch(&self.remote, &format!("refs/heads/{branch}"))?;
                Ok(Origin {
                    env: Env::Dev,
                    name: format!("{branch} ({})", short(&commit)),
                    commit,
                    tag: None,
                })
            }
            (Env::Prod, None) => bail!("say which version goes to prod: `--version vX.Y.Z`"),
            (Env::Prod, Some(version)) => {
                ensure!(
                    !tags::is_preview(version)?,
                    "{version} is a preview, which prod doesn't get"
                );
                let commit = git.fetch(&self.remote, &format!("refs/tags/{version}"))?;
                let staging = git.fetch(&self.remote, "refs/heads/staging")?;
                release::is_on_staging(git, &staging, &commit)?;
                Ok(Origin {
                    env: Env::Staging,
                    commit,
                    name: version.clone(),
                    tag: Some(version.clone()),
                })
            }
        }
    }

    fn prepare(&self, git: &Git, origin: &Origin) -> Result<Prepared> {
        let image = origin.image(git)?;
        let branch = self.to.branch();
        let tip = git.fetch(&self.remote, &format!("refs/heads/{branch}"))?;
        let merged = origin.merged_into(git, &tip, branch)?;
        let before = Values::read(git, &merged, &self.to.file())?;
        let after = before.with(&image)?;
        if merged == tip && before.text() == after.text() {
            return Ok(Prepared::Unchanged(image));
        }
        if let Some(why) = before.hold()? {
            return Ok(Prepared::Held(why));
        }
        let built = signature::verify(&Registry::from_env()?, &image.digest)?;
        origin.must_contain(git, &built)?;
        let message = before.message(self.to, &image, &Source::read(git, &built)?)?;
        Ok(Prepared::Proposal(Box::new(Proposal {
            head: after.commit(git, &merged, &message)?,
            title: format!("Promote {} to {}", image.tag, self.to.name()),
            body: self.body(git, origin, &image, &built, &tip)?,
            image,
        })))
    }

    /// What reviewers have to know.
    fn body(
        &self,
        git: &Git,
        origin: &Origin,
        image: &Image,
        built: &str,
        tip: &str,
    ) -> Result<String> {
        let env = self.to.name();
        let mut body = format!(
            "`{}`, which {} runs, goes to {env}.\n\n- digest: `{}`\n- built from: {built}\n\nAfter the merge {env} is OutOfSync until somebody syncs it: `argocd app sync waybill-{env}`.\n",
            image.tag,
            origin.env.name(),
            image.digest,
        );
        let range = format!("{tip}..{}", origin.commit);
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

    /// The branch of the pull request: there is one at a time.
    fn branch(&self) -> String {
        match &self.version {
            Some(version) => format!("release/{version}"),
            None => format!("promote/{}", self.to.name()),
        }
    }

    fn propose(&self, git: &Git, origin: &Origin, proposal: &Proposal) -> Outcome {
        let api = Api::from_env(&["DELIVERY_BOT_TOKEN", "GITHUB_TOKEN"])?;
        let branch = self.branch();
        let open = api
            .list("/pulls?state=open", None)?
            .into_iter()
            .find(|pull| {
                let (head, base) = (&pull["head"], &pull["base"]);
                head["ref"] == branch.as_str()
                && base["ref"] == self.to.branch()
                // A fork may call a branch what it likes.
                && head["repo"]["full_name"] == base["repo"]["full_name"]
            });
        let listed = git.read(&["ls-remote", &self.remote, &format!("refs/heads/{branch}")])?;
        let there = listed.split_whitespace().next().unwrap_or_default();
        if let Some(pull) = &open
            && !self.refresh
        {
            let proposed = git.fetch(&self.remote, &format!("refs/heads/{branch}"))?;
            let proposed = Values::read(git, &proposed, &self.to.file())?.image()?;
            return Self::stays(pull, proposed.as_ref(), &proposal.image);
        }
        // Only what was there a moment ago is replaced.
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
        said(
            result,
            &format!(
                "{} gets {} of {} by pull request {number}: {}",
                self.to.name(),
                proposal.image.tag,
                origin.name,
                pull["html_url"].as_str().unwrap_or_default()
            ),
        )
    }

    fn stays(pull: &Value, proposed: Option<&Image>, image: &Image) -> Outcome {
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
        said("open", &message)
    }
}

fn number(pull: &Value) -> Result<i64> {
    pull["number"]
        .as_i64()
        .context("the forge's pull request has no number")
}

/// Prints what became of it, and sets the output `result`.
fn said(result: &str, message: &str) -> Outcome {
    println!("{message}");
    if result != "proposed" {
        workflow::annotate_notice(message);
    }
    workflow::output("result", result)?;
    workflow::summary(&format!("**Promote:** {message}"))
}
