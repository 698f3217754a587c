//! The gate: which images a change may give to the environments.
//!
//! The image that a values file pins is what an environment runs, so a person with an editor could deploy anything. A
//! change of an image passes only if CI signed the image, the image was built from a commit in the history of the change,
//! and the image comes to the environment the usual way: by a build, by a promotion from the environment before, or back
//! from the environment's own past, under a hold. While a hold is there, only a rollback changes the image. An image is
//! promoted only if Argo CD has reported that the environment before runs it healthily.

use super::health::Reports;
use super::plan::before;
use super::registry::Registry;
use super::rollback::has_rollback;
use super::values_file::ValuesFile;
use super::verification;
use crate::workflow::{self, Event, Payload};
use anyhow::{Context, Result, bail, ensure};
use devkit::delivery::{Delivery, Environment, Promotion};
use devkit::git::{Git, short};
use devkit::reference::{Digest, Image};
use std::time::Duration;

/// How many changes of a values file are searched for an earlier image.
const HISTORY: usize = 200;

/// A change that may give environments other images.
pub(super) struct Gate<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) git: &'a Git,
    /// The commit to compare with; `None` if everything is new.
    pub(super) base: Option<String>,
    /// The changed commit.
    pub(super) head: String,
    /// The environment whose branch was pushed to. The change is part of that branch already.
    pub(super) pushed: Option<&'a Environment>,
}

impl<'a> Gate<'a> {
    /// The change of the workflow's event; outside a workflow, what HEAD has beyond the branch that images are built from.
    pub(super) fn from_env(git: &'a Git, delivery: &'a Delivery) -> Result<Self> {
        let trunk = &delivery.first().branch;
        let since = |branch: &str, head: &str| {
            let tip = git.commit(&format!("refs/remotes/origin/{branch}"));
            let tip = tip.with_context(|| {
                format!("this clone does not have the branch {branch}: fetch all branches")
            })?;
            git.read(&["merge-base", &tip, head])
                .with_context(|| format!("no common history with {branch}"))
        };
        let mut gate = Self {
            delivery,
            git,
            base: None,
            head: String::new(),
            pushed: None,
        };
        if workflow::var("GITHUB_EVENT_NAME").is_none() {
            gate.head = git.head()?;
            gate.base = Some(since(trunk, &gate.head)?);
            return Ok(gate);
        }
        let event = Event::from_env()?;
        gate.head.clone_from(&event.sha);
        gate.pushed = event.branch().and_then(|branch| delivery.by_branch(branch));
        gate.base = if event.is_pull_request() {
            Some(since(&workflow::require("GITHUB_BASE_REF")?, &event.sha)?)
        } else if gate.pushed.is_some() {
            // A new or rewritten branch is compared with nothing.
            before(&event, &Payload::read()?, git).ok()
        } else {
            Some(since(trunk, &event.sha)?)
        };
        Ok(gate)
    }

    /// Checks the images of all environments. Returns what was found, a sentence each.
    ///
    /// # Errors
    /// When an environment must not get its new image; with the reason for each such environment.
    pub(super) fn check(&self) -> Result<Vec<String>> {
        let (mut passed, mut problems) = (Vec::new(), Vec::new());
        for env in self.delivery.environments() {
            match self.check_environment(env) {
                Ok(found) => passed.extend(found),
                Err(error) => problems.push(format!("\n- {}: {error:#}", env.values)),
            }
        }
        ensure!(
            problems.is_empty(),
            "the change gives environments images that they must not run:{}",
            problems.concat()
        );
        Ok(passed)
    }

    /// Checks the image of an environment. Returns `None` if it does not change.
    fn check_environment(&self, env: &Environment) -> Result<Option<String>> {
        let Some(after) = self.values(&self.head, env)? else {
            return Ok(None);
        };
        let before = match &self.base {
            // What cannot be read has no image that could stay the same.
            Some(base) => self.values(base, env).unwrap_or_default(),
            None => None,
        };
        let image = after.image()?;
        let old = before.as_ref().and_then(|file| file.image().ok().flatten());
        if image == old {
            return Ok(None);
        }
        let image = image.with_context(|| {
            format!("the change removes the image of {env}: restore `image.tag` and `image.digest`")
        })?;
        if self.is_from_branch(env, &image)? {
            return Ok(Some(format!(
                "{env} has {} as on {}",
                image.tag, env.branch
            )));
        }
        if let Some(before) = &before {
            ensure!(
                after.has_image_settings_of(before),
                "a change of an image may change only `image.tag` and `image.digest`: change the other keys of `image` separately"
            );
        }
        let hold = before.as_ref().map(ValuesFile::hold).transpose()?;
        let was_held = hold.flatten().is_some();
        let how = self.origin(env, &image, &after, was_held)?;
        let built = verification::verify(&Registry::from_env(self.delivery)?, &image.digest)?;
        verification::require_part_of(self.git, &built, &self.head, "the history of this change")?;
        Ok(Some(format!(
            "{env} gets {} of commit {}, {how}",
            image.tag,
            short(&built)
        )))
    }

