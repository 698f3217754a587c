//! The dependencies between crates and between modules, read from the sources: the tools do not depend on each other,
//! and no modules form a cycle.
//!
//! `cargo test -p pipeline --test architecture -- --nocapture` prints the graphs for docs/architecture.md.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use testkit::root;

/// Edges from a node to those that it depends on.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.current_dir(root()).no_deps().exec().unwrap()
}

/// The crates of the workspace, and the folders of their sources.
fn crates() -> Vec<(String, PathBuf)> {
    let packages = metadata().packages.into_iter();
    packages
        .map(|package| {
            let folder = package.manifest_path.parent().unwrap().join("src");
            (package.name.to_string(), folder.into())
        })
        .collect()
}

/// The dependencies between crates of the workspace, without those of tests.
fn crate_graph() -> Graph {
    let packages = metadata().packages;
    let names: BTreeSet<String> = packages.iter().map(|p| p.name.to_string()).collect();
    let edges = |package: &cargo_metadata::Package| {
        let dependencies = package.dependencies.iter();
        let dependencies = dependencies.filter(|d| d.kind == DependencyKind::Normal);
        dependencies
            .map(|dependency| dependency.name.clone())
            .filter(|name| names.contains(name) && *name != package.name.as_str())
            .collect()
    };
    packages
        .iter()
        .map(|package| (package.name.to_string(), edges(package)))
        .collect()
}

/// The dependencies between modules of a crate. The root module has the name `crate`.
///
/// A module and its own submodules are one unit, so what a submodule uses of the modules around it does not count. The
/// root is an exception: nothing may use it.
fn module_graph(folder: &Path) -> Graph {
    let files = modules(folder);
    let names: BTreeSet<&str> = files.keys().map(String::as_str).collect();
    let edges = |module: &str, source: &str| -> BTreeSet<String> {
        let paths = paths(&code(source)).into_iter();
        let targets = paths.filter_map(|path| resolve(module, &path, &names));
        let is_around =
            |target: &str| target != "crate" && module.starts_with(&format!("{target}::"));
        targets
            .filter(|target| target != module && !is_around(target))
            .collect()
    };
    files
        .iter()
        .map(|(module, source)| (module.clone(), edges(module, source)))
        .collect()
}

/// The sources of a crate by module: `crate`, `crate::a`, `crate::a::b`.
fn modules(folder: &Path) -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), "crate".to_owned())];
    while let Some((folder, parent)) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push((path, format!("{parent}::{stem}")));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = match stem.as_str() {
                    "main" | "lib" | "mod" => parent.clone(),
                    _ => format!("{parent}::{stem}"),
                };
                let source: &mut String = modules.entry(module).or_default();
                source.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    modules
}

/// A source without its unit tests, comments and literals.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap();
    let mut code = String::new();
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let hashes = rest.strip_prefix('r').map_or("", |raw| {
            &raw[..raw.len() - raw.trim_start_matches('#').len()]
        });
        let raw_start = format!("r{hashes}\"");
        let boundary = !code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if boundary && rest.starts_with(&raw_start) {
            let end = format!("\"{hashes}");
            let body = &rest[raw_start.len()..];
            raw_start.len() + body.find(&end).unwrap() + end.len()
        } else if next == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.unwrap() + 2
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else {
            code.push(next);
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    code
}

/// All paths of a source, with the groups of `use` expanded: `use a::{b, c::d}` has `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        let before = &rest[..start];
        let follows = before.ends_with("::") || before.ends_with('.');
        rest = &rest[start..];
        let mut found = Vec::new();
        rest = path(rest, &[], &mut found);
        if !follows {
            paths.extend(found);
        }
    }
    paths
}

/// Reads the path at the start of `rest`, and returns what comes after it.
fn path<'a>(mut rest: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = prefix.to_vec();
    loop {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(next) = rest.strip_prefix("::") else {
            break;
        };
        if let Some(mut group) = next.strip_prefix('{') {
            loop {
                group =
                    group.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '*');
                if let Some(after) = group.strip_prefix('}') {
                    return after;
                }
                let before = group.len();
                group = self::path(group, &path, found);
                if group.len() == before {
                    // Not a list of names: skip one character.
                    let mut characters = group.chars();
                    characters.next();
                    group = characters.as_str();
                }
            }
        }
        if !next.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            break;
        }
        rest = next;
    }
    found.push(path);
    rest
}

