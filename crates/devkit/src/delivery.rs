//! `delivery.toml`: who owns the project, what it is called, and the environments that a version passes through.

use crate::reference::{self, Repository, is_registry, is_tag};
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name, at the top of the repository.
pub const FILE: &str = "delivery.toml";

/// Why there is no usable `delivery.toml`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not TOML, lacks a key, or has one that is not known.
    #[error("{FILE} is not valid: {0}")]
    Syntax(toml::de::Error),
    /// The values contradict each other.
    #[error("{FILE} is not valid:{}", lines(.0))]
    Invalid(Vec<String>),
    /// A name is not one of the environments.
    #[error("there is no environment `{name}` in {FILE}; it has {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that the file has.
        known: String,
    },
}

fn lines(problems: &[String]) -> String {
    problems.iter().map(|p| format!("\n- {p}")).collect()
}

/// How a version gets to an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// Each build of the environment's branch is written back to its values file.
    Build,
    /// On request, a pull request proposes what the environment before runs.
    PullRequest,
    /// A version tag on the branch of the environment before opens such a pull request.
    Tag,
}

/// Who starts a sync of the environment's Argo CD Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// Argo CD, as soon as the branch changes.
    Automatic,
    /// A person.
    Manual,
}

/// Where a version runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The name, a DNS label: `dev`.
    pub name: String,
    /// The branch that Argo CD deploys from.
    pub branch: String,
    /// The namespace in the cluster.
    pub namespace: String,
    /// The values file, relative to the top of the repository.
    pub values: String,
    /// How a version gets here.
    pub promotion: Promotion,
    /// Who starts a sync.
    pub sync: Sync,
    /// How many people must approve a pull request to the branch.
    pub approvals: u32,
    image_tags: Vec<String>,
}

impl Environment {
    /// The full name of the branch in Git: `refs/heads/develop`.
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// The tags of an image that a push of `commit` to the branch publishes, the one to deploy last. Empty where such
    /// a push publishes nothing.
    pub fn image_tags(&self, commit: &str) -> Vec<String> {
        fill(
            &self.image_tags,
            &[
                ("branch", &self.branch),
                ("commit", crate::git::short(commit)),
            ],
        )
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The content of `delivery.toml`, checked and with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The owner of the repository on the forge.
    pub owner: String,
    /// The name of the repository, the chart and the Applications.
    pub name: String,
    /// The host of the registry.
    pub registry: String,
    /// The chart's folder, relative to the top of the repository.
    pub chart: String,
    image_repository: Repository,
    environments: Vec<Environment>,
    release: Release,
}

impl Delivery {
    /// Reads `delivery.toml` at the top of a repository.
    ///
    /// # Errors
    /// When the file is missing or not valid.
    pub fn load(root: &Path) -> Result<Self, Error> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        Self::parse(&text)
    }

