//! `cargo pipeline release-hold` lets write-backs and promotions to an environment through again.

use super::change::{Change, Decision, Edit};
use super::values_file::SUBJECT_PREFIX;
use anyhow::Result;
use devkit::{markdown, plain};

/// Release the hold of an environment, so that it gets new images again.
///
/// Removes `hold` from the values file of the environment. The first environment gets a commit; the others get the pull
/// request `release-hold/NAME` with the usual approvals. The image stays until the next write-back or promotion.
#[derive(clap::Args)]
pub(crate) struct ReleaseHold {
    #[command(flatten)]
    change: Change,
}

impl ReleaseHold {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        self.change.run("release-hold", |present| {
            let env = present.env;
            let Some(hold) = present.values.hold()? else {
                return Ok(Decision::Unchanged(plain!("{} is not on hold", env)));
            };
            Ok(Decision::Edit(Edit {
                values: present.values.without_hold()?,
                message: plain!(
                    "{} release the hold of {}\n\nThe hold was: {}\n",
                    SUBJECT_PREFIX,
                    env,
                    hold
                ),
                title: plain!("Release the hold of {}", env),
                body: markdown!("The hold was: {}.\n\n{} gets new images again.", hold, env),
            }))
        })
    }
}
