//! What an event needs. A commit that changes nothing but environment values deploys what is already built; building
//! it again would write back, and the write-back would build again. And an image is built on its way to `develop`, never
//! after: staging and main run the same bytes.

use crate::Outcome;
use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, Event};
use anyhow::{Context, Result};
use serde_json::Value;

/// Decide from the event whether code has to be tested and an image built.
///
/// Prints both with the reason, and sets the step's outputs `code` and `build`.
#[derive(clap::Args)]
pub(crate) struct Plan {}

impl Plan {
    pub(crate) fn run(&self) -> Outcome {
        let event = Event::from_env()?;
        let git = Git::new(&root()?);
        let decision = decide(&event, &payload()?, &git);
        let Decision { code, reason } = &decision;
        let build = *code && builds(&event);
        println!("code={code} build={build}: {reason}");
        workflow::output("code", &code.to_string())?;
        workflow::output("build", &build.to_string())
    }
}

/// What the forge says about the event; nothing outside a workflow.
pub(crate) fn payload() -> Result<Value> {
    let Some(file) = workflow::var("GITHUB_EVENT_PATH") else {
        return Ok(Value::Null);
    };
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read the event ({file})"))?;
    serde_json::from_str(&text).with_context(|| format!("the event ({file}) is not JSON"))
}

struct Decision {
    code: bool,
    reason: String,
}

/// Whether an image of this event may ever run, or at least has to be proven to build.
fn builds(event: &Event) -> bool {
    !matches!(event.branch(), Some("main" | "staging"))
}

/// In doubt, it is code: a needless build costs a minute, a missing one an outage.
fn decide(event: &Event, payload: &Value, git: &Git) -> Decision {
    let code = |reason: String| Decision { code: true, reason };
    let base = match base(event, payload, git) {
        Ok(base) => base,
        Err(reason) => return code(format!("{reason:#}")),
    };
    // Without rename detection a values file that became something else is one of both names.
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
        // People push an empty commit to ask for a run.
        None if files.is_empty() => code(format!("nothing changed since {since}")),
        None => Decision {
            code: false,
            reason: format!("only environment values changed since {since}"),
        },
    }
}

/// The commit to compare with: what came by `develop` had its run there, push by push.
///
/// Anything else counts as a whole from where it left `develop`: a green run of a branch's last commit must mean that its
/// code was tested. What is promoted has nothing there but values, unless somebody put code in on the way.
fn base(event: &Event, payload: &Value, git: &Git) -> Result<String> {
    match event.branch() {
        Some("develop") => return before(event, payload, git),
        None if !event.is_pull_request() => anyhow::bail!("{} is not a branch", event.reference),
        _ => {}
    }
    let develop = git
        .commit("refs/remotes/origin/develop")
        .context("this clone doesn't have the branch develop")?;
    git.read(&["merge-base", &develop, &event.sha])
        .context("no common history with develop")
}

fn before(event: &Event, payload: &Value, git: &Git) -> Result<String> {
    let before = payload
        .get("before")
        .and_then(Value::as_str)
        .filter(|before| workflow::is_commit(before))
        .context("the event doesn't say what the branch was before")?;
    anyhow::ensure!(before.bytes().any(|b| b != b'0'), "the branch is new");
    let before = git
        .commit(before)
        .context("the commit before this push is unknown here")?;
    let forward = git.contains(&event.sha, &before)?;
    anyhow::ensure!(forward, "the branch was rewritten");
    Ok(before)
}

/// `charts/waybill/values-<env>.yaml`, and nothing deeper.
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
