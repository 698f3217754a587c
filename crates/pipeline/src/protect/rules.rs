//! The rules file. It is read strictly: a key that is missing or unknown is an error, so that a slip of the pen can't
//! leave something unprotected.

use crate::yaml::Node;
use anyhow::{Context, Result, bail, ensure};

/// More than either forge can ask for.
const TOO_MANY_APPROVALS: u64 = 7;

/// What the file says.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) check: Check,
    pub(super) branches: Vec<Branch>,
    pub(super) tags: Vec<Tags>,
    pub(super) environments: Vec<Environment>,
}

/// The job that decides whether a pull request may be merged.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) workflow: String,
    pub(super) job: String,
}

/// A branch that changes only by pull request.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) name: String,
    pub(super) approvals: u64,
    pub(super) dismiss_stale_approvals: bool,
    pub(super) up_to_date: bool,
    pub(super) bot_may_push: bool,
}

/// Tags that are made once and stay.
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) pattern: String,
    /// Teams.
    pub(super) creators: Vec<String>,
}

/// A place that workflows deploy to.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) branches: Vec<String>,
    pub(super) tags: Vec<String>,
    /// Teams.
    pub(super) reviewers: Vec<String>,
}

impl Rules {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let document = Node::parse(text)?;
        let file = Section::new(
            "",
            &document,
            &["check", "branches", "tags", "environments"],
        )?;
        let check = file.text("check")?;
        let (workflow, job) = check
            .split_once(" / ")
            .with_context(|| format!("`check` is `{check}`, not `WORKFLOW / JOB`"))?;
        let rules = Self {
            check: Check {
                workflow: workflow.to_owned(),
                job: job.to_owned(),
            },
            branches: file.each("branches", branch)?,
            tags: file.each("tags", tags)?,
            environments: file.each("environments", environment)?,
        };
        ensure!(!rules.branches.is_empty(), "`branches` names no branch");
        Ok(rules)
    }
}

fn branch(name: &str, path: &str, node: &Node) -> Result<Branch> {
    let known = [
        "approvals",
        "dismiss-stale-approvals",
        "up-to-date",
        "bot-may-push",
    ];
    let section = Section::new(path, node, &known)?;
    ensure!(
        is_name(name, ""),
        "`{path}` is not the name of a single branch"
    );
    Ok(Branch {
        name: name.to_owned(),
        approvals: section.approvals("approvals")?,
        dismiss_stale_approvals: section.flag("dismiss-stale-approvals")?,
        up_to_date: section.flag("up-to-date")?,
        bot_may_push: section.flag("bot-may-push")?,
    })
}

fn tags(pattern: &str, path: &str, node: &Node) -> Result<Tags> {
    let section = Section::new(path, node, &["creators"])?;
    ensure!(is_name(pattern, "*"), "`{path}` is not a pattern of tags");
    let creators = section.names("creators", "")?;
    ensure!(
        !creators.is_empty(),
        "`{path}.creators` names no team: nobody could release"
    );
    Ok(Tags {
        pattern: pattern.to_owned(),
        creators,
    })
}

fn environment(name: &str, path: &str, node: &Node) -> Result<Environment> {
    let section = Section::new(path, node, &["branches", "tags", "reviewers"])?;
    ensure!(
        is_name(name, "") && !name.contains('/'),
        "`{path}` is not the name of an environment"
    );
    Ok(Environment {
        name: name.to_owned(),
        branches: section.names("branches", "*")?,
        tags: section.names("tags", "*")?,
        reviewers: section.names("reviewers", "")?,
    })
}

/// Letters, digits, `._-/` and what is given: needs no escape in an address, and no forge takes it for a pattern.
fn is_name(name: &str, also: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c) || also.contains(c);
    !name.is_empty() && name.chars().all(known) && !name.contains("..") && !name.starts_with('/')
}

/// A map of the file whose keys are all known.
struct Section<'a> {
    path: &'a str,
    node: &'a Node,
}

impl<'a> Section<'a> {
    fn new(path: &'a str, node: &'a Node, known: &[&str]) -> Result<Self> {
        let section = Self { path, node };
        let Node::Map(entries) = node else {
            bail!("`{path}` has no keys; it needs {}", known.join(", "));
        };
        for (key, _) in entries {
            ensure!(
                known.contains(&key.as_str()),
                "the key `{}` is unknown; known are {}",
                section.full(key),
                known.join(", ")
            );
        }
        Ok(section)
    }

    fn full(&self, key: &str) -> String {
        match self.path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn node(&self, key: &str) -> Result<&Node> {
        let node = self.node.get(key);
        node.with_context(|| format!("the key `{}` is missing", self.full(key)))
    }

    fn text(&self, key: &str) -> Result<&str> {
        let text = self.node(key)?.text();
        text.with_context(|| format!("`{}` is not a single value", self.full(key)))
    }

    fn flag(&self, key: &str) -> Result<bool> {
        let text = self.text(key)?;
        text.parse()
            .with_context(|| format!("`{}` is `{text}`, not true or false", self.full(key)))
    }

    fn approvals(&self, key: &str) -> Result<u64> {
        let text = self.text(key)?;
        let number = text.parse().ok().filter(|n| *n < TOO_MANY_APPROVALS);
        number.with_context(|| format!("`{}` is `{text}`, not a small number", self.full(key)))
    }

    fn names(&self, key: &str, also: &str) -> Result<Vec<String>> {
        let full = self.full(key);
        let Node::List(items) = self.node(key)? else {
            bail!("`{full}` is not a list");
        };
        let name = |item: &Node| {
            let name = item.text().filter(|name| is_name(name, also));
            let name = name.with_context(|| format!("`{full}` has an item that is not a name"))?;
            Ok(name.to_owned())
        };
        items.iter().map(name).collect()
    }

    /// What `read` makes of each entry of the map under a key.
    fn each<T>(&self, key: &str, read: fn(&str, &str, &Node) -> Result<T>) -> Result<Vec<T>> {
        let full = self.full(key);
        let Node::Map(entries) = self.node(key)? else {
            bail!("`{full}` has no entries");
        };
        let entry = |(name, node): &(String, Node)| read(name, &format!("{full}.{name}"), node);
        entries.iter().map(entry).collect()
    }
}
