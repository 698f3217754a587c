//! The documentation: its commands exist, its links lead somewhere, and what no test runs is marked.
//!
//! A fenced block is one of three kinds. `sh` has only `cargo pipeline` and `cargo lab`, which the workflows, the
//! scenarios and `.ci/run` run. `sh run` is run by `tests/docs.rs`. `sh no-test` is run by nothing, and its page
//! says so.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::root;

/// What a page says that has commands which no test runs.
const NOT_RUN: &str = "Not run by a test";

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A page of the documentation, by its path in the repository.
struct Page {
    path: String,
    text: String,
}

fn pages() -> Vec<Page> {
    let mut paths: Vec<String> = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "argocd/README.md",
        "charts/waybill/README.md",
        "migrations/README.md",
    ]
    .map(str::to_owned)
    .into();
    let docs = fs::read_dir(root().join("docs")).expect("there is a folder docs");
    paths.extend(docs.map(|entry| {
        let name = entry.expect("docs can be read").file_name();
        format!("docs/{}", name.to_string_lossy())
    }));
    paths.retain(|path| path.ends_with(".md"));
    paths.sort();
    let page = |path: String| Page {
        text: read(&root().join(&path)),
        path,
    };
    paths.into_iter().map(page).collect()
}

/// A fenced block: what follows the fence, and the lines in it.
struct Block {
    kind: String,
    lines: Vec<String>,
}

