//! `.github/renovate.json` is valid, and updates every version that this project pins.
//!
//! Renovate itself has accepted the file and found these pins: `renovate-config-validator --strict --no-global` and
//! `renovate --platform=local --dry-run=extract`, version 44.121. These tests repeat what can be repeated without it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't go on fails"
)]

use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The options that this project sets (<https://docs.renovatebot.com/configuration-options/>). Another key is an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "they only have to be valid")]
struct Config {
    #[serde(rename = "$schema")]
    schema: String,
    description: Vec<String>,
    extends: Vec<String>,
    base_branch_patterns: Vec<String>,
    enabled_managers: BTreeSet<String>,
    schedule: Vec<String>,
    vulnerability_alerts: Labels,
    semantic_commits: Switch,
    commit_message_prefix: String,
    cargo: ManagerOptions,
    nix: ManagerOptions,
    custom_managers: Vec<CustomManager>,
    package_rules: Vec<PackageRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "they only have to be valid")]
struct Labels {
    labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Switch {
    Auto,
    Enabled,
    Disabled,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "they only have to be valid")]
struct ManagerOptions {
    description: Option<Vec<String>>,
    enabled: Option<bool>,
    lock_file_maintenance: LockFileMaintenance,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "they only have to be valid")]
struct LockFileMaintenance {
    enabled: bool,
    branch_topic: String,
    commit_message_action: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "they only have to be valid")]
struct CustomManager {
    description: Vec<String>,
    custom_type: CustomType,
    manager_file_patterns: Vec<String>,
    match_strings: Vec<String>,
    dep_name_template: Option<String>,
    package_name_template: Option<String>,
    datasource_template: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum CustomType {
    Regex,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "they only have to be valid")]
