//! `cargo pipeline protect`: branch protection, protected tags and environments, as `delivery.toml` requires them.
//!
//! The module of each forge reads its settings and returns the differences from the rules, each with the request that
//! removes it. The command then applies, checks or prints them.

mod difference;
mod gitea;
mod github;
mod owners;
mod rules;

use crate::project::root;
use anyhow::{Result, ensure};
use devkit::delivery::Delivery;
use devkit::forge::{Forge, Kind};
use difference::{Comparison, Difference, Request};
use owners::CodeOwners;
use rules::Rules;
use std::process::ExitCode;

/// The exit code when all rules that the forge offers to this repository are set, and others are left out.
const LEFT_OUT: u8 = 3;

const TOKENS: [&str; 2] = ["PROTECT_TOKEN", "GITHUB_TOKEN"];

/// Protect the branches and environments in delivery.toml on the forge.
///
/// Sets branch protection, protected tags, environments and merge options, and leaves matching settings alone. Needs the
/// token of an administrator in PROTECT_TOKEN, the repository in GITHUB_REPOSITORY, and the delivery bot in
/// DELIVERY_BOT_APP_ID (on Gitea, DELIVERY_BOT_USER). For a forge other than GitHub, set GITHUB_API_URL.
///
/// GitHub offers some settings only on paid plans, or only to organisations. The command sets all others, and lists
/// what it left out. Exit codes: 0 if all rules are set, 3 if all rules are set that the forge offers, 1 otherwise.
#[derive(clap::Args)]
pub(crate) struct Protect {
    /// Report differences between the forge and the rules without changing anything; fail if there are any
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    /// Print the requests without sending them
    #[arg(long)]
    dry_run: bool,
}

impl Protect {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let root = root()?;
        let rules = Rules::new(&Delivery::load(&root)?, CodeOwners::read(&root)?);
        let forge = Forge::from_env(&TOKENS)?;
        ensure!(
            forge.is_logged_in(),
            "{} is not set: only an administrator can read and change these settings",
            TOKENS.join(" or ")
        );
        let comparison = compare(&forge, &rules)?;
        for note in &comparison.notes {
            println!("note: {note}");
        }
        if self.check {
            return conclude(&comparison, "run `cargo pipeline protect` to change them");
        }
        let mut sent = 0;
        for difference in &comparison.differences {
            let Some(request) = &difference.request else {
                continue;
            };
            for reason in &difference.reasons {
                println!("{reason}");
            }
            if self.dry_run {
                print(&forge, request);
            } else {
                send(&forge, request, difference)?;
                sent += 1;
            }
        }
        if self.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        // A forge may silently ignore settings that it does not support or allow.
        let left = match sent {
            0 => comparison,
            _ => compare(&forge, &rules)?,
        };
        println!("{sent} changes sent");
        conclude(
            &left,
            "the forge ignored the change, or a person must decide",
        )
    }
}

fn print(forge: &Forge, request: &Request) {
    let Request {
        method, path, body, ..
    } = request;
    let url = forge.api().url(&forge.path(path));
    match body {
        Some(body) => println!("  would send {method} {url} {body:#}"),
        None => println!("  would send {method} {url}"),
    }
}

/// Sends a request. If the forge does not offer the settings to this repository, sends those that it offers.
fn send(forge: &Forge, request: &Request, difference: &Difference) -> Result<()> {
    let Some(body) = &request.body else {
        return Ok(forge.delete(&request.path)?);
    };
    let Err(error) = forge.execute(request.method, &request.path, body) else {
        return Ok(());
    };
    // Unprocessable: GitHub's answer to settings that the plan does not have.
    if error.status() == Some(422) {
        if let Some(body) = &request.fallback {
            println!("  without what the forge refuses: {error}");
            return Ok(forge.execute(request.method, &request.path, body)?);
        }
        if difference.unavailable.is_some() {
            println!("  the forge refuses: {error}");
            return Ok(());
        }
    }
    Err(error.into())
}

fn compare(forge: &Forge, rules: &Rules) -> Result<Comparison> {
    match forge.kind() {
        Kind::GitHub => github::compare(forge, rules),
        Kind::Gitea => gitea::compare(forge, rules),
    }
}

/// Lists what is left out, and fails with all differences, if there are any.
fn conclude(comparison: &Comparison, next_step: &str) -> Result<ExitCode> {
    let mut left_out = comparison.left_out.clone();
    let mut reasons: Vec<&str> = Vec::new();
    for difference in &comparison.differences {
        match difference.unavailable {
            Some(why) => {
                let each = difference.reasons.iter();
                left_out.extend(each.map(|reason| format!("{reason} ({why})")));
            }
            None => reasons.extend(difference.reasons.iter().map(String::as_str)),
        }
    }
    if !left_out.is_empty() {
        println!(
            "left out, because the forge does not offer it to this repository:\n  {}",
            left_out.join("\n  ")
        );
    }
    ensure!(
        reasons.is_empty(),
        "the forge differs from the rules ({next_step}):\n  {}",
        reasons.join("\n  ")
    );
    if left_out.is_empty() {
        println!("the forge agrees with the rules");
        return Ok(ExitCode::SUCCESS);
    }
    println!("the forge agrees with all other rules");
    Ok(ExitCode::from(LEFT_OUT))
}
