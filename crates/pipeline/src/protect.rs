//! `cargo pipeline protect`: branch protection, protected tags and environments, as `delivery.toml` requires them.
//!
//! The module of each forge reads its settings and returns the differences from the rules, each with the request that
//! removes it. The command then applies, checks or prints them.

mod difference;
mod gitea;
mod github;
mod rules;

use crate::project::root;
use anyhow::{Result, bail, ensure};
use devkit::delivery::Delivery;
use devkit::forge::{Forge, Kind};
use difference::{Difference, Request};
use rules::Rules;

const TOKENS: [&str; 2] = ["PROTECT_TOKEN", "GITHUB_TOKEN"];

/// Protect the branches and environments in delivery.toml on the forge.
///
/// Sets branch protection, protected tags, environments and merge options, and leaves matching settings alone. Needs the
/// token of an administrator in PROTECT_TOKEN, the repository in GITHUB_REPOSITORY, and the delivery bot in
/// DELIVERY_BOT_APP_ID (on Gitea, DELIVERY_BOT_USER). For a forge other than GitHub, set GITHUB_API_URL.
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
    pub(crate) fn run(&self) -> Result<()> {
        let rules = Rules::new(&Delivery::load(&root()?)?);
        let forge = Forge::from_env(&TOKENS)?;
        ensure!(
            forge.is_logged_in(),
            "{} is not set: only an administrator can read and change these settings",
            TOKENS.join(" or ")
        );
        let differences = compare(&forge, &rules)?;
        if self.check {
            return agree(&differences, "run `cargo pipeline protect` to change them");
        }
        let requests = differences.iter().filter_map(|difference| {
            let request = difference.request.as_ref()?;
            Some((&difference.reasons, request))
        });
        let mut sent = 0;
        for (reasons, request) in requests {
            reasons.iter().for_each(|reason| println!("{reason}"));
            if self.dry_run {
                print(&forge, request);
            } else {
                send(&forge, request)?;
                sent += 1;
            }
        }
        if self.dry_run {
            return Ok(());
        }
        // A forge may silently ignore settings that it does not support or allow.
        let left = match sent {
            0 => differences,
            _ => compare(&forge, &rules)?,
        };
        println!("{sent} changes sent");
        agree(
            &left,
            "the forge ignored the change, or a person must decide",
        )
    }
}

fn print(forge: &Forge, request: &Request) {
    let Request { method, path, body } = request;
    let url = forge.api().url(&forge.path(path));
    match body {
        Some(body) => println!("  would send {method} {url} {body:#}"),
        None => println!("  would send {method} {url}"),
    }
}

fn send(forge: &Forge, request: &Request) -> Result<()> {
    match &request.body {
        Some(body) => forge.execute(request.method, &request.path, body)?,
        None => forge.delete(&request.path)?,
    }
    Ok(())
}

fn compare(forge: &Forge, rules: &Rules) -> Result<Vec<Difference>> {
    match forge.kind() {
        Kind::GitHub => github::compare(forge, rules),
        Kind::Gitea => gitea::compare(forge, rules),
    }
}

/// Fails with all differences, if there are any.
fn agree(differences: &[Difference], next_step: &str) -> Result<()> {
    let reasons: Vec<&str> = differences
        .iter()
        .flat_map(|difference| &difference.reasons)
        .map(String::as_str)
        .collect();
    if reasons.is_empty() {
        println!("the forge agrees with the rules");
        return Ok(());
    }
    bail!(
        "the forge differs from the rules ({next_step}):\n  {}",
        reasons.join("\n  ")
    )
}
