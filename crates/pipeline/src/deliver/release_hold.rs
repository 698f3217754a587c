//! `cargo pipeline release-hold` lets write-backs and promotions to an environment through again.

use super::change::{Change, Decision, Edit};
use super::values_file::SUBJECT_PREFIX;
use anyhow::Result;

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
                return Ok(Decision::Unchanged(format!("{env} is not on hold")));
            };
            Ok(Decision::Edit(Edit {
                values: present.values.without_hold()?,
                message: format!(
                    "{SUBJECT_PREFIX}release the hold of {env}\n\nThe hold was: {hold}\n"
                ),
                title: format!("Release the hold of {env}"),
                body: format!("The hold was: {hold}.\n\n{env} gets new images again."),
            }))
        })
    }
}
