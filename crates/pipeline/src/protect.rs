//! `cargo pipeline protect`: branch protection, protected tags and environments, from one file of rules.
//!
//! The module of each forge reads its settings and returns the differences from the rules, each with the request that
//! removes it. The command then applies, checks or prints them.

mod difference;
mod gitea;
mod github;
mod rules;

use crate::api::{Api, Kind};
use crate::project::root;
use anyhow::{Context, Result, bail, ensure};
use difference::{Difference, Request};
use rules::Rules;
use std::fs;
use std::path::PathBuf;

const FILE: &str = ".github/protection.yaml";
const TOKENS: [&str; 2] = ["PROTECT_TOKEN", "GITHUB_TOKEN"];

/// Apply the protection rules in .github/protection.yaml to the forge.
///
/// Sets branch protection, protected tags, environments and merge options, and leaves matching settings alone. Needs the
/// token of an administrator in PROTECT_TOKEN and the repository in GITHUB_REPOSITORY. For a forge other than GitHub,
/// set GITHUB_API_URL.
#[derive(clap::Args)]
pub(crate) struct Protect {
    /// Report differences between the forge and the rules without changing anything; fail if there are any
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    /// Print the requests without sending them
    #[arg(long)]
    dry_run: bool,
    /// Rules file [default: .github/protection.yaml]
    #[arg(long)]
    file: Option<PathBuf>,
}

impl Protect {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let rules = self.rules()?;
        let api = Api::from_env(&TOKENS)?;
        ensure!(
            api.logged_in(),
            "{} is not set: only an administrator can read and change these settings",
            TOKENS.join(" or ")
        );
        let differences = compare(&api, &rules)?;
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
            let Request { method, path, body } = request;
            if self.dry_run {
                println!("  would send {method} {} {body:#}", api.url(path));
            } else {
                api.send(method, path, body)?;
                sent += 1;
            }
        }
        if self.dry_run {
            return Ok(());
        }
        // A forge may silently ignore settings that it does not support or allow.
        let left = match sent {
            0 => differences,
            _ => compare(&api, &rules)?,
        };
        println!("{sent} changes sent");
        agree(
            &left,
            "the forge ignored the change, or a person must decide",
        )
    }

    fn rules(&self) -> Result<Rules> {
        let path = match &self.file {
            Some(path) => path.clone(),
            None => root()?.join(FILE),
        };
        let text = fs::read_to_string(&path);
        text.map_err(anyhow::Error::from)
            .and_then(|text| Rules::parse(&text))
            .with_context(|| format!("cannot use the rules in {}", path.display()))
    }
}

fn compare(api: &Api, rules: &Rules) -> Result<Vec<Difference>> {
    match api.kind() {
        Kind::GitHub => github::compare(api, rules),
        Kind::Gitea => gitea::compare(api, rules),
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
