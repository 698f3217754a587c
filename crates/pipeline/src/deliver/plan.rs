//! `cargo pipeline plan` decides what a workflow run has to do.
//!
//! A commit that changes only environment values deploys an existing image. A build for it would write back to the
//! values, and that commit would build again. Images are built only up to `develop`: staging and main run the same bytes.

use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, Event, Payload};
use anyhow::{Context, Result};

/// Decide whether this event needs tests and an image build.
///
/// Prints both answers with the reason, and sets the outputs `code` and `build`.
#[derive(clap::Args)]
pub(crate) struct Plan {}

impl Plan {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let event = Event::from_env()?;
        let git = Git::new(&root()?);
        let decision = decide(&event, &Payload::read()?, &git);
        let Decision { code, reason } = &decision;
        let build = *code && builds(&event);
        println!("code={code} build={build}: {reason}");
        workflow::output("code", &code.to_string())?;
        workflow::output("build", &build.to_string())
    }
}

struct Decision {
    code: bool,
    reason: String,
}

/// Whether the branch builds images. `main` and `staging` only promote existing ones.
fn builds(event: &Event) -> bool {
    !matches!(event.branch(), Some("main" | "staging"))
}

/// In doubt, the answer is that code changed: a needless build costs a minute, a missing one an outage.
fn decide(event: &Event, payload: &Payload, git: &Git) -> Decision {
    let code = |reason: String| Decision { code: true, reason };
    let base = match base(event, payload, git) {
        Ok(base) => base,
        Err(reason) => return code(format!("{reason:#}")),
    };
    // Without rename detection, a renamed values file counts under both names.
    let range = [
        "diff",
        "--name-only",
        "--no-renames",
        "-z",
        &base,
        &event.sha,
    ];
    let changed = match git.read(&range) {
        Ok(changed) => changed,
        Err(error) => return code(format!("{error:#}")),
    };
    let files: Vec<&str> = changed
        .split('\0')
        .filter(|file| !file.is_empty())
        .collect();
    let since = workflow::short(&base);
    match files.iter().find(|file| !is_values(file)) {
        Some(file) => code(format!("{file} changed since {since}")),
        // People push an empty commit to trigger a run.
        None if files.is_empty() => code(format!("nothing changed since {since}")),
        None => Decision {
            code: false,
            reason: format!("only environment values changed since {since}"),
        },
    }
}

/// The commit to compare with.
///
/// Each push to `develop` has its own run, so it is compared with the push before. All other branches are compared with
/// the point where they left `develop`: a successful run of their last commit must mean that all their code was tested.
fn base(event: &Event, payload: &Payload, git: &Git) -> Result<String> {
    match event.branch() {
        Some("develop") => return before(event, payload, git),
        None if !event.is_pull_request() => anyhow::bail!("{} is not a branch", event.reference),
        _ => {}
    }
    let develop = git
        .commit("refs/remotes/origin/develop")
        .context("this clone does not have the branch develop")?;
    git.read(&["merge-base", &develop, &event.sha])
        .context("no common history with develop")
}

fn before(event: &Event, payload: &Payload, git: &Git) -> Result<String> {
    let before = payload.before.as_deref();
    let before = before
        .filter(|before| workflow::is_commit(before))
        .context("the event does not name the previous commit of the branch")?;
    anyhow::ensure!(before.bytes().any(|b| b != b'0'), "the branch is new");
    let before = git
        .commit(before)
        .context("this clone does not have the commit before this push")?;
    let forward = git.contains(&event.sha, &before)?;
    anyhow::ensure!(forward, "the branch was rewritten");
    Ok(before)
}

/// Whether a file is `charts/waybill/values-<env>.yaml`.
fn is_values(file: &str) -> bool {
    file.strip_prefix("charts/waybill/values-")
        .and_then(|rest| rest.strip_suffix(".yaml"))
        .is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_overlays_are_values() {
        for file in [
            "charts/waybill/values-dev.yaml",
            "charts/waybill/values-prod.yaml",
        ] {
            assert!(is_values(file));
        }
        for file in [
            "charts/waybill/values.yaml",
            "charts/waybill/values-.yaml",
            "charts/waybill/values-a/b.yaml",
            "charts/waybill/ci/values-dev.yaml",
            "x/charts/waybill/values-dev.yaml",
            "charts/waybill/values-dev.yaml.bak",
        ] {
            assert!(!is_values(file), "{file}");
        }
    }
}
