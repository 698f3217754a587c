//! `cargo pipeline audit` prints who changed what the environments run.

mod approvals;
mod history;
mod syncs;

use crate::project::root;
use anyhow::{Context, Result};
use devkit::delivery::{Delivery, Environment};
use devkit::forge::Forge;
use devkit::git::Git;
use jiff::Timestamp;
use serde::Serialize;
use std::io::Read;

/// Print who changed what the environments run.
///
/// Lists deployments, promotions, rollbacks and holds from the history of each environment's branch in this clone; who
/// approved and merged their pull requests, from the forge (with GITHUB_REPOSITORY and GITHUB_TOKEN); and who synced, from
/// Argo CD's Applications. The oldest event comes first; before it, those without a valid time.
///
/// Argo CD keeps the last ten syncs of each environment:
/// `kubectl get applications -n argocd -o json | cargo pipeline audit --argocd -`
#[derive(clap::Args)]
pub(crate) struct Audit {
    /// Only this environment
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// The number of changes of each environment, from the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
    /// The Applications as JSON, as `kubectl get applications -o json` prints them; - for standard input
    #[arg(long, value_name = "FILE")]
    argocd: Option<String>,
    /// Print an array of JSON objects instead of a table
    #[arg(long)]
    json: bool,
}

/// Something that happened to an environment.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Event {
    /// `None` if the source has no valid time.
    time: Option<Timestamp>,
    environment: String,
    action: Action,
    /// The account or the person, as the source names it.
    who: String,
    /// What it was about: an image, a pull request or a commit.
    what: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// The image in Git changed.
    Deployed,
    /// The image in Git changed to an earlier one.
    RolledBack,
    /// The environment was put on hold.
    Held,
    /// A hold was released.
    Released,
    /// A pull request was approved.
    Approved,
    /// A pull request was merged.
    Merged,
    /// Argo CD applied a commit.
    Synced,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::RolledBack => "rolled back",
            Self::Held => "held",
            Self::Released => "released",
            Self::Approved => "approved",
            Self::Merged => "merged",
            Self::Synced => "synced",
        }
    }
}

impl Audit {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let git = Git::new(&root);
        let delivery = Delivery::load(&root)?;
        let environments: Vec<&Environment> = match &self.env {
            Some(name) => vec![delivery.environment(name)?],
            None => delivery.environments().iter().collect(),
        };
        let forge = Forge::from_env(&["GITHUB_TOKEN", "DELIVERY_BOT_TOKEN"]);
        if let Err(error) = &forge {
            eprintln!("approvals and merges are not listed: {error}");
        }
        let applications = self.applications()?;
        let mut events = Vec::new();
        for env in environments {
            for change in history::changes(&git, env, self.limit)? {
                if let Ok(forge) = &forge {
                    events.extend(approvals::of(forge, env, &change)?);
                }
                events.extend(change.events);
            }
            if let Some(applications) = &applications {
                events.extend(applications.syncs(&delivery.application(env), env));
            }
        }
        events.sort();
        print!(
            "{}",
            if self.json {
                json(&events)?
            } else {
                table(&events)
            }
        );
        Ok(())
    }

    fn applications(&self) -> Result<Option<syncs::Applications>> {
        let Some(file) = &self.argocd else {
            return Ok(None);
        };
        let mut text = String::new();
        match file.as_str() {
            "-" => std::io::stdin().read_to_string(&mut text).map(drop),
            file => std::fs::read_to_string(file).map(|read| text = read),
        }
        .with_context(|| format!("cannot read {file}"))?;
        let parsed = serde_json::from_str(&text);
        parsed
            .with_context(|| {
                format!(
                    "{file} is not a list of Applications: use `kubectl get applications -o json`"
                )
            })
            .map(Some)
    }
}

fn json(events: &[Event]) -> Result<String> {
    let text = serde_json::to_string_pretty(events);
    Ok(text.context("cannot write JSON")? + "\n")
}

fn table(events: &[Event]) -> String {
    let rows: Vec<[String; 5]> = events.iter().map(row).collect();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths);
        let start: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        format!("{start}{}\n", row[4])
    };
    rows.iter().map(line).collect()
}

/// The cells of a line. Names and subjects come from outside: a control character could hide or forge a line.
fn row(event: &Event) -> [String; 5] {
    let printable = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    };
    [
        event
            .time
            .map_or_else(|| "-".to_owned(), |time| time.to_string()),
        event.environment.clone(),
        event.action.name().to_owned(),
        printable(&event.who),
        printable(&event.what),
    ]
}