impl Page {
    /// The fenced blocks, also in lists, and the text without them.
    fn parts(&self) -> (Vec<Block>, String) {
        let (mut blocks, mut prose) = (Vec::new(), String::new());
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(kind)) => {
                    open = Some(Block {
                        kind: kind.to_owned(),
                        lines: Vec::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.lines.push(line.trim().to_owned()),
                (None, None) => {
                    prose.push_str(line);
                    prose.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path);
        (blocks, prose)
    }

    /// What is between single backticks.
    fn code(&self) -> Vec<String> {
        let (_, prose) = self.parts();
        let quoted = prose.split('`').skip(1).step_by(2);
        quoted.map(|code| code.replace('\n', " ")).collect()
    }

    /// Every command with one of our programs, from blocks and from prose, without its comment.
    fn calls(&self, program: &str) -> Vec<Vec<String>> {
        let (blocks, _) = self.parts();
        let lines = blocks.iter().filter(|block| block.kind.starts_with("sh"));
        let mut texts: Vec<String> = lines.flat_map(|block| block.lines.clone()).collect();
        texts.extend(self.code());
        texts
            .iter()
            .filter_map(|text| text.split_once(program))
            .map(|(_, call)| {
                let end = call.find([';', '|', '#', '"', '>']).unwrap_or(call.len());
                let words = call[..end].split_whitespace().map(str::to_owned);
                words.take_while(|word| word != "--").collect()
            })
            .collect()
    }
}

/// The long options that a command of the pipeline has, or nothing if there is no such command.
fn options(command: &str) -> Option<BTreeSet<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .args([command, "--help"])
        .output()
        .expect("the pipeline can be started");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = help.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    let options = words.filter(|word| word.starts_with("--"));
    output
        .status
        .success()
        .then(|| options.map(str::to_owned).collect())
}

#[test]
fn every_call_of_the_pipeline_names_a_command_and_its_options() {
    let mut count = 0;
    for page in pages() {
        for call in page.calls("cargo pipeline ") {
            let path = &page.path;
            // In running text a placeholder or an alternative may follow.
            let Some(command) = call.first().filter(|word| is_name(word)) else {
                continue;
            };
            let known = options(command)
                .unwrap_or_else(|| panic!("{path}: `cargo pipeline {command}` does not exist"));
            for option in call.iter().filter(|word| word.starts_with("--")) {
                let name = option.split('=').next().unwrap_or(option);
                assert!(
                    known.contains(name),
                    "{path}: `cargo pipeline {command}` has no option {option}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 40, "only {count} calls were found");
}

#[test]
fn blocks_say_whether_a_test_runs_them() {
    for page in pages() {
        let (blocks, prose) = page.parts();
        for block in &blocks {
            let path = &page.path;
            match block.kind.as_str() {
                "sh" => {
                    for line in block.lines.iter().filter(|line| !line.is_empty()) {
                        assert!(
                            line.starts_with("cargo pipeline ") || line.starts_with("cargo lab "),
                            "{path}: no test runs `{line}`: mark its block `sh no-test` or `sh run`"
                        );
                    }
                }
                "sh run" => assert!(
                    ["README.md", "docs/service.md"].contains(&path.as_str()),
                    "{path}: tests/docs.rs does not read this page"
                ),
                "sh no-test" => assert!(
                    prose.contains(NOT_RUN),
                    "{path}: say \"{NOT_RUN}\" where the commands begin"
                ),
                "mermaid" | "nix" | "text" | "toml" | "yaml" => {}
                other => panic!("{path}: a block of the kind `{other}`"),
            }
        }
    }
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    for page in pages() {
        let (_, prose) = page.parts();
        let folder = root().join(&page.path);
        let folder = folder.parent().expect("a page is in a folder");
        for link in prose.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => root().join(&page.path),
                file => folder.join(file),
            };
            assert!(file.exists(), "{}: {target} does not exist", page.path);
            assert!(
                heading.is_empty() || headings(&read(&file)).contains(heading),
                "{}: {target} has no such heading",
                page.path
            );
        }
    }
}

/// The anchors that GitHub gives to a page's headings.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|title| {
            let title = title.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_path_that_is_mentioned_exists() {
    let tops: Vec<String> = fs::read_dir(root())
        .expect("the repository can be read")
        .map(|entry| {
            let name = entry.expect("the repository can be read").file_name();
            name.to_string_lossy().into_owned()
        })
        .filter(|name| name != "target")
        .collect();
    for page in pages() {
        for code in page.code() {
            let top = code.split_once('/').map(|(top, _)| top.to_owned());
            if !top.is_some_and(|top| tops.contains(&top)) || code.contains(char::is_whitespace) {
                continue;
            }
            // A placeholder or a pattern: what comes before it must exist.
            let fixed = code.split(['<', '*', '{']).next().unwrap_or(&code);
            let fixed = match fixed.len() == code.len() {
                true => fixed,
                false => fixed.rsplit_once('/').map_or(fixed, |(folder, _)| folder),
            };
            assert!(
                root().join(fixed).exists(),
                "{}: there is no {code}",
                page.path
            );
        }
    }
}

/// The texts of all files in a folder.
fn texts(folder: &str) -> String {
    files(&root().join(folder))
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| read(file))
        .collect()
}

#[test]
fn every_test_and_scenario_of_the_faults_exists() {
    let tests = ["src", "tests", "crates/pipeline/tests"]
        .map(texts)
        .concat();
    let scenarios = texts("crates/lab/src/scenarios");
    let page = read(&root().join("docs/faults.md"));
    let mut count = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let (_, tried) = row
            .trim_end_matches([' ', '|'])
            .rsplit_once(" | ")
            .expect("a table");
        let mut before = "";
        for (number, part) in tried.split('`').enumerate() {
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let exists = match part {
                _ if number % 2 == 0 => {
                    before = part;
                    continue;
                }
                name if before.ends_with("scenario ") => {
                    scenarios.contains(&format!("name: \"{name}\""))
                }
                file if file.ends_with(".rs") => {
                    root().join("crates/pipeline/tests").join(file).exists()
                }
                test if test.chars().all(word) => tests.contains(&format!("fn {test}(")),
                _ => continue,
            };
            assert!(exists, "docs/faults.md: there is no {part}");
            count += 1;
        }
    }
    assert!(count > 40, "only {count} were found");
}

#[test]
fn every_variable_of_workflows_and_programs_is_documented() {
    let table = read(&root().join("docs/configuration.md"));
    let mut names = BTreeSet::new();
    for (folder, marks) in [
        (".github/workflows", &["vars.", "secrets."][..]),
        (
            "crates/pipeline/src",
            &["var(\"", "require(\"", "secret(\"", "env = \""],
        ),
        ("crates/lab/src", &["var_os(\"", "env = \""]),
        ("crates/devkit/src", &["var_os(\"", "var(\""]),
    ] {
        for file in files(&root().join(folder)) {
            let text = read(&file);
            for mark in marks {
                for rest in text.split(mark).skip(1) {
                    let end = rest
                        .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
                        .unwrap_or(rest.len());
                    names.insert(rest[..end].to_owned());
                }
            }
        }
    }
    names.retain(|name| name.len() > 1);
    assert!(names.len() > 30, "only {names:?} were found");
    names.retain(|name| !table.contains(name.as_str()));
    assert!(names.is_empty(), "docs/configuration.md lacks {names:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Whether this can be the name of a command.
fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}
