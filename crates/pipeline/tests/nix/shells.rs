//! The shells of `nix develop`: their programs, their compiler and their Rust.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::flake::{Flake, keys, read};
use devkit::tools::{Source, Step, TOOLS, Tool, needed};
use serde_json::Value;
use std::collections::BTreeSet;

const SHELLS: [&str; 2] = ["default", "lab"];

fn shell(name: &str) -> String {
    format!("devShells.x86_64-linux.{name}")
}

/// The programs of these tools.
fn programs(tools: &[&'static Tool]) -> BTreeSet<&'static str> {
    tools.iter().flat_map(|tool| tool.programs()).collect()
}

/// The tools that any step but those of the lab needs.
fn of_pipeline() -> Vec<&'static Tool> {
    needed(&[
        Step::Lint,
        Step::Test,
        Step::Coverage,
        Step::Quality,
        Step::Security,
        Step::Nix,
        Step::Image,
        Step::Scan,
        Step::Publish,
        Step::Deploy,
    ])
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_shells_have_every_program_that_pipeline_and_lab_look_for() {
    let flake = Flake::copy();
    // A C compiler and Nix come with every shell.
    let everywhere = BTreeSet::from(["cc", "nix"]);
    // `devkit` looks for llvm-tools in the toolchain.
    let of_toolchain = BTreeSet::from(["cargo-clippy", "cargo-fmt", "llvm-tools"]);
    let all: Vec<&Tool> = TOOLS.iter().collect();
    for (name, tools) in [("default", of_pipeline()), ("lab", all)] {
        let there = flake.eval(&format!("{}.programs", shell(name)));
        let elsewhere = flake.eval(&format!("{}.elsewhere", shell(name)));
        let there: BTreeSet<&str> =
            &(&(&keys(&there) | &keys(&elsewhere)) | &everywhere) | &of_toolchain;
        let wanted = programs(&tools);
        let missing: Vec<_> = wanted.difference(&there).collect();
        assert!(missing.is_empty(), "the shell `{name}` lacks {missing:?}");
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn tools_with_files_have_the_layout_that_the_lab_looks_for() {
    let flake = Flake::copy();
    let elsewhere = flake.eval(&format!("{}.elsewhere", shell("lab")));
    let mut with_files = 0;
    for tool in TOOLS {
        let Source::Go(build) = &tool.source else {
            continue;
        };
        if build.files.is_empty() {
            continue;
        }
        let (program, _) = build.programs[0];
        if elsewhere.get(program).is_some() {
            continue;
        }
        let farm = format!("{}.programs.{program}.arguments.entries", shell("lab"));
        assert_eq!(
            keys(&flake.eval(&farm)),
            BTreeSet::from(["bin", "share"]),
            "{program}"
        );
        with_files += 1;
    }
    assert!(with_files >= 3, "Kubernetes, Argo CD and Gitea");
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn only_the_lab_compiles_its_tools() {
    let flake = Flake::copy();
    let lab = programs(&TOOLS.iter().collect::<Vec<_>>());
    let pipeline = programs(&of_pipeline());
    let there = flake.eval(&format!("{}.programs", shell("default")));
    let there = keys(&there);
    let only_lab: Vec<_> = lab
        .difference(&pipeline)
        // Perl configures OpenSSL; curl and kubectl are for interactive use.
        .filter(|program| !["perl", "curl", "kubectl"].contains(program))
        .filter(|program| there.contains(**program))
        .collect();
    assert!(only_lab.is_empty(), "the default shell has {only_lab:?}");

    // The binary cache of nixpkgs does not have programs whose attributes are changed.
    let changed = |shell: &str| {
        let select = "programs: builtins.filter (name: programs.${name}.isChanged or false) (builtins.attrNames programs)";
        let attribute = format!("#devShells.x86_64-linux.{shell}.programs");
        let changed = flake.with_stubs(&["eval", "--json"], &attribute, &["--apply", select]);
        let names: Vec<String> = serde_json::from_str(&changed.expect("names")).expect("JSON");
        names
    };
    assert_eq!(changed("default"), [""; 0]);
    assert_eq!(changed("lab"), ["coredns", "helm"]);
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_compiler_of_a_shell_sees_no_headers_of_the_programs() {
    let flake = Flake::copy();
    for name in SHELLS {
        let headers = flake.eval(&format!("{}.headers", shell(name)));
        assert_eq!(headers, serde_json::json!([]), "{name}");
    }

    flake.change("nix/shell.nix", "strictDeps = true;", "");
    let headers = flake.eval(&format!("{}.headers", shell("default")));
    let headers = headers.as_array().expect("a list");
    assert!(headers.contains(&Value::from("curl")), "{headers:?}");
}

/// The programs that several packages of a shell have.
fn duplicates(flake: &Flake, shell: &str) -> Vec<String> {
    let packages = flake.eval(&format!(
        "devShells.x86_64-linux.{shell}.programsOfPackages"
    ));
    let packages: Vec<Package> = serde_json::from_value(packages).expect("packages");
    assert!(packages.len() > 20, "{packages:?}");
    let mut seen = BTreeSet::new();
    let all = packages.into_iter().flat_map(|package| package.programs);
    all.filter(|program| !seen.insert(program.clone()))
        .collect()
}

#[derive(Debug, serde::Deserialize)]
struct Package {
    programs: Vec<String>,
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn no_two_packages_of_a_shell_have_the_same_program() {
    let flake = Flake::copy();
    for name in SHELLS {
        assert_eq!(duplicates(&flake, name), [""; 0], "{name}");
    }

    flake.change(
        "nix/shell.nix",
        "only \"ip\" pkgs.iproute2",
        "pkgs.iproute2",
    );
    assert_eq!(duplicates(&flake, "lab"), ["bridge"]);
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn every_rust_is_that_of_rust_toolchain_toml() {
    let flake = Flake::copy();
    let file = read("rust-toolchain.toml");
    for system in ["x86_64-linux", "aarch64-linux", "aarch64-darwin"] {
        let mut users = vec![
            format!("devShells.{system}.default.toolchain"),
            format!("packages.{system}.default.arguments.toolchain"),
        ];
        let linux = system.ends_with("-linux");
        if linux {
            users.push(format!("devShells.{system}.lab.toolchain"));
            users.push(format!("packages.{system}.static.arguments.toolchain"));
            users.push(format!("checks.{system}.clippy.arguments.toolchain"));
        }
        for user in users {
            let of = |attribute: &str| flake.eval(&format!("{user}.{attribute}"));
            let channel = of("channel");
            let channel = channel.as_str().expect("a version");
            assert!(file.contains(&format!("channel = \"{channel}\"")), "{user}");
            let components = of("components");
            for component in ["clippy", "rustfmt", "llvm-tools"] {
                let found = components.as_array().expect("a list");
                assert!(
                    found.contains(&Value::from(component)),
                    "{user}: {components}"
                );
            }
            if linux {
                let architecture = system.trim_end_matches("-linux");
                let musl = format!("{architecture}-unknown-linux-musl");
                let targets = of("targets");
                let found = targets.as_array().expect("a list");
                assert!(found.contains(&Value::from(musl)), "{user}: {targets}");
            }
        }
    }
}
