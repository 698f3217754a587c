//! What registries of charts, such as Artifact Hub, show about the chart
//! (<https://helm.sh/docs/topics/charts/#the-chartyaml-file>, <https://artifacthub.io/docs/topics/annotations/helm/>).

use crate::helm::chart;
use devkit::delivery::Delivery;
use serde_json::Value;
use std::fs;
use std::path::Path;

const ROOT: &str = "../..";

/// What a registry would miss, or show of another project.
fn missing(chart: &Value, delivery: &Delivery, license: &str) -> Vec<String> {
    let home = chart["home"].as_str().unwrap_or_default();
    let ours =
        home.starts_with("https://") && home.ends_with(&format!("/{}", delivery.repository()));
    let maintainer = &chart["maintainers"][0];
    let annotations = &chart["annotations"];
    let facts = [
        (ours, "home"),
        (chart["sources"] == Value::from(vec![home]), "sources"),
        (maintainer["name"].is_string(), "maintainers"),
        (maintainer["url"] == home, "the page of the maintainers"),
        (
            annotations["artifacthub.io/license"] == license,
            "the license",
        ),
        (
            annotations["artifacthub.io/category"] == "integration-delivery",
            "the category",
        ),
    ];
    let facts = facts.iter().filter(|(holds, _)| !holds);
    let mut problems: Vec<String> = facts.map(|(_, what)| (*what).to_owned()).collect();

    let links = annotations["artifacthub.io/links"].as_str().unwrap_or("[]");
    let links: Vec<Value> = serde_saphyr::from_str(links).unwrap_or_default();
    if links.is_empty() {
        problems.push("links".to_owned());
    }
    let branch = &delivery.last().branch;
    let starts = ["blob", "tree"].map(|kind| format!("{home}/{kind}/{branch}/"));
    for link in &links {
        let url = link["url"].as_str().unwrap_or_default();
        let path = starts.iter().find_map(|start| url.strip_prefix(start));
        let exists = path.is_some_and(|path| Path::new(ROOT).join(path).exists());
        if !exists || !link["name"].is_string() {
            problems.push(format!("the link {url}"));
        }
    }
    problems
}

#[test]
fn registries_can_show_what_the_chart_is() {
    let delivery = Delivery::load(Path::new(ROOT)).expect("delivery.toml");
    let manifest = fs::read_to_string(format!("{ROOT}/Cargo.toml")).expect("Cargo.toml");
    let license = manifest
        .lines()
        .find_map(|line| line.strip_prefix("license = "));
    let license = license.expect("a license").trim_matches('"');
    let text = fs::read_to_string(format!("{}/Chart.yaml", chart("waybill"))).expect("a chart");
    let found = |text: &str| {
        let chart: Value = serde_saphyr::from_str(text).expect("YAML");
        missing(&chart, &delivery, license)
    };
    assert_eq!(found(&text), [""; 0]);

    let home = text.lines().find_map(|line| line.strip_prefix("home: "));
    let home = home.expect("home");
    for (right, wrong) in [
        (format!("home: {home}\n"), ""),
        (
            format!("home: {home}\n"),
            "home: https://github.com/acme/other\n",
        ),
        (format!("  - {home}\n"), "  - https://example.org\n"),
        ("  - name: ".to_owned(), "  - email: "),
        (format!("    url: {home}\n"), ""),
        ("artifacthub.io/license".to_owned(), "license"),
        (
            format!("artifacthub.io/license: {license}"),
            "artifacthub.io/license: GPL-3.0",
        ),
        ("artifacthub.io/category".to_owned(), "category"),
        ("artifacthub.io/links".to_owned(), "links"),
        ("CHANGELOG.md".to_owned(), "HISTORY.md"),
    ] {
        assert!(text.contains(&right), "{right:?}");
        assert_ne!(found(&text.replace(&right, wrong)), [""; 0], "{wrong:?}");
    }
}