struct PackageRule {
    description: Vec<String>,
    #[serde(default)]
    match_managers: BTreeSet<String>,
    #[serde(default)]
    match_datasources: Vec<String>,
    #[serde(default)]
    match_dep_names: Vec<String>,
    #[serde(default)]
    match_package_names: Vec<String>,
    #[serde(default)]
    match_file_names: Vec<String>,
    #[serde(default)]
    match_update_types: Vec<UpdateType>,
    group_name: Option<String>,
    allowed_versions: Option<String>,
    minimum_release_age: Option<String>,
    dependency_dashboard_approval: Option<bool>,
    post_update_options: Option<Vec<String>>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum UpdateType {
    Major,
    Minor,
    Patch,
    Digest,
}

/// The files that Renovate's own managers read, by their defaults in version 44.121.
const MANAGERS: [(&str, &str); 8] = [
    ("cargo", r"(^|/)Cargo\.toml$"),
    ("dockerfile", r"(^|/)([Dd]ocker|[Cc]ontainer)file[^/]*$"),
    (
        "github-actions",
        r"(^|/)\.github/(workflows|actions)/.+\.ya?ml$|(^|/)action\.ya?ml$",
    ),
    ("gomod", r"(^|/)go\.mod$"),
    ("nix", r"(^|/)flake\.nix$"),
    ("npm", r"(^|/)package\.json$"),
    (
        "pip_requirements",
        r"(^|/)[\w-]*requirements([-._]\w+)?\.(txt|pip)$",
    ),
    ("rust-toolchain", r"(^|/)rust-toolchain(\.toml)?$"),
];

/// Files whose versions Renovate leaves alone.
const EXCEPTIONS: [(&str, &str); 3] = [
    (
        "crates/devkit/src/delivery/file.rs",
        "sample versions that check the rules of delivery.toml",
    ),
    (
        "nix/versions.nix",
        "crates/pipeline/tests/nix compares it with the places that Renovate updates",
    ),
    (
        "Cargo.toml",
        "the project's own version; Renovate's manager reads the dependencies",
    ),
];

fn root() -> PathBuf {
    // Cargo runs a test in the folder of its package.
    PathBuf::from("../..")
}

fn config() -> Config {
    let text = fs::read_to_string(root().join(".github/renovate.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A pattern of Renovate that is a regular expression: `/…/`.
fn pattern(text: &str) -> Regex {
    let inner = text
        .strip_prefix('/')
        .and_then(|text| text.strip_suffix('/'));
    Regex::new(inner.unwrap_or_else(|| panic!("{text} is not between slashes"))).unwrap()
}

/// The files in git.
fn files() -> Vec<String> {
    let output = testkit::git(&root())
        .args(["ls-files", "-z"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let files = text.split('\0').filter(|file| !file.is_empty());
    files.map(str::to_owned).collect()
}

/// Whether a file decides what is built or run.
fn is_source(file: &str) -> bool {
    // The delivery bot writes the images in charts/, scenarios are tests, and the service names versions only in the
    // examples of its API.
    let folders = [
        "charts/",
        "docs/",
        "nix/tests/",
        "crates/lab/platform/",
        "crates/lab/src/scenarios/",
        "src/",
    ];
    let generated = ["Cargo.lock", "flake.lock", "package-lock.json", "go.sum"];
    let known = [".rs", ".toml", ".txt", ".json", ".nix", ".yaml", ".yml"];
    !folders.iter().any(|folder| file.starts_with(folder))
        && !file.starts_with("tests/")
        && !file.contains("/tests")
        && !generated.iter().any(|name| file.ends_with(name))
        && (file == "Dockerfile" || known.iter().any(|end| file.ends_with(end)))
}

/// The part of a file that is compiled into programs, without comments.
fn code(file: &str) -> String {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let comment = if file.ends_with(".rs") { "//" } else { "#" };
    let lines = text.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with(comment));
    lines.collect::<Vec<_>>().join("\n")
}

/// The places of exact versions: `"1.2.3"`, `==1.2.3`, `go1.2.3`, `image:1.2.3`.
fn pins(text: &str) -> Vec<std::ops::Range<usize>> {
    static VERSION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"(?:["'=:@]|go|v)(\d+\.\d+\.\d+)(?:["'\s\\-]|$)"#).unwrap());
    let found = VERSION.captures_iter(text);
    found.map(|found| found.get(1).unwrap().range()).collect()
}

#[test]
fn the_configuration_is_valid() {
    let config = config();
    let known: BTreeSet<String> = MANAGERS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    for rule in &config.package_rules {
        let unknown: Vec<_> = rule
            .match_managers
            .difference(&config.enabled_managers)
            .collect();
        assert!(unknown.is_empty(), "{:?}: {unknown:?}", rule.description);
    }
    let mut enabled = config.enabled_managers.clone();
    assert!(enabled.remove("custom.regex"));
    assert_eq!(enabled, known);
    for manager in &config.custom_managers {
        for text in &manager.match_strings {
            let regex = Regex::new(text).unwrap();
            let groups: BTreeSet<&str> = regex.capture_names().flatten().collect();
            assert!(groups.contains("currentValue"), "{text}");
            let named = groups.contains("depName") || manager.dep_name_template.is_some();
            assert!(named, "{text} finds versions without names");
        }
    }
}

#[test]
fn every_expression_of_a_custom_manager_finds_something() {
    let files = files();
    for manager in config().custom_managers {
        let patterns: Vec<Regex> = manager
            .manager_file_patterns
            .iter()
            .map(|p| pattern(p))
            .collect();
        let ours = files
            .iter()
            .filter(|file| patterns.iter().any(|p| p.is_match(file)));
        let texts: Vec<String> = ours
            .map(|file| fs::read_to_string(root().join(file)).unwrap())
            .collect();
        for text in &manager.match_strings {
            let regex = Regex::new(text).unwrap();
            assert!(
                texts.iter().any(|file| regex.is_match(file)),
                "{text} finds nothing"
            );
        }
    }
}

/// The pins in a text that the managers do not find.
fn unmanaged(file: &str, text: &str, config: &Config) -> Vec<String> {
    let builtin = MANAGERS.iter().any(|(name, files)| {
        // The manager `dockerfile` reads images and no build arguments.
        *name != "dockerfile"
            && config.enabled_managers.contains(*name)
            && Regex::new(files).unwrap().is_match(file)
    });
    let pins = pins(text);
    if builtin || pins.is_empty() {
        return Vec::new();
    }
    let managers = config.custom_managers.iter().filter(|manager| {
        let mut patterns = manager.manager_file_patterns.iter();
        patterns.any(|p| pattern(p).is_match(file))
    });
    let mut managed = Vec::new();
    for text_pattern in managers.flat_map(|manager| &manager.match_strings) {
        let found = Regex::new(text_pattern).unwrap();
        let found = found.captures_iter(text);
        managed.extend(found.map(|found| found.name("currentValue").unwrap().range()));
    }
    let image = Regex::new(r"(?m)^(?:FROM|ARG RUST_IMAGE=).*@sha256:\S+$").unwrap();
    if file == "Dockerfile" {
        managed.extend(image.find_iter(text).map(|found| found.range()));
    }
    let is_managed = |pin: &std::ops::Range<usize>| {
        managed
            .iter()
            .any(|range| range.start <= pin.start && pin.end <= range.end)
    };
    let pins = pins.into_iter().filter(|pin| !is_managed(pin));
    pins.map(|pin| format!("{file}: {}", &text[pin])).collect()
}

#[test]
fn every_pinned_version_has_a_manager() {
    let config = config();
    let (mut found, mut missed) = (0, Vec::new());
    for file in files().iter().filter(|file| is_source(file)) {
        let text = code(file);
        found += pins(&text).len();
        if EXCEPTIONS.iter().any(|(exception, _)| exception == file) {
            continue;
        }
        missed.extend(unmanaged(file, &text, &config));
    }
    assert_eq!(missed, [""; 0], "Renovate does not update these");
    assert!(found > 20, "only {found} pins");
    for (file, _) in EXCEPTIONS {
        assert!(Path::new("../..").join(file).exists(), "{file}");
    }
}

/// What Renovate did not update before.
#[test]
fn a_pin_without_a_manager_is_noticed() {
    for (file, manager) in [
        ("crates/devkit/python/requirements.txt", "pip_requirements"),
        ("crates/devkit/npm/package.json", "npm"),
        ("rust-toolchain.toml", "rust-toolchain"),
        ("crates/devkit/src/tools/table.rs", "custom.regex"),
        ("Dockerfile", "custom.regex"),
    ] {
        let mut config = config();
        assert!(unmanaged(file, &code(file), &config).is_empty());
        config.enabled_managers.remove(manager);
        if manager == "custom.regex" {
            config.custom_managers.clear();
        }
        assert!(!unmanaged(file, &code(file), &config).is_empty(), "{file}");
    }
}
