//! What Argo CD reports about the environments, as commit statuses `argocd/<Application>` (`argocd/install`). CI cannot
//! ask Argo CD itself, whose cluster may be private.

use super::values_file::ValuesFile;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use devkit::delivery::{Delivery, Environment};
use devkit::forge::{Forge, Status, StatusState};
use devkit::git::{Git, short};
use devkit::reference::Image;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The variable with the account whose statuses count: the one that Argo CD's notifications use.
const ACCOUNT: &str = "ARGOCD_ACCOUNT";

/// The value of the variable where Argo CD reports nothing, so that nothing is required.
const NONE: &str = "none";

/// How many commits of a branch are searched for the one that was deployed, on each side of a given one.
const COMMITS: usize = 50;

/// The reports of one environment.
pub(super) struct Reports<'a> {
    pub(super) git: &'a Git,
    pub(super) env: &'a Environment,
    forge: Forge,
    account: String,
    context: String,
}

/// The newest report about an image.
enum Report {
    /// There is none. A status of another account, if any, does not count.
    Missing(Option<String>),
    /// Argo CD has set this status on the commit.
    Found(String, Status),
}

impl<'a> Reports<'a> {
    /// The reports of an environment; `None` where they are not required.
    ///
    /// # Errors
    /// In a workflow that does not say whose reports count.
    pub(super) fn from_env(
        git: &'a Git,
        delivery: &Delivery,
        env: &'a Environment,
    ) -> Result<Option<Self>> {
        let account = match workflow::var(ACCOUNT) {
            Some(account) if account == NONE => return Ok(None),
            Some(account) => account,
            None if !workflow::in_workflow() => return Ok(None),
            None => bail!(
                "it is not known whether {env} is healthy: set the variable {ACCOUNT} to the account of Argo CD's commit statuses, or to `{NONE}` to promote without them (argocd/README.md)"
            ),
        };
        Ok(Some(Self {
            git,
            env,
            forge: Forge::from_env(&["GITHUB_TOKEN", "DELIVERY_BOT_TOKEN"])?,
            account,
            context: format!("argocd/{}", delivery.application(env)),
        }))
    }

    /// Fails unless Argo CD has reported that the environment runs an image healthily, which its values have at a commit
    /// of its branch. Waits for a missing report up to `patience`.
    pub(super) fn require_healthy(
        &self,
        commit: &str,
        image: &Image,
        patience: Duration,
    ) -> Result<()> {
        let start = Instant::now();
        let report = loop {
            match self.newest(commit, image)? {
                Report::Missing(_) if start.elapsed() < patience => sleep(Duration::from_secs(5)),
                report => break report,
            }
        };
        let (env, context) = (self.env, &self.context);
        let (sha, status) = match report {
            Report::Found(sha, status) => (sha, status),
            Report::Missing(other) => {
                let other = other.map_or(String::new(), |other| {
                    format!("; the status that {other} set does not count")
                });
                bail!(
                    "{env} has not reported that {} is healthy: {} sets the status `{context}` on a commit of {} when it is{other}",
                    image.tag,
                    self.account,
                    env.branch
                );
            }
        };
        let said = format!("`{context}` at {}: {}", short(&sha), status.description);
        ensure!(
            status.state == StatusState::Success,
            "{env} is not healthy with {} ({said})",
            image.tag
        );
        let digest = image.digest.as_str();
        ensure!(
            status.description.contains(digest) || status.target_url.contains(digest),
            "{env} has not reported that it runs {digest} ({said}): sync it again"
        );
        Ok(())
    }

    /// The newest report of a commit whose values have the image.
    fn newest(&self, commit: &str, image: &Image) -> Result<Report> {
        let mut other = None;
        for sha in self.commits(commit, image)? {
            let mut statuses = self.forge.statuses(&sha)?;
            statuses.retain(|status| status.context == self.context);
            // On GitHub, names of accounts have no case.
            let is_ours = |status: &Status| status.creator.eq_ignore_ascii_case(&self.account);
            let (ours, others): (Vec<_>, Vec<_>) = statuses.into_iter().partition(is_ours);
            if let Some(status) = ours.into_iter().max_by_key(|status| status.id) {
                return Ok(Report::Found(sha, status));
            }
            other = other.or_else(|| others.into_iter().map(|status| status.creator).next());
        }
        Ok(Report::Missing(other))
    }

    /// The commits of the branch, newest first, that have the image without a gap around a commit. Argo CD deploys the
    /// newest commit of a branch, which need not be the one that changed the image.
    fn commits(&self, commit: &str, image: &Image) -> Result<Vec<String>> {
        let has_image = |sha: &&str| {
            let file = ValuesFile::read(self.git, sha, &self.env.values);
            let found = file.and_then(|file| file.image()).ok().flatten();
            found.is_some_and(|found| found.digest == image.digest)
        };
        let list = |args: &[&str]| {
            self.git
                .read(&[&["rev-list", "--first-parent"], args].concat())
        };
        let tip = format!("refs/remotes/origin/{}", self.env.branch);
        let tip = self.git.commit(&tip).context("the branch is gone")?;
        let since = list(&["--reverse", &tip, &format!("^{commit}")])?;
        let later = since.lines().take(COMMITS).take_while(has_image);
        let mut commits: Vec<String> = later.map(str::to_owned).collect();
        commits.reverse();
        let until = list(&[&format!("--max-count={COMMITS}"), commit])?;
        commits.extend(until.lines().take_while(has_image).map(str::to_owned));
        Ok(commits)
    }
}
