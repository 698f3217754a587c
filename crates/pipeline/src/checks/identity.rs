//! Compares `delivery.toml` with the files that repeat a part of it, because Helm, Cargo and the forge cannot read it.

use crate::project::tracked;
use anyhow::{Context, Result};
use devkit::delivery::{Delivery, FILE, Sync};
use devkit::yaml::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What disagrees with `delivery.toml`, one sentence each.
pub(crate) fn disagreements(root: &Path) -> Result<Vec<String>> {
    let delivery = Delivery::load(root)?;
    let mut problems = Vec::new();
    let Delivery { name, chart, .. } = &delivery;

    let manifest = read(root, "Cargo.toml")?;
    let package = manifest
        .lines()
        .find_map(|line| line.strip_prefix("name = "));
    expect(
        &mut problems,
        "Cargo.toml",
        "package.name",
        package.map(|name| name.trim_matches('"')),
        name,
    );
    let file = format!("{chart}/Chart.yaml");
    expect_yaml(root, &mut problems, &file, "name", name)?;
    problems.extend(chart_urls(&file, &read(root, &file)?, &delivery)?);
    let file = format!("{chart}/values.yaml");
    let image = delivery.image_repository().to_string();
    expect_yaml(root, &mut problems, &file, "image.repository", &image)?;

    problems.extend(values_files(root, &delivery)?);
    problems.extend(argocd(&read(root, ARGOCD)?, &delivery)?);
    problems.extend(concurrency(&read(root, CI)?, &delivery)?);
    if root.join(RELEASE).exists() {
        let environment = "jobs.release.environment.name";
        let last = &delivery.last().name;
        expect_yaml(root, &mut problems, RELEASE, environment, last)?;
    }
    Ok(problems)
}

/// The values of the chart with Argo CD's Applications.
const ARGOCD: &str = "argocd/values.yaml";

/// The workflow that proposes a version for the last environment.
const RELEASE: &str = ".github/workflows/release.yaml";

/// The workflow that delivers.
const CI: &str = ".github/workflows/ci.yaml";

fn read(root: &Path, file: &str) -> Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

fn expect(problems: &mut Vec<String>, file: &str, key: &str, found: Option<&str>, expected: &str) {
    if found != Some(expected) {
        let found = found.unwrap_or("missing");
        problems.push(format!(
            "{file}: `{key}` is `{found}`, but {FILE} says `{expected}`"
        ));
    }
}

fn expect_yaml(
    root: &Path,
    problems: &mut Vec<String>,
    file: &str,
    key: &str,
    expected: &str,
) -> Result<()> {
    let tree = Node::parse(&read(root, file)?).with_context(|| file.to_owned())?;
    expect(
        problems,
        file,
        key,
        tree.at(key).and_then(Node::text),
        expected,
    );
    Ok(())
}

/// Each environment has a values file, and each values file an environment.
fn values_files(root: &Path, delivery: &Delivery) -> Result<Vec<String>> {
    let pattern = format!("{}/values-*.yaml", delivery.chart);
    let found = tracked(root, &[&pattern])?.into_iter();
    let found: BTreeSet<String> = found.map(|file| file.to_string_lossy().into()).collect();
    let environments = delivery.environments().iter();
    let expected: BTreeSet<String> = environments.map(|env| env.values.clone()).collect();
    let missing = expected.difference(&found);
    let missing = missing.map(|file| format!("{file} is missing: {FILE} has its environment"));
    let unknown = found.difference(&expected);
    let unknown = unknown.map(|file| format!("{file} belongs to no environment of {FILE}"));
    Ok(missing.chain(unknown).collect())
}

/// The pages that a chart names, which registries such as Artifact Hub show.
fn chart_urls(file: &str, text: &str, delivery: &Delivery) -> Result<Vec<String>> {
    let tree = Node::parse(text).with_context(|| file.to_owned())?;
    let sources = tree.get("sources").map(Node::items).unwrap_or_default();
    let home = tree.get("home").map(|url| ("home", url));
    let urls = home
        .into_iter()
        .chain(sources.iter().map(|url| ("sources", url)));
    let mut problems = Vec::new();
    for (key, url) in urls {
        let url = url.text().unwrap_or_default();
        if !is_repository(url, delivery) {
            problems.push(format!(
                "{file}: `{key}` is `{url}`, which is not {}",
                delivery.repository()
            ));
        }
    }
    Ok(problems)
}

