//! Access to the Git remote that has the environments' branches.

use crate::git::Git;
use crate::workflow;
use anyhow::{Context, Result, bail};

/// The exit code when an environment is held: nothing was changed, and nothing failed.
pub(super) const HELD: u8 = 3;

/// The repository with access to one of its remotes.
pub(super) fn with_remote(git: Git, remote: &str) -> Result<Git> {
    let url = git
        .read(&["remote", "get-url", remote])
        .with_context(|| format!("there is no remote `{remote}`"))?;
    with_bot_token(git, &url)
}

/// The repository with the delivery bot's token for a URL. A workflow needs the token; people have their own access.
pub(super) fn with_bot_token(git: Git, url: &str) -> Result<Git> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Ok(git);
    }
    match workflow::var("DELIVERY_BOT_TOKEN") {
        Some(token) => Ok(git.with_token(url, &token)),
        None if workflow::in_workflow() => bail!(
            "DELIVERY_BOT_TOKEN is not set: set the secret, or the variable BOT_APP_ID and the key of the app (docs/pipeline.md)"
        ),
        None => Ok(git),
    }
}