/// The module that a path in `module` leads to, if it belongs to this crate.
fn resolve(module: &str, path: &[String], modules: &BTreeSet<&str>) -> Option<String> {
    let mut base = module.to_owned();
    let mut names = path.iter().map(String::as_str).peekable();
    match *names.peek()? {
        // Alone, they are part of a visibility: `pub(crate)`.
        "crate" | "super" if path.len() == 1 => return None,
        "crate" => {
            names.next();
            base = "crate".to_owned();
        }
        "self" if path.len() > 1 => {
            names.next();
        }
        "super" => {
            while names.next_if(|name| *name == "super").is_some() {
                base = base.rsplit_once("::")?.0.to_owned();
            }
        }
        // A child module.
        child if path.len() > 1 && modules.contains(format!("{base}::{child}").as_str()) => {}
        _ => return None,
    }
    for name in names {
        let longer = format!("{base}::{name}");
        if !modules.contains(longer.as_str()) {
            break;
        }
        base = longer;
    }
    Some(base)
}

/// A cycle of a graph, if it has one.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    graph
        .keys()
        .find_map(|start| visit(graph, start, &mut Vec::new(), &mut done))
}

fn visit<'a>(
    graph: &'a Graph,
    node: &'a str,
    trail: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<String>> {
    if let Some(begin) = trail.iter().position(|earlier| *earlier == node) {
        let cycle = trail[begin..].iter().chain([&node]);
        return Some(cycle.map(|name| (*name).to_owned()).collect());
    }
    if !done.contains(node) {
        trail.push(node);
        for next in graph.get(node).into_iter().flatten() {
            if let Some(found) = visit(graph, next, trail, done) {
                return Some(found);
            }
        }
        trail.pop();
        done.insert(node);
    }
    None
}

/// The dependencies between the top-level modules. The root module is left out: it uses all of them.
fn groups(graph: &Graph) -> Graph {
    let group = |module: &str| module.split("::").nth(1).map(str::to_owned);
    let mut groups = Graph::new();
    for (module, targets) in graph {
        let Some(from) = group(module) else { continue };
        let targets = targets.iter().filter_map(|target| group(target));
        let targets: Vec<_> = targets.filter(|target| *target != from).collect();
        groups.entry(from).or_default().extend(targets);
    }
    groups
}

/// A graph as Mermaid (<https://mermaid.js.org/syntax/flowchart.html>).
fn mermaid(graph: &Graph) -> String {
    let mut text = "```mermaid\nflowchart TD\n".to_owned();
    for (from, targets) in graph {
        if targets.is_empty() {
            text += &format!("    {from}\n");
        }
        for to in targets {
            text += &format!("    {from} --> {to}\n");
        }
    }
    text + "```\n"
}

/// The graphs for the documentation, by name.
fn graphs() -> BTreeMap<String, String> {
    let modules = crates().into_iter().map(|(name, folder)| {
        let graph = groups(&module_graph(&folder));
        (name, mermaid(&graph))
    });
    let mut graphs: BTreeMap<_, _> = modules.collect();
    graphs.insert("crates".to_owned(), mermaid(&crate_graph()));
    graphs
}

#[test]
fn the_tools_depend_on_devkit_and_not_on_each_other() {
    let graph = crate_graph();
    let devkit = BTreeSet::from(["devkit".to_owned()]);
    assert_eq!(graph["pipeline"], devkit);
    assert_eq!(graph["lab"], devkit);
    assert!(graph["devkit"].is_empty(), "{:?}", graph["devkit"]);
    assert!(graph["waybill"].is_empty(), "{:?}", graph["waybill"]);
    assert!(graph["testkit"].is_empty(), "{:?}", graph["testkit"]);
}

#[test]
fn no_modules_form_a_cycle() {
    let mut cycles = Vec::new();
    for (name, folder) in crates() {
        let graph = module_graph(&folder);
        for (kind, graph) in [("top-level modules", &groups(&graph)), ("modules", &graph)] {
            let cycle = cycle(graph).into_iter();
            cycles.extend(cycle.map(|cycle| format!("{kind} of {name}: {}", cycle.join(" → "))));
        }
    }
    assert_eq!(cycles, [""; 0]);
}

#[test]
fn dependencies_of_modules_are_found() {
    let graph = module_graph(&root().join("crates/pipeline/src"));
    let has = |from: &str, to: &str| graph[from].contains(to);
    assert!(has("crate", "crate::checks::lint"));
    assert!(has("crate::checks::lint", "crate::checks::policy"));
    assert!(has(
        "crate::checks::coverage",
        "crate::checks::coverage::report"
    ));
    assert!(has("crate::report::comment", "crate::workflow"));
    assert!(!has("crate::workflow", "crate::report::comment"));
}

