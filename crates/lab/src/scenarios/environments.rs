//! B10, C22. An environment is an entry in Git: Argo CD creates it from there, and removes it in the documented order, in which
//! nothing is deleted without a confirmation and nothing is left.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use devkit::git::Git;
use devkit::process::Run;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::world::World;
use crate::argocd::api::{ArgoCd, NAMESPACE};
use crate::argocd::application::{Application, HealthStatus, OperationPhase, SyncStatus};
use crate::cluster::database;
use crate::cluster::kubectl::kubectl;
use crate::delivery::ship::SERVING_LIMIT;
use crate::expect::{Verdict, eventually};

/// The environment.
const NAME: &str = "scratch";

/// The branch that the root Application reads meanwhile, so that prod's branch need not change.
const BRANCH: &str = "scenario/environments";

/// The environments in Argo CD's chart.
const VALUES: &str = "argocd/values.yaml";

pub(super) fn run(world: &World) -> Result<()> {
    let scratch = Scratch::new(world)?;
    let result = scratch.comes_and_goes();
    // Whatever happened, the root waits for nothing and reads prod's branch again.
    let main = &world.delivery.last().branch;
    let restored = scratch.confirm().and_then(|()| scratch.read_from(main));
    let removed = scratch.remove_data();
    result.and(restored).and(removed)
}

/// The environment that comes and goes.
struct Scratch<'a> {
    world: &'a World,
    clone: PathBuf,
    git: Git,
    argocd: ArgoCd,
    /// The name of its Application, its project and its namespace.
    application: String,
    /// What `argocd/values.yaml` has without it.
    without: String,
}

impl<'a> Scratch<'a> {
    fn new(world: &'a World) -> Result<Self> {
        let clone = world.clone("environments", &world.staging()?.entry.branch)?;
        Ok(Self {
            world,
            git: world.forge.bot_git(&clone),
            argocd: ArgoCd::new(&world.kubernetes)?,
            application: format!("{}-{NAME}", world.delivery.name),
            without: fs::read_to_string(clone.join(VALUES))?,
            clone,
        })
    }

    fn comes_and_goes(&self) -> Result<()> {
        let Self {
            world, application, ..
        } = self;
        // When Git gets an entry and values, then the environment becomes Healthy.
        let staging = world.staging()?.entry;
        let values = world.forge.values(staging, &staging.branch)?;
        database::create_empty(application, &values)?;
        self.write(&staging.values.replace(&staging.name, NAME), values.text())?;
        let entry = format!("  {NAME}:\n    branch: {BRANCH}\n    automated: true\n");
        self.write(VALUES, &format!("{}\n{entry}", self.without.trim_end()))?;
        let root = "argocd/templates/application-root.yaml";
        let branch = format!("targetRevision: {}\n", world.delivery.last().branch);
        world.edit(
            &self.clone,
            root,
            &branch,
            &format!("targetRevision: {BRANCH}\n"),
        )?;
        self.push("Add an environment")?;
        self.read_from(BRANCH)?;
        eventually(&format!("{application} is Healthy"), SERVING_LIMIT, || {
            let health = self.find()?.map(|found| found.status.health.status);
            Ok(match health {
                Some(HealthStatus::Healthy) => Verdict::Met(()),
                other => Verdict::Pending(format!("it is {other:?}")),
            })
        })?;

        // When the entry is removed, then the root waits for a confirmation and deletes nothing.
        self.write(VALUES, &self.without)?;
        self.push("Remove the environment")?;
        eventually("the root waits for a confirmation", SERVING_LIMIT, || {
            let operation = self.root()?.status.operation_state.unwrap_or_default();
            Ok(
                match operation
                    .message
                    .contains("waiting for pruning confirmation")
                {
                    true => Verdict::Met(()),
                    false => Verdict::Pending(operation.message),
                },
            )
        })?;
        ensure!(
            self.find()?.is_some(),
            "{application} was deleted without a confirmation"
        );

        // When a person deletes the Application with what it runs, then the root does not restore it.
        self.argocd.delete(application)?;
        self.wait_gone("the Application", || Ok(self.find()?.is_none()))?;
        let deployment = || {
            let kubernetes = &world.kubernetes;
            let found = kubernetes.get::<Deployment>(application, &world.delivery.name)?;
            Ok(found.is_none())
        };
        self.wait_gone("the Deployment", deployment)?;

        // When a person confirms, then the project is deleted too.
        self.confirm()?;
        self.wait_gone("the project", || {
            let words = [
                "get",
                "appproject",
                "-n",
                NAMESPACE,
                "--ignore-not-found",
                "-o",
                "name",
            ];
            Ok(kubectl(words).arg(application).read()?.is_empty())
        })?;
        ensure!(self.find()?.is_none(), "the root restored {application}");
        Ok(())
    }

