//! The documentation names commands, options and scenarios that the lab has.

#![expect(clippy::expect_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn root() -> PathBuf {
    // Cargo runs a test in the folder of its package.
    fs::canonicalize("../..").expect("the project has a root")
}

/// README.md, CONTRIBUTING.md and the pages in docs, as path and text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let docs = fs::read_dir(root().join("docs")).expect("there is a folder docs");
    paths.extend(docs.map(|entry| entry.expect("docs can be read").path()));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page can be read");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The words of each `cargo lab` command of a page, up to a comment or the end of the code.
fn calls(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines();
    lines
        .flat_map(|line| line.split("cargo lab ").skip(1))
        .map(|call| {
            let end = call
                .find(['`', '#', ';', '|', ',', '"'])
                .unwrap_or(call.len());
            call[..end].split_whitespace().collect()
        })
        .collect()
}

fn lab(arguments: &[&str]) -> Option<String> {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    let output = lab
        .args(arguments)
        .output()
        .expect("the lab can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// The names that `cargo lab test --list` prints.
fn scenarios() -> BTreeSet<String> {
    let list = lab(&["test", "--list"]).expect("the scenarios can be listed");
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

fn is_name(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

#[test]
fn every_call_names_a_command_its_options_and_its_scenarios() {
    let (scenarios, mut count) = (scenarios(), 0);
    for (path, text) in pages() {
        for call in calls(&text) {
            let path = path.display();
            let Some((command, rest)) = call.split_first().filter(|(word, _)| is_name(word)) else {
                continue;
            };
            let help = lab(&[command, "--help"])
                .unwrap_or_else(|| panic!("{path}: `cargo lab {command}` does not exist"));
            let rest: Vec<&str> = rest
                .iter()
                .copied()
                .take_while(|word| *word != "--")
                .collect();
            for option in rest.iter().filter(|word| word.starts_with("--")) {
                assert!(
                    help.contains(option),
                    "{path}: `cargo lab {command}` has no option {option}"
                );
            }
            // Capitals are a placeholder.
            for name in rest
                .iter()
                .filter(|word| *command == "test" && is_name(word))
            {
                assert!(
                    name.starts_with("--") || scenarios.contains(*name),
                    "{path}: there is no scenario {name}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 30, "only {count} calls were found");
}

#[test]
fn the_page_of_the_lab_lists_every_scenario() {
    let page = fs::read_to_string(root().join("docs/lab.md")).expect("the page can be read");
    let (_, section) = page
        .split_once("## Scenarios")
        .expect("a section on scenarios");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<String> = rows
        .filter_map(|row| row.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(listed, scenarios());
}