    /// Reads the text of a `delivery.toml`.
    ///
    /// # Errors
    /// When it is not valid; with everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(Error::Syntax)?;
        file.check()
    }

    /// Owner and name, as forges write them: `acme/shop`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The image without tag or digest: `ghcr.io/acme/shop`.
    pub fn image_repository(&self) -> &Repository {
        &self.image_repository
    }

    /// The image in another registry: `localhost:5000/acme/shop`.
    ///
    /// # Errors
    /// When `registry` is not a host with an optional port.
    pub fn image_repository_in(&self, registry: &str) -> Result<Repository, reference::Error> {
        format!("{registry}/{}", self.image_repository.path()).parse()
    }

    /// The environments, in the order in which a version passes through them. There are at least two.
    pub fn environments(&self) -> &[Environment] {
        &self.environments
    }

    /// The environment of a name.
    ///
    /// # Errors
    /// When there is none; with the names that exist.
    pub fn environment(&self, name: &str) -> Result<&Environment, Error> {
        let mut all = self.environments.iter();
        all.find(|env| env.name == name)
            .ok_or_else(|| Error::Unknown {
                name: name.to_owned(),
                known: self.names().collect::<Vec<_>>().join(", "),
            })
    }

    /// The names of the environments, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.environments.iter().map(|env| env.name.as_str())
    }

    /// The environment that is deployed from a branch.
    pub fn by_branch(&self, branch: &str) -> Option<&Environment> {
        self.environments.iter().find(|env| env.branch == branch)
    }

    /// The environment whose values are in a file, by its path from the top of the repository.
    pub fn by_values(&self, path: &str) -> Option<&Environment> {
        self.environments.iter().find(|env| env.values == path)
    }

    /// The environment that a version passes through before `env`.
    pub fn previous(&self, env: &Environment) -> Option<&Environment> {
        self.position(env)?
            .checked_sub(1)
            .and_then(|at| self.environments.get(at))
    }

    /// The environment that a version passes through after `env`.
    pub fn next(&self, env: &Environment) -> Option<&Environment> {
        self.environments.get(self.position(env)? + 1)
    }

    fn position(&self, env: &Environment) -> Option<usize> {
        self.environments.iter().position(|e| e.name == env.name)
    }

    /// The environment that gets each build of its branch.
    pub fn first(&self) -> &Environment {
        // `check` refuses a file without environments.
        &self.environments[0]
    }

    /// Production: the environment that gets what a version tag names.
    pub fn last(&self) -> &Environment {
        &self.environments[self.environments.len() - 1]
    }

    /// The environment whose branch holds version tags: the one before production.
    pub fn tagged(&self) -> &Environment {
        &self.environments[self.environments.len() - 2]
    }

    /// Whether an environment is deployed from a branch.
    pub fn is_deployed_branch(&self, branch: &str) -> bool {
        self.by_branch(branch).is_some()
    }

    /// Whether images are built from a branch. Branches that change by promotion run images that exist.
    pub fn is_built(&self, branch: &str) -> bool {
        self.by_branch(branch)
            .is_none_or(|env| env.promotion == Promotion::Build)
    }

    /// The name of an environment's Argo CD Application and project: `shop-dev`.
    pub fn application(&self, env: &Environment) -> String {
        format!("{}-{}", self.name, env.name)
    }

    /// The tags of a released image, the one to deploy last. `version` is the version tag, such as `v1.2.0`.
    pub fn release_image_tags(&self, version: &str, prerelease: bool, commit: &str) -> Vec<String> {
        let templates = match prerelease {
            true => &self.release.prerelease_image_tags,
            false => &self.release.image_tags,
        };
        fill(
            templates,
            &[("version", version), ("commit", crate::git::short(commit))],
        )
    }
}

