//! The files are formatted and locked, nothing in them is unused, and their scripts are clean.

use crate::flake::{Flake, files, read, root, run};
use serde_json::Value;
use std::process::Command;
use tempfile::TempDir;

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn every_file_parses_and_is_formatted() {
    let store = TempDir::with_prefix("waybill-nix").expect("a temporary folder");
    let mut wrong = Vec::new();
    for file in files(".nix") {
        let mut parse = Command::new("nix-instantiate");
        let parse = parse.arg("--store").arg(store.path()).arg("--parse");
        wrong.extend(run(parse.arg(&file).current_dir(root())).err());
        match alejandra::format::in_memory(file.clone(), read(&file)).0 {
            alejandra::format::Status::Changed(false) => {}
            alejandra::format::Status::Changed(true) => wrong.push(format!("{file}: `nix fmt`")),
            alejandra::format::Status::Error(error) => wrong.push(format!("{file}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn nothing_is_unused() {
    let rules = deadnix::Settings {
        no_lambda_arg: false,
        // In the stubs, they say which arguments a function takes.
        no_lambda_pattern_names: true,
        no_underscore: false,
        warn_used_underscore: true,
    };
    let mut unused = Vec::new();
    for file in files(".nix") {
        let syntax = rnix::Root::parse(&read(&file)).syntax();
        let found = rules.find_dead_code(&syntax);
        unused.extend(
            found
                .iter()
                .map(|dead| format!("{file}: {}", dead.binding.name)),
        );
    }
    assert!(unused.is_empty(), "unused: {}", unused.join(", "));
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_lock_is_what_nix_would_write() {
    let text = read("flake.lock");
    let lock: Value = serde_json::from_str(&text).expect("flake.lock is JSON");
    // Nix sorts the keys and indents by two spaces, as serde_json does, and ends the last line.
    assert_eq!(text, format!("{lock:#}\n"));

    let flake = Flake::copy();
    let path = format!("path:{}", flake.path().display());
    run(&mut flake.command(&["flake", "metadata", "--no-update-lock-file", &path]))
        .expect("flake.lock fits the inputs of flake.nix");

    flake.change("flake.nix", "nixos-26.05", "nixos-25.11");
    let refusal = run(&mut flake.command(&["flake", "metadata", "--no-update-lock-file", &path]))
        .expect_err("an input that isn't the locked one");
    assert!(refusal.contains("nixos-25.11"), "{refusal}");
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn scripts_inside_nix_are_clean() {
    let flake = Flake::copy();
    let mut scripts = Vec::new();
    let services = flake.eval("nixosConfigurations.vm-offline.config.systemd.services");
    for (name, service) in services.as_object().expect("services") {
        scripts.push((
            name.clone(),
            service["script"].as_str().expect("a script").to_owned(),
        ));
    }
    let packages = flake.with_stubs(
        &["eval", "--json"],
        "#nixosConfigurations.vm-offline.config.environment.systemPackages",
        &["--apply", "map (package: package.arguments.text or \"\")"],
    );
    let packages =
        serde_json::from_str::<Vec<String>>(&packages.expect("packages")).expect("texts");
    scripts.extend(
        packages
            .into_iter()
            .map(|text| ("a package".to_owned(), text)),
    );
    scripts.retain(|(_, script)| !script.is_empty());
    assert!(scripts.len() >= 3, "{scripts:?}");

    for (name, script) in scripts {
        let file = flake.path().join("script");
        // NixOS and writeShellApplication run them with `-e`.
        std::fs::write(&file, format!("set -e\n{script}")).expect("the script can be written");
        run(Command::new("shellcheck").arg("--shell=bash").arg(file))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
