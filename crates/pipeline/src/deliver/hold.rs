//! `cargo pipeline hold` stops write-backs and promotions to an environment.

use super::change::{Change, Decision, Edit, hold_by};
use super::values_file::SUBJECT_PREFIX;
use anyhow::{Result, bail};
use devkit::{markdown, plain};

/// Hold an environment: stop write-backs and promotions to it.
///
/// Adds `hold` with the reason, the person and the date to the values file of the environment. The first environment
/// gets a commit; the others get the pull request `hold/NAME` with the usual approvals. While the hold is there,
/// `deploy` and `promote` change nothing and exit with code 3. `cargo pipeline release-hold` removes it.
#[derive(clap::Args)]
pub(crate) struct Hold {
    #[command(flatten)]
    change: Change,
    /// Why the environment must stay as it is
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who holds the environment [default: GITHUB_ACTOR, or the user of this machine]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Hold {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let hold = hold_by(self.by.as_deref(), &self.reason)?;
        self.change.run("hold", |present| {
            let env = present.env;
            if let Some(other) = present.values.hold()? {
                if (&other.reason, &other.by) == (&hold.reason, &hold.by) {
                    return Ok(Decision::Unchanged(plain!(
                        "{} is on hold already: {}",
                        env,
                        other
                    )));
                }
                bail!(
                    "{env} is on hold already: {other}; to replace this hold, run `cargo pipeline release-hold --env {env}` first"
                );
            }
            Ok(Decision::Edit(Edit {
                values: present.values.with_hold(&hold)?,
                message: plain!("{} hold {}\n\nReason: {}\n", SUBJECT_PREFIX, env, hold),
                title: plain!("Hold {}", env),
                body: markdown!(
                    "Reason: {}.\n\nUntil the hold is released, {} gets no other image.",
                    hold,
                    env
                ),
            }))
        })
    }
}