/// Replaces `{key}` in each template.
fn fill(templates: &[String], values: &[(&str, &str)]) -> Vec<String> {
    let one = |template: &String| {
        values.iter().fold(template.clone(), |text, (key, value)| {
            text.replace(&format!("{{{key}}}"), value)
        })
    };
    templates.iter().map(one).collect()
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    owner: String,
    name: String,
    registry: String,
    image_repository: Option<String>,
    chart: Option<String>,
    #[serde(default, rename = "environment")]
    environments: Vec<FileEnvironment>,
    release: Release,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileEnvironment {
    name: String,
    branch: String,
    namespace: Option<String>,
    values: Option<String>,
    promotion: Promotion,
    sync: Sync,
    approvals: u32,
    #[serde(default)]
    image_tags: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Release {
    image_tags: Vec<String>,
    prerelease_image_tags: Vec<String>,
}

impl File {
    fn check(self) -> Result<Delivery, Error> {
        let mut problems = Vec::new();
        if !is_label(&self.name) {
            problems.push(format!("name `{}` {LABEL}", self.name));
        }
        if !is_owner(&self.owner) {
            problems.push(format!(
                "owner `{}` is not an account on a forge: use letters, digits and single dashes",
                self.owner
            ));
        }
        if !is_registry(&self.registry) {
            problems.push(format!(
                "registry `{}` is not a host: write it without scheme and path, such as `ghcr.io`",
                self.registry
            ));
        }
        // Registries allow no capitals; forges do.
        let image = self.image_repository.unwrap_or_else(|| {
            format!("{}/{}/{}", self.registry, self.owner, self.name).to_lowercase()
        });
        let image_repository = image
            .parse::<Repository>()
            .map_err(|error: reference::Error| problems.push(format!("image-repository: {error}")));
        let chart = self.chart.unwrap_or(format!("charts/{}", self.name));
        if !is_relative(&chart) {
            problems.push(format!("chart `{chart}` {RELATIVE}"));
        }
        let environments: Vec<Environment> = self
            .environments
            .into_iter()
            .map(|env| env.resolve(&self.name, &chart))
            .collect();
        check_each(&environments, &mut problems);
        check_order(&environments, &mut problems);
        check_release(&self.release, &mut problems);
        match image_repository {
            Ok(image_repository) if problems.is_empty() => Ok(Delivery {
                owner: self.owner,
                name: self.name,
                registry: self.registry,
                chart,
                image_repository,
                environments,
                release: self.release,
            }),
            _ => Err(Error::Invalid(problems)),
        }
    }
}

impl FileEnvironment {
    fn resolve(self, project: &str, chart: &str) -> Environment {
        let namespace = self.namespace.unwrap_or(format!("{project}-{}", self.name));
        let values = self
            .values
            .unwrap_or(format!("{chart}/values-{}.yaml", self.name));
        Environment {
            name: self.name,
            branch: self.branch,
            namespace,
            values,
            promotion: self.promotion,
            sync: self.sync,
            approvals: self.approvals,
            image_tags: self.image_tags,
        }
    }
}

fn check_each(environments: &[Environment], problems: &mut Vec<String>) {
    for env in environments {
        let mut problem = |text: String| problems.push(format!("environment `{env}`: {text}"));
        if !is_label(&env.name) {
            problem(format!("its name {LABEL}"));
        }
        if !is_label(&env.namespace) {
            problem(format!("namespace `{}` {LABEL}", env.namespace));
        }
        if !is_branch(&env.branch) {
            problem(format!("`{}` is not the name of a branch", env.branch));
        }
        if !is_relative(&env.values) {
            problem(format!("values `{}` {RELATIVE}", env.values));
        }
        // A tag has no slash, which a branch may have.
        let samples = [("branch", env.branch.as_str()), ("commit", "0123456")];
        for (template, tag) in env.image_tags.iter().zip(fill(&env.image_tags, &samples)) {
            if !is_tag(&tag) {
                problem(format!(
                    "image-tags: `{template}` gives `{tag}`, which is not an image tag; `{{branch}}` and `{{commit}}` are replaced"
                ));
            }
            if tag == "latest" {
                problem("image-tags: only a release is `latest`".to_owned());
            }
        }
        let gets_built = env.promotion == Promotion::Build;
        if gets_built && env.image_tags.is_empty() {
            problem("image-tags is missing: a build must publish a tag to deploy".to_owned());
        }
    }
    for (what, of) in [
        ("name", (|env| &env.name) as fn(&Environment) -> &String),
        ("branch", |env| &env.branch),
        ("namespace", |env| &env.namespace),
        ("values file", |env| &env.values),
    ] {
        for (at, env) in environments.iter().enumerate() {
            if environments[..at].iter().any(|other| of(other) == of(env)) {
                problems.push(format!("two environments have the {what} `{}`", of(env)));
            }
        }
    }
}

fn check_order(environments: &[Environment], problems: &mut Vec<String>) {
    let [first, between @ .., last] = environments else {
        problems.push(
            "at least two [[environment]] entries are needed: one for builds and one for releases"
                .to_owned(),
        );
        return;
    };
    let mut expect = |env: &Environment, place: &str, promotion: Promotion, word: &str| {
        if env.promotion != promotion {
            problems.push(format!(
                "environment `{env}` is {place}, so it needs promotion = \"{word}\""
            ));
        }
    };
    expect(first, "first", Promotion::Build, "build");
    for env in between {
        expect(
            env,
            "between the first and the last",
            Promotion::PullRequest,
            "pull-request",
        );
    }
    expect(last, "last", Promotion::Tag, "tag");
}

fn check_release(release: &Release, problems: &mut Vec<String>) {
    for (key, templates, version) in [
        ("image-tags", &release.image_tags, "v1.0.0"),
        (
            "prerelease-image-tags",
            &release.prerelease_image_tags,
            "v1.0.0-rc.1",
        ),
    ] {
        let tags = fill(templates, &[("version", version), ("commit", "0123456")]);
        for (template, tag) in templates.iter().zip(&tags) {
            if !is_tag(tag) {
                problems.push(format!(
                    "release.{key}: `{template}` gives `{tag}`, which is not an image tag; `{{version}}` and `{{commit}}` are replaced"
                ));
            }
        }
        if tags.last().is_none_or(|tag| tag != version) {
            problems.push(format!(
                "release.{key} must end with `{{version}}`: the last tag is the one to deploy"
            ));
        }
    }
    if release.prerelease_image_tags.iter().any(|t| t == "latest") {
        problems.push("release.prerelease-image-tags: a prerelease is never `latest`".to_owned());
    }
}

const LABEL: &str = "is not a DNS label: use at most 63 lower-case letters, digits and dashes, and begin and end with a letter or digit";
const RELATIVE: &str = "must be a path within the repository, relative to its top";

/// A label by RFC 1123, which Kubernetes wants of namespaces.
fn is_label(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(known)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_owner(text: &str) -> bool {
    is_label(&text.to_ascii_lowercase()) && !text.contains("--")
}

/// The rules of `git check-ref-format --branch` that matter for a name people choose.
fn is_branch(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-/+".contains(&b);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    text.bytes().all(known)
        && text.split('/').all(part)
        && !text.starts_with('-')
        && !text.contains("..")
        && !text.ends_with('.')
        && text != "HEAD"
}

fn is_relative(text: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..");
    text.split('/').all(part) && !text.contains(['\\', '\n', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = include_str!("../../../delivery.toml");
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn problems(from: &str, to: &str) -> String {
        assert!(OURS.contains(from), "{from}");
        let error = Delivery::parse(&OURS.replace(from, to)).unwrap_err();
        error.to_string()
    }

    #[test]
    fn our_own_file_fills_in_what_it_leaves_out() {
        let delivery = Delivery::parse(OURS).unwrap();
        assert_eq!(delivery.repository(), "waybill/waybill");
        assert_eq!(
            delivery.image_repository().as_str(),
            "ghcr.io/waybill/waybill"
        );
        let elsewhere = delivery.image_repository_in("localhost:5000").unwrap();
        assert_eq!(elsewhere.as_str(), "localhost:5000/waybill/waybill");
        assert!(delivery.image_repository_in("https://ghcr.io").is_err());
        assert_eq!(delivery.chart, "charts/waybill");
        let staging = delivery.environment("staging").unwrap();
        assert_eq!(staging.namespace, "waybill-staging");
        assert_eq!(staging.values, "charts/waybill/values-staging.yaml");
        assert_eq!(delivery.application(staging), "waybill-staging");
        assert_eq!(delivery.previous(staging), Some(delivery.first()));
        assert_eq!(delivery.next(staging), Some(delivery.last()));
        assert_eq!(delivery.previous(delivery.first()), None);
        assert_eq!(delivery.next(delivery.last()), None);
        assert_eq!(delivery.tagged(), staging);
    }

    #[test]
    fn branches_find_their_environment() {
        let delivery = Delivery::parse(OURS).unwrap();
        assert_eq!(delivery.by_branch("main"), Some(delivery.last()));
        assert!(delivery.is_deployed_branch("develop"));
        assert!(!delivery.is_deployed_branch("feature/develop"));
        assert!(delivery.is_built("develop") && delivery.is_built("feature/x"));
        assert!(!delivery.is_built("staging") && !delivery.is_built("main"));
        let values = "charts/waybill/values-prod.yaml";
        assert_eq!(delivery.by_values(values), Some(delivery.last()));
        assert_eq!(delivery.by_values("charts/waybill/values.yaml"), None);
    }

    #[test]
    fn tags_follow_the_templates() {
        let delivery = Delivery::parse(OURS).unwrap();
        let of = |name: &str| delivery.environment(name).unwrap().image_tags(COMMIT);
        assert_eq!(of("dev"), ["sha-0123456", "develop", "develop-0123456"]);
        assert!(of("staging").is_empty());
        assert_eq!(of("prod"), ["main", "sha-0123456"]);
        assert_eq!(
            delivery.release_image_tags("v1.0.0", false, COMMIT),
            ["sha-0123456", "latest", "v1.0.0"]
        );
        assert_eq!(
            delivery.release_image_tags("v1.0.0-rc.1", true, COMMIT),
            ["sha-0123456", "v1.0.0-rc.1"]
        );
    }

    #[test]
    fn another_environment_is_only_an_entry() {
        let qa = "[[environment]]\nname = \"qa\"\nbranch = \"qa\"\npromotion = \"pull-request\"\nsync = \"manual\"\napprovals = 1\n\n[[environment]]\nname = \"prod\"";
        let text = OURS.replace("[[environment]]\nname = \"prod\"", qa);
        let delivery = Delivery::parse(&text).unwrap();
        let names: Vec<&str> = delivery.names().collect();
        assert_eq!(names, ["dev", "staging", "qa", "prod"]);
        assert_eq!(delivery.previous(delivery.last()).unwrap().name, "qa");
        assert_eq!(delivery.tagged().name, "qa");
        assert!(!delivery.is_built("qa"));
    }

    #[test]
    fn an_owner_with_capitals_has_an_image_without() {
        let text = OURS.replace("owner = \"waybill\"", "owner = \"Acme\"");
        let delivery = Delivery::parse(&text).unwrap();
        assert_eq!(delivery.repository(), "Acme/waybill");
        assert_eq!(delivery.image_repository().path(), "acme/waybill");
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_reason() {
        for (from, to, reason) in [
            (
                "name = \"staging\"",
                "name = \"dev\"",
                "two environments have the name `dev`",
            ),
            (
                "branch = \"staging\"",
                "branch = \"main\"",
                "two environments have the branch `main`",
            ),
            (
                "name = \"staging\"",
                "name = \"Staging\"",
                "its name is not a DNS label",
            ),
            (
                "branch = \"staging\"",
                "branch = \"a b\"",
                "`a b` is not the name of a branch",
            ),
            (
                "branch = \"staging\"",
                "branch = \"staging\"\nvalues = \"../x.yaml\"",
                "must be a path within the repository",
            ),
            (
                "branch = \"staging\"",
                "branch = \"staging\"\nnamespace = \"waybill-dev\"",
                "two environments have the namespace",
            ),
            (
                "promotion = \"build\"",
                "promotion = \"pull-request\"",
                "`dev` is first, so it needs promotion = \"build\"",
            ),
            (
                "promotion = \"pull-request\"",
                "promotion = \"tag\"",
                "`staging` is between the first and the last",
            ),
            (
                "promotion = \"tag\"",
                "promotion = \"pull-request\"",
                "`prod` is last, so it needs promotion = \"tag\"",
            ),
            (
                "registry = \"ghcr.io\"",
                "registry = \"https://ghcr.io\"",
                "is not a host",
            ),
            (
                "registry = \"ghcr.io\"",
                "registry = \"ghcr.io/\"",
                "is not a host",
            ),
            (
                "owner = \"waybill\"",
                "owner = \"way bill\"",
                "is not an account",
            ),
            (
                "\"{branch}\", \"{branch}-{commit}\"",
                "\"latest\"",
                "only a release is `latest`",
            ),
            (
                "\"{branch}-{commit}\"",
                "\"{branch}-{sha}\"",
                "gives `develop-{sha}`, which is not an image tag",
            ),
            (
                "\"latest\", \"{version}\"",
                "\"{version}\", \"latest\"",
                "must end with `{version}`",
            ),
        ] {
            let error = problems(from, to);
            assert!(error.contains(reason), "{to}: {error}");
        }
    }

    #[test]
    fn an_unknown_key_or_word_is_refused() {
        for (from, to, reason) in [
            ("approvals = 2", "aprovals = 2", "unknown field `aprovals`"),
            (
                "sync = \"automatic\"",
                "sync = \"auto\"",
                "unknown variant `auto`",
            ),
            ("approvals = 2\n", "", "missing field `approvals`"),
            ("approvals = 2", "approvals = -1", "approvals = -1"),
        ] {
            let error = problems(from, to);
            assert!(error.contains(reason), "{to}: {error}");
        }
    }

    #[test]
    fn fewer_than_two_environments_are_refused() {
        let text = "owner = \"a\"\nname = \"b\"\nregistry = \"ghcr.io\"\n[release]\nimage-tags = [\"{version}\"]\nprerelease-image-tags = [\"{version}\"]\n";
        let error = Delivery::parse(text).unwrap_err().to_string();
        assert!(error.contains("at least two"), "{error}");
    }

    #[test]
    fn an_environment_that_is_missing_is_named_with_those_that_exist() {
        let error = Delivery::parse(OURS)
            .unwrap()
            .environment("qa")
            .unwrap_err();
        let expected = "there is no environment `qa` in delivery.toml; it has dev, staging, prod";
        assert_eq!(error.to_string(), expected);
    }
}
