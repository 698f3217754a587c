//! The rules file, .github/protection.yaml. All keys are required and unknown keys are errors, so that a typing mistake
//! cannot leave anything unprotected.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The content of the file.
#[derive(Debug)]
pub(super) struct Rules {
    /// The check that a pull request must pass.
    pub(super) check: RequiredCheck,
    /// The protected branches.
    pub(super) branches: Vec<BranchRule>,
    /// The protected tags.
    pub(super) tags: Vec<TagRule>,
    /// The environments of the forge.
    pub(super) environments: Vec<EnvironmentRule>,
}

/// The job that decides whether a pull request may be merged.
#[derive(Debug)]
pub(super) struct RequiredCheck {
    /// The name of its workflow.
    pub(super) workflow: String,
    /// The name of the job.
    pub(super) job: String,
}

/// A branch that changes only by pull request.
#[derive(Debug)]
pub(super) struct BranchRule {
    /// The name of the branch.
    pub(super) name: String,
    /// The required number of approvals.
    pub(super) approvals: u64,
    /// Whether a new commit dismisses approvals.
    pub(super) dismiss_stale_approvals: bool,
    /// Whether a pull request must contain the tip of the branch.
    pub(super) up_to_date: bool,
    /// Whether the delivery bot may push without a pull request.
    pub(super) bot_may_push: bool,
}

/// Tags that nobody can move or delete.
#[derive(Debug)]
pub(super) struct TagRule {
    /// The pattern of their names.
    pub(super) pattern: String,
    /// The teams that may create them.
    pub(super) creators: Vec<String>,
}

/// An environment that workflows deploy to.
#[derive(Debug)]
pub(super) struct EnvironmentRule {
    /// The name of the environment.
    pub(super) name: String,
    /// The branches that may deploy to it.
    pub(super) branches: Vec<String>,
    /// The patterns of tags that may deploy to it.
    pub(super) tags: Vec<String>,
    /// The teams that must approve.
    pub(super) reviewers: Vec<String>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    check: String,
    branches: Entries<BranchFile>,
    tags: Entries<TagFile>,
    environments: Entries<EnvironmentFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BranchFile {
    approvals: Approvals,
    dismiss_stale_approvals: bool,
    up_to_date: bool,
    bot_may_push: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagFile {
    creators: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvironmentFile {
    branches: Vec<Pattern>,
    tags: Vec<Pattern>,
    reviewers: Vec<Name>,
}

/// A map, in the order of the file.
struct Entries<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Entries<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// A number of approvals that both forges support.
#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct Approvals(u64);

impl TryFrom<u64> for Approvals {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        match number {
            0..=6 => Ok(Self(number)),
            _ => Err(format!("{number} is not a number of approvals from 0 to 6")),
        }
    }
}

/// The name of a team.
struct Name(String);

/// A name that may contain `*`.
struct Pattern(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match is_name(&name, "") {
            true => Ok(Self(name)),
            false => Err(D::Error::custom(format!("`{name}` is not a name"))),
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pattern = String::deserialize(deserializer)?;
        match is_name(&pattern, "*") {
            true => Ok(Self(pattern)),
            false => Err(D::Error::custom(format!(
                "`{pattern}` is not a name or a pattern"
            ))),
        }
    }
}

impl Rules {
    /// Parses the text of the file.
    pub(super) fn parse(text: &str) -> Result<Self> {
        // Only `true` and `false` are booleans: `no` may be a typing mistake for a name.
        let options = serde_saphyr::options! { strict_booleans: true };
        let file: File = match serde_saphyr::from_str_with_options(text, options) {
            Ok(file) => file,
            // The message has a snippet of the file, and begins as our own errors do.
            Err(error) => bail!("{}", error.to_string().trim_start_matches("error: ")),
        };
        let (workflow, job) = file
            .check
            .split_once(" / ")
            .with_context(|| format!("`check` is `{}`, not `WORKFLOW / JOB`", file.check))?;
        let rules = Self {
            check: RequiredCheck {
                workflow: workflow.to_owned(),
                job: job.to_owned(),
            },
            branches: each(file.branches, BranchRule::new)?,
            tags: each(file.tags, TagRule::new)?,
            environments: each(file.environments, EnvironmentRule::new)?,
        };
        ensure!(!rules.branches.is_empty(), "`branches` names no branch");
        Ok(rules)
    }
}

fn each<F, R>(entries: Entries<F>, rule: fn(String, F) -> Result<R>) -> Result<Vec<R>> {
    let entries = entries.0.into_iter();
    entries.map(|(name, file)| rule(name, file)).collect()
}

impl BranchRule {
    fn new(name: String, file: BranchFile) -> Result<Self> {
        ensure!(
            is_name(&name, ""),
            "`branches.{name}` is not the name of a single branch"
        );
        Ok(Self {
            name,
            approvals: file.approvals.0,
            dismiss_stale_approvals: file.dismiss_stale_approvals,
            up_to_date: file.up_to_date,
            bot_may_push: file.bot_may_push,
        })
    }
}

impl TagRule {
    fn new(pattern: String, file: TagFile) -> Result<Self> {
        ensure!(
            is_name(&pattern, "*"),
            "`tags.{pattern}` is not a pattern of tags"
        );
        ensure!(
            !file.creators.is_empty(),
            "`tags.{pattern}.creators` names no team, so nobody could release"
        );
        Ok(Self {
            pattern,
            creators: file.creators.into_iter().map(|name| name.0).collect(),
        })
    }
}

impl EnvironmentRule {
    fn new(name: String, file: EnvironmentFile) -> Result<Self> {
        ensure!(
            is_name(&name, "") && !name.contains('/'),
            "`environments.{name}` is not the name of an environment"
        );
        let patterns = |list: Vec<Pattern>| list.into_iter().map(|pattern| pattern.0).collect();
        Ok(Self {
            name,
            branches: patterns(file.branches),
            tags: patterns(file.tags),
            reviewers: file.reviewers.into_iter().map(|name| name.0).collect(),
        })
    }
}

/// Whether a name has only letters, digits, `._-/` and the characters in `also`. Such a name needs no escaping in a URL,
/// and neither forge takes it for a pattern.
fn is_name(name: &str, also: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c) || also.contains(c);
    !name.is_empty() && name.chars().all(known) && !name.contains("..") && !name.starts_with('/')
}
