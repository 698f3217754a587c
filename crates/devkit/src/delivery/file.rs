//! The file as it is written, and what must be true of its values.

use super::{
    Delivery, Environment, Error, Platform, Promotion, Protection, Release, Sync, fill, protection,
};
use crate::reference::{self, Repository, is_registry, is_tag};
use serde::Deserialize;
use ureq::http::Uri;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    owner: String,
    name: String,
    registry: String,
    image_repository: Option<String>,
    chart: Option<String>,
    platforms: Option<Vec<Platform>>,
    #[serde(default, rename = "environment")]
    environments: Vec<FileEnvironment>,
    protection: Protection,
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
    url: Option<String>,
    #[serde(default)]
    image_tags: Vec<String>,
}

impl Delivery {
    /// Reads the text of a `delivery.toml`.
    ///
    /// # Errors
    /// When it is not valid; with everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(Error::Syntax)?;
        file.check()
    }
}

impl File {
    /// Fills in the defaults.
    ///
    /// # Errors
    /// With everything that is wrong with the values.
    pub(super) fn check(self) -> Result<Delivery, Error> {
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
            let error = reference::Error::Registry(self.registry.clone());
            problems.push(format!("registry {error}"));
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
        let platforms = self.platforms.unwrap_or_else(|| vec![Platform::Amd64]);
        if platforms.first() != Some(&Platform::Amd64) || !platforms.is_sorted_by(|a, b| a < b) {
            problems.push(format!(
                "platforms must begin with `{}`, which the runners of every forge build, and name each platform once",
                Platform::Amd64
            ));
        }
        let environments: Vec<Environment> = self
            .environments
            .into_iter()
            .map(|env| env.resolve(&self.name, &chart))
            .collect();
        check_each(&environments, &mut problems);
        check_releases(&self.name, &environments, &mut problems);
        check_unique(&environments, &mut problems);
        check_order(&environments, &mut problems);
        protection::check(&self.protection, &environments, &mut problems);
        check_release(&self.release, &mut problems);
        match image_repository {
            Ok(image_repository) if problems.is_empty() => Ok(Delivery {
                owner: self.owner,
                name: self.name,
                registry: self.registry.to_ascii_lowercase(),
                chart,
                platforms,
                protection: self.protection,
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
            url: self.url,
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
        if env.approvals > MOST_APPROVALS {
            problem(format!(
                "approvals is {}, and forges support at most {MOST_APPROVALS}",
                env.approvals
            ));
        }
        if let Some(url) = env.url.as_ref().filter(|url| !is_web_address(url)) {
            problem(format!(
                "url `{url}` is not a web address: write it with `https://` or `http://`"
            ));
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
}

/// Argo CD gives Helm the name of an Application as that of its release.
fn check_releases(name: &str, environments: &[Environment], problems: &mut Vec<String>) {
    for env in environments {
        let application = format!("{name}-{env}");
        if application.len() > LONGEST_RELEASE {
            problems.push(format!(
                "environment `{env}`: the Application `{application}` is a release of Helm, whose name has at most {LONGEST_RELEASE} characters: shorten `name`"
            ));
        }
    }
}

fn check_unique(environments: &[Environment], problems: &mut Vec<String>) {
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

/// The largest number of required approvals that GitHub supports.
const MOST_APPROVALS: u32 = 6;

/// The longest name of a release (<https://helm.sh/docs/chart_template_guide/getting_started/>).
const LONGEST_RELEASE: usize = 53;

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

/// An absolute URL that a browser opens. A job's output is a single line without spaces.
fn is_web_address(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
    })
}

fn is_relative(text: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..");
    text.split('/').all(part) && !text.contains(['\\', '\n', '\0'])
}
