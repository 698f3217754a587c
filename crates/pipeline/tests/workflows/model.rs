//! The parts of a workflow file that the tests look at
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax>). An unknown key is an error.

#![allow(
    dead_code,
    reason = "a key that no test reads must be known all the same"
)]

use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Permissions of the job's token, by their names in the file.
pub type Permissions = BTreeMap<String, Access>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Workflow {
    pub name: String,
    pub on: BTreeMap<String, Trigger>,
    pub permissions: Permissions,
    pub concurrency: Option<Concurrency>,
    #[serde(default)]
    pub env: Variables,
    pub jobs: BTreeMap<String, Job>,
}

/// What starts a workflow, besides the event's name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Trigger {
    Schedule(Vec<Cron>),
    Filter(Option<Filter>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cron {
    pub cron: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Filter {
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    pub paths_ignore: Vec<String>,
    pub types: Vec<String>,
    pub workflows: Vec<String>,
    pub inputs: BTreeMap<String, Input>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub description: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub default: Option<Text>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    None,
    Read,
    Write,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Concurrency {
    pub group: String,
    pub cancel_in_progress: Text,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Job {
    pub name: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub needs: Vec<String>,
    #[serde(rename = "if")]
    pub condition: Option<Text>,
    pub strategy: Option<Strategy>,
    pub runs_on: String,
    pub environment: Option<Environment>,
    pub permissions: Permissions,
    pub timeout_minutes: u32,
    #[serde(default)]
    pub env: Variables,
    #[serde(default)]
    pub outputs: Variables,
    pub steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Strategy {
    pub fail_fast: Option<bool>,
    pub matrix: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    pub name: String,
    /// Where people reach the environment.
    pub url: Option<String>,
    /// `false` uses the environment without recording a deployment.
    #[serde(default)]
    pub deployment: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    pub id: Option<String>,
    pub name: Option<String>,
    #[serde(rename = "if")]
    pub condition: Option<Text>,
    pub uses: Option<String>,
    #[serde(default)]
    pub with: Variables,
    pub run: Option<String>,
    #[serde(default)]
    pub env: Variables,
    pub shell: Option<String>,
    #[serde(default)]
    pub continue_on_error: bool,
}

pub type Variables = BTreeMap<String, Text>;

/// A string, or a number or boolean as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Scalar {
            Boolean(bool),
            Number(i64),
            String(String),
        }
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Boolean(value) => value.to_string(),
            Scalar::Number(value) => value.to_string(),
            Scalar::String(value) => value,
        }))
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

/// An action that is a list of steps
/// (<https://docs.github.com/en/actions/reference/workflows-and-actions/metadata-syntax>).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    pub name: String,
    pub description: String,
    pub inputs: BTreeMap<String, ActionInput>,
    pub runs: Composite,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionInput {
    pub description: String,
    pub default: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Composite {
    pub using: String,
    pub steps: Vec<Step>,
}

impl Step {
    /// The action without its version: `actions/checkout`.
    pub fn action(&self) -> Option<&str> {
        let uses = self.uses.as_deref()?;
        Some(uses.split('@').next().unwrap_or(uses))
    }

    /// The subcommands of `cargo pipeline` that the script calls.
    pub fn commands(&self) -> Vec<&str> {
        let calls = self.run.as_deref().unwrap_or_default();
        let calls = calls.split("cargo pipeline ").skip(1);
        calls
            .filter_map(|call| call.split_whitespace().next())
            .collect()
    }

    /// All texts in which an expression may be.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let condition = self.condition.iter().map(|text| text.0.as_str());
        let values = self.with.values().chain(self.env.values());
        let values = values.map(|text| text.0.as_str());
        condition.chain(values).chain(self.run.as_deref())
    }
}

impl Job {
    /// Everything the job's texts say.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let env = self.env.values().map(|text| text.0.as_str());
        env.chain(self.steps.iter().flat_map(Step::texts))
    }
}

impl Workflow {
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// The jobs that have ended, or were skipped, when a job starts.
    pub fn before(&self, job: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut next = vec![job];
        while let Some(name) = next.pop() {
            for need in &self.jobs[name].needs {
                if found.insert(need.as_str()) {
                    next.push(need);
                }
            }
        }
        found
    }

    pub fn filter(&self, event: &str) -> Option<&Filter> {
        match self.on.get(event)? {
            Trigger::Filter(filter) => filter.as_ref(),
            Trigger::Schedule(_) => None,
        }
    }
}

/// The project's folder.
pub fn root() -> PathBuf {
    // Cargo runs a test in the folder of its package.
    PathBuf::from("../..")
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of a workflow of this project.
pub fn text(file: &str) -> String {
    read(&root().join(".github/workflows").join(file))
}

pub fn workflow(file: &str) -> Workflow {
    Workflow::parse(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The names of the workflow files.
pub fn files() -> Vec<String> {
    let folder = root().join(".github/workflows");
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// All workflows, by file.
pub fn workflows() -> Vec<(String, Workflow)> {
    let files = files().into_iter();
    files.map(|file| (file.clone(), workflow(&file))).collect()
}