/// A graph follows the comment `<!-- graph: NAME -->`; that of the crates is required.
#[test]
fn the_documentation_has_the_current_graphs() {
    let graphs = graphs();
    for (name, graph) in &graphs {
        println!("<!-- graph: {name} -->\n{graph}");
    }
    let Ok(text) = fs::read_to_string(root().join("docs/architecture.md")) else {
        return;
    };
    assert!(text.contains("<!-- graph: crates -->"), "{text}");
    for part in text.split("<!-- graph: ").skip(1) {
        let (name, shown) = part.split_once(" -->\n").unwrap();
        let graph = graphs.get(name).map(String::as_str).unwrap_or_default();
        assert!(
            !graph.is_empty(),
            "docs/architecture.md: there is no graph {name}"
        );
        // In any order: the name of the service decides its place among the crates.
        let edges = |text: &str| {
            let lines = text.lines().skip(1).take_while(|line| *line != "```");
            lines.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        assert_eq!(
            edges(shown.trim_start()),
            edges(graph),
            "docs/architecture.md: the graph {name} has changed. It is now:\n{graph}"
        );
    }
}

#[test]
fn paths_are_found_in_code_only() {
    let source = r##"
        //! crate::comment
        use crate::{a, b::{self, C}};
        pub(crate) use super::d::E as F;
        fn f() { g("crate::text", r#"crate::raw ""#, '"', crate::h::i(x.crate_)) }
    "##;
    let found: BTreeSet<String> = paths(&code(source))
        .iter()
        .filter(|path| matches!(path[0].as_str(), "crate" | "super") && path.len() > 1)
        .map(|path| path.join("::"))
        .collect();
    let expected = [
        "crate::a",
        "crate::b::C",
        "crate::b::self",
        "crate::h::i",
        "super::d::E",
    ];
    assert_eq!(found, expected.map(String::from).into());
}

#[test]
fn a_cycle_is_found() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph
                .entry((*from).into())
                .or_default()
                .insert((*to).into());
        }
        graph
    };
    assert_eq!(cycle(&graph(&[("a", "b"), ("a", "c"), ("b", "c")])), None);
    let found = cycle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")]));
    assert_eq!(found.unwrap(), ["b", "c", "b"]);
}

/// A program that contains the path of its checkout must be built again in every other checkout.
#[test]
fn no_program_contains_the_path_of_the_checkout() {
    let mut files = Vec::new();
    for folder in ["crates", "src", "tests"] {
        files.extend(sources(&root().join(folder)));
    }
    assert!(files.len() > 100, "{} sources", files.len());
    for (file, text) in files {
        let macro_call = concat!("env!(\"CARGO_MANIFEST", "_DIR\")");
        assert!(!text.contains(macro_call), "{}", file.display());
    }
}

/// Cargo remembers the absolute path of a file outside of the package, and builds the program again in every other
/// checkout.
#[test]
fn no_source_includes_a_file_of_another_package() {
    let mut includes = 0;
    for package in metadata().packages {
        let folder = PathBuf::from(package.manifest_path.parent().unwrap());
        for part in ["src", "tests"].map(|part| folder.join(part)) {
            for (file, text) in if part.is_dir() {
                sources(&part)
            } else {
                vec![]
            } {
                for start in ["include_str!(\"", "include_bytes!(\"", "#[path = \""] {
                    for found in text.split(start).skip(1) {
                        let path = file
                            .parent()
                            .unwrap()
                            .join(found.split('"').next().unwrap());
                        // A name that a macro completes, or text about such a line.
                        let Ok(path) = fs::canonicalize(path) else {
                            continue;
                        };
                        includes += 1;
                        let is_inside = path.starts_with(&folder);
                        assert!(is_inside, "{}: {}", file.display(), path.display());
                    }
                }
            }
        }
    }
    assert!(includes > 10, "{includes} files");
}

/// `cargo pipeline plan` runs a package's tests when a file changes that they read. It knows these from the package.
#[test]
fn every_file_that_tests_read_is_declared() {
    let mut paths = 0;
    for package in metadata().packages {
        let folder = package.manifest_path.parent().unwrap().join("tests");
        let reads = &package.metadata["delivery"]["reads"];
        let reads = reads.as_array().into_iter().flatten();
        let reads: Vec<&str> = reads.map(|path| path.as_str().unwrap()).collect();
        let is_declared = |path: &str| {
            let folder = format!("{path}/");
            // No package claims these, so their change runs all tests.
            let runs_all =
                path.starts_with(".github/") || ["Dockerfile", "quality.toml"].contains(&path);
            runs_all
                || path.starts_with("crates/")
                || reads.iter().any(|known| {
                    path.starts_with(known) || folder.starts_with(known) || path == *known
                })
        };
        for (file, text) in sources(folder.as_std_path()) {
            // The tests of the documentation always run.
            if file.ends_with("tests/docs.rs") {
                continue;
            }
            for rest in text.split("root().join(\"").skip(1) {
                let path = rest.split('"').next().unwrap();
                assert!(is_declared(path), "{}: {path}", file.display());
                paths += 1;
            }
        }
    }
    assert!(paths > 5, "{paths} paths");
}

/// The Rust files below a folder, with their texts.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}
