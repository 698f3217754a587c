//! Branch protection, protected tags and environments, from one file of rules.
//!
//! Each forge's module reads what the forge has and says where that differs from the rules, with the request that
//! would end the difference. Applying, checking and a dry run then do different things with the same answer.

mod gitea;
mod github;
mod rules;

use crate::Outcome;
use crate::api::{Api, Kind};
use crate::project::root;
use anyhow::{Context, Result, bail, ensure};
use rules::Rules;
use serde_json::{Map, Value};
use std::fs;
use std::path::PathBuf;

const FILE: &str = ".github/protection.yaml";
const TOKENS: [&str; 2] = ["PROTECT_TOKEN", "GITHUB_TOKEN"];

/// Make the forge protect what .github/protection.yaml names.
///
/// Sets branch protection, protected tags, environments and how pull requests are merged, and sends nothing for what
/// is so already. Needs an administrator's token in PROTECT_TOKEN, the repository in GITHUB_REPOSITORY, and for
/// another forge than GitHub its address in GITHUB_API_URL.
#[derive(clap::Args)]
pub(crate) struct Protect {
    /// Say where the forge differs from the rules, fail if it does, and change nothing
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    /// Print the requests that would be sent, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The rules [default: .github/protection.yaml]
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Where the forge differs from the rules.
struct Difference {
    /// In words, one a line.
    reasons: Vec<String>,
    /// What ends it; nothing where somebody has to look at what the rules don't know.
    request: Option<Request>,
}

struct Request {
    method: &'static str,
    /// Below the repository's address.
    path: String,
    body: Value,
}

impl Difference {
    /// What makes `have` differ from `want`. Other keys of `have` don't count; lists are sets.
    ///
    /// `what` says whose values these are; no `have` means that it isn't there at all.
    fn between(
        what: &str,
        want: &Map<String, Value>,
        have: Option<&Value>,
        request: Request,
    ) -> Option<Self> {
        let reasons = match have {
            None => vec![format!("{what}: there is no such rule")],
            Some(have) => want
                .iter()
                .flat_map(|(key, want)| unlike(key, want, &have[key]))
                .map(|reason| format!("{what}: {reason}"))
                .collect(),
        };
        (!reasons.is_empty()).then_some(Self {
            reasons,
            request: Some(request),
        })
    }

    /// Something that the rules don't know and that is nobody's to remove but a person's.
    fn beyond(reason: String) -> Self {
        Self {
            reasons: vec![reason],
            request: None,
        }
    }
}

fn unlike(key: &str, want: &Value, have: &Value) -> Vec<String> {
    let Value::Array(want) = want else {
        return match have {
            have if have == want => Vec::new(),
            Value::Null => vec![format!("{key} is not set, and should be {want}")],
            have => vec![format!("{key} is {have}, and should be {want}")],
        };
    };
    // Gitea says null for an empty list.
    let have = have.as_array().map(Vec::as_slice).unwrap_or_default();
    let missing = want.iter().filter(|item| !have.contains(item));
    let additional = have.iter().filter(|item| !want.contains(item));
    missing
        .map(|item| format!("{key} lacks {item}"))
        .chain(additional.map(|item| format!("{key} has {item}, which the rules don't give")))
        .collect()
}

impl Protect {
    pub(crate) fn run(&self) -> Outcome {
        let rules = self.rules()?;
        let api = Api::from_env(&TOKENS)?;
        ensure!(
            api.logged_in(),
            "{} is not set: only an administrator may see and set what protects a repository",
            TOKENS.join(" or ")
        );
        let differences = compare(&api, &rules)?;
        if self.check {
            return agree(&differences, "`cargo pipeline protect` sets what it can");
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
        // What a forge doesn't know or may not do it sometimes drops without a word.
        let left = match sent {
            0 => differences,
            _ => compare(&api, &rules)?,
        };
        println!("{sent} changes sent");
        agree(&left, "the forge did not take it, or it needs a person")
    }

    fn rules(&self) -> Result<Rules> {
        let path = match &self.file {
            Some(path) => path.clone(),
            None => root()?.join(FILE),
        };
        let text = fs::read_to_string(&path);
        text.map_err(anyhow::Error::from)
            .and_then(|text| Rules::parse(&text))
            .with_context(|| format!("the rules in {} can't be used", path.display()))
    }
}

fn compare(api: &Api, rules: &Rules) -> Result<Vec<Difference>> {
    match api.kind() {
        Kind::GitHub => github::compare(api, rules),
        Kind::Gitea => gitea::compare(api, rules),
    }
}

/// That the forge is as the rules say, or all the reasons why not.
fn agree(differences: &[Difference], what_then: &str) -> Outcome {
    let reasons: Vec<&str> = differences
        .iter()
        .flat_map(|difference| &difference.reasons)
        .map(String::as_str)
        .collect();
    if reasons.is_empty() {
        println!("the forge protects what the rules name");
        return Ok(());
    }
    bail!(
        "the forge differs from the rules ({what_then}):\n  {}",
        reasons.join("\n  ")
    )
}

/// The fields of an object that was just written down.
fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
