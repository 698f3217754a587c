//! Access to the Git remote that has the environments' branches, and the identity of the commits that go there.

use crate::workflow;
use anyhow::{Context, Result, bail};
use devkit::git::{Git, Identity};

/// The exit code when an environment is on hold: nothing was changed, and nothing failed.
pub(super) const HELD: u8 = 3;

/// The repository, with the identity of the delivery bot and with access to one of its remotes.
pub(super) fn with_remote(git: Git, remote: &str) -> Result<Git> {
    let url = git
        .remote_url(remote)
        .with_context(|| format!("there is no remote `{remote}`"))?;
    with_bot(git, &url)
}

/// The repository, with the identity of the delivery bot and with its token for a URL. A workflow needs the token;
/// people have their own access.
pub(super) fn with_bot(git: Git, url: &str) -> Result<Git> {
    let git = git.with_identity(identity());
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Ok(git);
    }
    match workflow::secret("DELIVERY_BOT_TOKEN")? {
        Some(token) => Ok(git.with_token(url, &token)),
        None if workflow::in_workflow() => bail!(
            "DELIVERY_BOT_TOKEN is not set: set this secret, or the variable DELIVERY_BOT_CLIENT_ID and the secret DELIVERY_BOT_PRIVATE_KEY (docs/github.md)"
        ),
        None => Ok(git),
    }
}

/// The author and committer of the delivery bot's commits.
fn identity() -> Identity {
    let or = |variable: &str, default: &str| {
        workflow::var(variable).unwrap_or_else(|| default.to_owned())
    };
    Identity {
        name: or("DELIVERY_BOT_NAME", "delivery-bot"),
        email: or("DELIVERY_BOT_EMAIL", "delivery-bot@delivery-bot.invalid"),
    }
}