/// Whether a URL is that of the project's repository, on any forge.
fn is_repository(url: &str, delivery: &Delivery) -> bool {
    url.trim_end_matches(".git")
        .ends_with(&format!("/{}", delivery.repository()))
}

/// Argo CD's repository and environments.
fn argocd(text: &str, delivery: &Delivery) -> Result<Vec<String>> {
    let tree = Node::parse(text).context(ARGOCD)?;
    let mut problems = Vec::new();
    let url = tree.get("repoURL").and_then(Node::text).unwrap_or_default();
    let repository = delivery.repository();
    if !is_repository(url, delivery) {
        problems.push(format!(
            "{ARGOCD}: `repoURL` is `{url}`, which is not {repository}"
        ));
    }
    let entries = tree
        .get("environments")
        .map(Node::entries)
        .unwrap_or_default();
    let mut found: BTreeMap<&str, &Node> = entries.iter().map(|(k, v)| (k.as_str(), v)).collect();
    for env in delivery.environments() {
        let automated = (env.sync == Sync::Automatic).to_string();
        let Some(entry) = found.remove(env.name.as_str()) else {
            problems.push(format!(
                "{ARGOCD}: the environment `{}` is missing; add it with `branch: {}` and `automated: {automated}`",
                env.name, env.branch
            ));
            continue;
        };
        for (key, expected) in [("branch", &env.branch), ("automated", &automated)] {
            let path = format!("environments.{}.{key}", env.name);
            let found = entry.get(key).and_then(Node::text);
            expect(&mut problems, ARGOCD, &path, found, expected);
        }
        let path = format!("environments.{}.url", env.name);
        let found = entry.get("url").and_then(Node::text).unwrap_or("missing");
        let expected = env.url.as_deref().unwrap_or("missing");
        expect(&mut problems, ARGOCD, &path, Some(found), expected);
        let path = format!("environments.{}.namespace", env.name);
        let default = delivery.application(env);
        let found = entry.get("namespace").and_then(Node::text);
        let found = found.unwrap_or(&default);
        expect(&mut problems, ARGOCD, &path, Some(found), &env.namespace);
    }
    let unknown = found.into_keys();
    problems.extend(unknown.map(|name| format!("{ARGOCD}: {FILE} has no environment `{name}`")));
    Ok(problems)
}