    /// Whether the environment's own branch has this image, so that the change only merges it.
    fn is_from_branch(&self, env: &Environment, image: &Image) -> Result<bool> {
        if self.is_pushed(env) {
            return Ok(false);
        }
        let Some(commit) = self.newest(env)? else {
            return Ok(false);
        };
        let values = self.values(&commit, env)?;
        Ok(values.is_some_and(|file| file.image().is_ok_and(|it| it.as_ref() == Some(image))))
    }

    /// The way that an image comes to an environment, for people.
    ///
    /// # Errors
    /// When there is no such way.
    fn origin(
        &self,
        env: &Environment,
        image: &Image,
        after: &ValuesFile,
        was_held: bool,
    ) -> Result<String> {
        if let Some(hold) = after.hold()? {
            ensure!(
                !was_held || self.is_rollback(env)?,
                "{env} is on hold ({hold}): only `cargo pipeline rollback` changes the image; for another one, first run `cargo pipeline release-hold --env {env}`"
            );
            ensure!(
                self.had(env, &image.digest)?,
                "{env} is on hold ({hold}), and never had {}: on hold, only an image that {env} had before is allowed",
                image.tag
            );
            return Ok(format!("which {env} had before"));
        }
        let lower = self.delivery.previous(env);
        let Some(lower) = lower.filter(|_| env.promotion != Promotion::Build) else {
            return Ok("which CI built".to_owned());
        };
        let commit = self.newest(lower)?.with_context(|| {
            format!(
                "the change contains no commit of {}, the branch of {lower}: run `cargo pipeline promote`",
                lower.branch
            )
        })?;
        let values = self.values(&commit, lower)?;
        let source = values.map(|file| file.image()).transpose()?.flatten();
        let is_same = |source: &Image| {
            let same_tag = env.promotion == Promotion::Tag || source.tag == image.tag;
            source.digest == image.digest && same_tag
        };
        if !source.as_ref().is_some_and(is_same) {
            let source = source.map_or("no image".to_owned(), |it| {
                format!("{} with {}", it.tag, it.digest)
            });
            bail!(
                "{env} may only get the image that {lower} has at {}, which is {source}: run `cargo pipeline promote`, or `cargo pipeline rollback` to go back",
                short(&commit)
            );
        }
        // What is merged already is not held up by what happened to the other environment since.
        if !self.is_pushed(env)
            && let Some(reports) = Reports::from_env(self.git, self.delivery, lower)?
        {
            reports.require_healthy(&commit, image, Duration::ZERO)?;
            return Ok(format!(
                "which {lower} runs healthily at {}",
                short(&commit)
            ));
        }
        Ok(format!("which {lower} has at {}", short(&commit)))
    }

    /// Whether a commit of this change is a rollback of the environment.
    fn is_rollback(&self, env: &Environment) -> Result<bool> {
        let Some(base) = &self.base else {
            return Ok(false);
        };
        has_rollback(self.git, &format!("{base}..{}", self.head), &env.values)
    }

    /// Whether an environment had an image before this change.
    fn had(&self, env: &Environment, digest: &Digest) -> Result<bool> {
        let tip = match self.is_pushed(env) {
            true => self.base.clone(),
            false => self.newest(env)?,
        };
        let Some(tip) = tip else {
            return Ok(false);
        };
        let most = format!("--max-count={HISTORY}");
        let args = ["log", "--first-parent", "--format=%H", &most, &tip, "--"];
        let log = self.git.read(&[&args[..], &[&env.values]].concat())?;
        let has = |commit: &str| {
            let file = ValuesFile::read(self.git, commit, &env.values);
            let image = file.and_then(|file| file.image()).ok().flatten();
            image.is_some_and(|image| image.digest == *digest)
        };
        Ok(log.lines().any(has))
    }

    /// The newest commit of an environment's branch that the change contains, by first parents: a commit that the branch
    /// itself had. `None` if the branch does not exist or has nothing in common with the change.
    fn newest(&self, env: &Environment) -> Result<Option<String>> {
        let git = self.git;
        let tip = format!("refs/remotes/origin/{}", env.branch);
        let Some(tip) = git.commit(&tip) else {
            ensure!(
                !git.is_shallow()?,
                "this clone has only a part of the history: run `git fetch --unshallow`"
            );
            return Ok(None);
        };
        let without = format!("^{}", self.head);
        let later = git.read(&["rev-list", "--first-parent", &tip, &without])?;
        Ok(match later.lines().last() {
            None => Some(tip),
            Some(oldest) => git.commit(&format!("{oldest}^1")),
        })
    }

    fn is_pushed(&self, env: &Environment) -> bool {
        self.pushed.is_some_and(|pushed| pushed.name == env.name)
    }

    /// The values of an environment at a commit; `None` if the commit has none.
    fn values(&self, commit: &str, env: &Environment) -> Result<Option<ValuesFile>> {
        let path = &env.values;
        match self
            .git
            .read(&["ls-tree", "--full-tree", commit, "--", path])?
            .is_empty()
        {
            true => Ok(None),
            false => ValuesFile::read(self.git, commit, path).map(Some),
        }
    }
}