    /// Confirms that the root may delete, as `argocd app confirm-deletion` does.
    fn confirm(&self) -> Result<()> {
        let now = Timestamp::now().round(jiff::Unit::Second)?;
        let approved = format!("argocd.argoproj.io/deletion-approved={now}");
        let words = ["annotate", "--overwrite", "-n", NAMESPACE, "application"];
        let mut annotate = kubectl(words);
        annotate.args([&self.world.delivery.name, &approved]);
        Ok(annotate.run_quietly()?)
    }

    /// Lets the root Application read a branch, and waits until it has applied it.
    fn read_from(&self, branch: &str) -> Result<()> {
        let patch = json!({"spec": {"source": {"targetRevision": branch}}}).to_string();
        let tip = self.world.forge.tip(branch)?;
        let what = format!("the root has applied {branch}");
        eventually(&what, SERVING_LIMIT, || {
            // Again and again: a sync of the other branch that ends meanwhile sets that one.
            let words = ["patch", "application", "-n", NAMESPACE, "--type", "merge"];
            let mut patched = kubectl(words);
            patched.args([&self.world.delivery.name, "--patch", &patch]);
            patched.run_quietly()?;
            let status = self.root()?.status;
            // A sync of the other branch that still runs would set that one afterwards.
            let operation = status.operation_state.unwrap_or_default();
            let is_running = operation.phase == OperationPhase::Running;
            let sync = status.sync;
            let is_applied =
                sync.status == SyncStatus::Synced && Some(&sync.revision) == tip.as_ref();
            Ok(match is_applied && !is_running {
                true => Verdict::Met(()),
                false => Verdict::Pending(format!(
                    "it is {:?} at {}, and its last sync {:?}",
                    sync.status, sync.revision, operation.phase
                )),
            })
        })
    }

    /// Deletes what Argo CD leaves: the namespace and its database.
    fn remove_data(&self) -> Result<()> {
        database::delete_with_namespace(&self.application)?;
        let reference = format!("refs/heads/{BRANCH}");
        let words = ["push", "--quiet", "--delete", "origin", &reference];
        Ok(self.git.read(&words).map(drop)?)
    }

    fn find(&self) -> Result<Option<Application>> {
        self.world.kubernetes.get(NAMESPACE, &self.application)
    }

    fn root(&self) -> Result<Application> {
        let name = &self.world.delivery.name;
        let root = self.world.kubernetes.get(NAMESPACE, name)?;
        root.context("Argo CD has no root Application")
    }

    fn wait_gone(&self, what: &str, is_gone: impl Fn() -> Result<bool>) -> Result<()> {
        eventually(&format!("{what} is gone"), SERVING_LIMIT, || {
            Ok(match is_gone()? {
                true => Verdict::Met(()),
                false => Verdict::Pending("it exists".into()),
            })
        })
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path: &Path = &self.clone.join(path);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Pushes everything in the clone to the branch, without a run of CI.
    fn push(&self, subject: &str) -> Result<()> {
        self.git.read(&["add", "--all"])?;
        let message = format!("{subject} [skip ci]");
        self.git
            .read(&["commit", "--quiet", "--message", &message])?;
        let url = self.world.forge.url();
        Ok(self
            .git
            .push(&url, "HEAD", &format!("refs/heads/{BRANCH}"))?)
    }
}