/// The branches on which CI delivers every commit. A workflow's concurrency cannot use the output of a job.
fn concurrency(text: &str, delivery: &Delivery) -> Result<Vec<String>> {
    let tree = Node::parse(text).context(CI)?;
    let Some(group) = tree.at("concurrency.group").and_then(Node::text) else {
        return Ok(Vec::new());
    };
    let named: BTreeSet<&str> = group
        .split('"')
        .filter(|word| word.starts_with("refs/heads/"))
        .collect();
    let delivering = delivery
        .environments()
        .iter()
        .filter(|env| !env.image_tags("").is_empty())
        .map(|env| env.reference());
    let delivering: BTreeSet<String> = delivering.collect();
    let agree = named
        .iter()
        .copied()
        .eq(delivering.iter().map(String::as_str));
    Ok(match agree {
        true => Vec::new(),
        false => vec![format!(
            "{CI}: `concurrency` names {named:?}, but CI publishes image tags on {delivering:?} by {FILE}"
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use testkit::DELIVERY;

    fn delivery() -> Delivery {
        Delivery::parse(DELIVERY).unwrap()
    }

    #[test]
    fn this_project_agrees_with_itself() {
        // Cargo runs a test in the folder of its package.
        let root = Path::new("../..");
        assert_eq!(disagreements(root).unwrap(), [""; 0]);
    }

    #[test]
    fn an_environment_that_argocd_lacks_or_has_too_many_is_named() {
        let url = format!(
            "repoURL: https://forge.example/{}.git",
            delivery().repository()
        );
        let of = |environments: &str| {
            argocd(&format!("{url}\nenvironments: {environments}"), &delivery()).unwrap()
        };
        let all = "dev: {branch: develop, automated: true}, staging: {branch: staging, automated: false}, \
                   prod: {branch: main, automated: false}";
        assert_eq!(of(&format!("{{{all}}}")), [""; 0]);
        let added = of(&format!("{{{all}, qa: {{branch: qa, automated: false}}}}"));
        assert!(added[0].contains("no environment `qa`"), "{added:?}");
        let changed = of(&format!(
            "{{{}}}",
            all.replace("branch: staging", "branch: stage")
        ));
        assert!(changed[0].contains("`stage`, but"), "{changed:?}");
        let missing = of("{dev: {branch: develop, automated: true}}");
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(
            missing[0].contains("add it with `branch: staging`"),
            "{missing:?}"
        );
    }

    #[test]
    fn a_namespace_that_argocd_does_not_know_is_named() {
        let text = "[[environment]]\nname = \"dev\"";
        let named = DELIVERY.replacen(text, &format!("{text}\nnamespace = \"testing\""), 1);
        let delivery = Delivery::parse(&named).unwrap();
        let of = |namespace: &str| {
            let text = format!(
                "repoURL: https://forge.example/{}.git\nenvironments:\n  \
                 dev: {{branch: develop, automated: true{namespace}}}\n  \
                 staging: {{branch: staging, automated: false}}\n  prod: {{branch: main, automated: false}}\n",
                delivery.repository()
            );
            argocd(&text, &delivery).unwrap()
        };
        assert_eq!(of(", namespace: testing"), [""; 0]);
        for other in ["", ", namespace: other"] {
            let problems = of(other);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].contains("`environments.dev.namespace`"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_url_that_argocd_does_not_know_is_named() {
        let url = "https://staging.example.org";
        let named = DELIVERY.replacen(
            "approvals = 1",
            &format!("approvals = 1\nurl = \"{url}\""),
            1,
        );
        let delivery = Delivery::parse(&named).unwrap();
        let of = |entry: &str| {
            let text = format!(
                "repoURL: https://forge.example/{}.git\nenvironments:\n  \
                 dev: {{branch: develop, automated: true}}\n  \
                 staging: {{branch: staging, automated: false{entry}}}\n  prod: {{branch: main, automated: false}}\n",
                delivery.repository()
            );
            argocd(&text, &delivery).unwrap()
        };
        assert_eq!(of(&format!(", url: \"{url}\"")), [""; 0]);
        for other in ["", ", url: \"https://other.example.org\""] {
            let problems = of(other);
            assert_eq!(problems.len(), 1, "{problems:?}");
            let key = "`environments.staging.url`";
            assert!(problems[0].contains(key), "{problems:?}");
        }
    }

    #[test]
    fn another_repository_is_named() {
        let problems =
            argocd("repoURL: https://forge.example/acme/other.git", &delivery()).unwrap();
        assert!(problems[0].contains("acme/other"), "{problems:?}");
    }

    #[test]
    fn a_page_of_another_project_in_the_chart_is_named() {
        let of = |home: &str, source: &str| {
            let text = format!("name: shop\nhome: {home}\nsources:\n  - {source}\n");
            chart_urls("Chart.yaml", &text, &delivery()).unwrap()
        };
        let ours = format!("https://forge.example/{}", delivery().repository());
        let other = "https://forge.example/acme/other";
        assert_eq!(of(&ours, &ours), [""; 0]);
        assert_eq!(
            of(other, &ours),
            [format!(
                "Chart.yaml: `home` is `{other}`, which is not {}",
                delivery().repository()
            )]
        );
        assert!(of(&ours, other)[0].starts_with("Chart.yaml: `sources` is"));
        assert_eq!(
            chart_urls("Chart.yaml", "name: shop\n", &delivery()).unwrap(),
            [""; 0]
        );
    }

    #[test]
    fn concurrency_names_the_branches_that_deliver() {
        let of = |branches: &str| {
            let group = format!("${{{{ contains(fromJSON('[{branches}]'), github.ref) }}}}");
            concurrency(&format!("concurrency:\n  group: {group}\n"), &delivery()).unwrap()
        };
        assert_eq!(of(r#""refs/heads/develop", "refs/heads/main""#), [""; 0]);
        assert_eq!(of(r#""refs/heads/develop""#).len(), 1);
        assert_eq!(
            of(r#""refs/heads/develop", "refs/heads/main", "refs/heads/qa""#).len(),
            1
        );
        assert_eq!(concurrency("on: push\n", &delivery()).unwrap(), [""; 0]);
    }
}
