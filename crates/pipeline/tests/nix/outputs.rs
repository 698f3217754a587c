//! The outputs of the flake: their names, their types, and that they evaluate with strict stubs for nixpkgs.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::flake::{Flake, keys, read};
use serde_json::Value;
use std::collections::BTreeSet;

/// The outputs that have a row in the table of docs/nix.md; `a.{b,c}` are two.
fn documented() -> BTreeSet<String> {
    let text = read("docs/nix.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split('`').next());
    cells
        .flat_map(|cell| match cell.split_once(".{") {
            None => vec![cell.to_owned()],
            Some((output, names)) => {
                let names = names.trim_end_matches('}').split(',');
                names.map(|name| format!("{output}.{name}")).collect()
            }
        })
        .collect()
}

/// The output of `nix flake show` for all systems.
fn shown(flake: &Flake) -> Value {
    // Newer versions of Nix show only the system of this machine without the option. Older ones do not know it.
    let show = &["flake", "show", "--json"];
    let shown = match flake.with_stubs(show, "", &["--all-systems"]) {
        Err(error) if error.contains("--all-systems") => flake.with_stubs(show, "", &[]),
        other => other,
    };
    serde_json::from_str(&shown.expect("the flake can be shown")).expect("Nix prints JSON")
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_outputs_have_their_names_and_types() {
    let flake = Flake::copy();
    let shown = shown(&flake);
    assert_eq!(
        keys(&shown),
        BTreeSet::from([
            "apps",
            "checks",
            "devShells",
            "formatter",
            "nixosConfigurations",
            "nixosModules",
            "packages",
        ])
    );

    for system in ["x86_64-linux", "aarch64-linux"] {
        let of = |output: &str| &shown[output][system];
        assert_eq!(
            keys(of("packages")),
            BTreeSet::from(["default", "image", "static"])
        );
        assert_eq!(
            keys(of("apps")),
            BTreeSet::from(["default", "vm", "vm-offline"])
        );
        assert_eq!(
            keys(of("checks")),
            BTreeSet::from([
                "chart",
                "clippy",
                "cluster",
                "docs",
                "format",
                "nix",
                "service-postgresql",
                "service-sqlite",
                "tests",
                "vm",
                "vm-offline",
                "workflows",
            ])
        );
        for (output, kind) in [
            ("packages", "derivation"),
            ("checks", "derivation"),
            ("apps", "app"),
        ] {
            for (name, entry) in of(output).as_object().expect("an object") {
                assert_eq!(entry["type"], kind, "{output}.{system}.{name}");
            }
        }
    }
    for system in ["x86_64-linux", "aarch64-linux", "aarch64-darwin"] {
        for output in [
            &shown["packages"][system]["default"],
            &shown["devShells"][system]["default"],
            &shown["formatter"][system],
        ] {
            assert_eq!(output["type"], "derivation", "{system}");
        }
    }
    for name in ["vm", "vm-offline", "vm-aarch64", "vm-offline-aarch64"] {
        let kind = &shown["nixosConfigurations"][name]["type"];
        assert_eq!(kind, "nixos-configuration", "{name}");
    }
    assert_eq!(shown["nixosModules"]["default"]["type"], "nixos-module");

    // `checks.argocd` exists only after its images are listed.
    let mut outputs = BTreeSet::from(["formatter", "checks.argocd"].map(str::to_owned));
    outputs.extend(["nixosModules.default", "nixosConfigurations.*"].map(str::to_owned));
    for output in ["packages", "apps", "checks", "devShells"] {
        for name in keys(&shown[output]["x86_64-linux"]) {
            outputs.insert(format!("{output}.{name}"));
        }
    }
    assert_eq!(documented(), outputs, "docs/nix.md has a row for each");
}

/// Mistakes, as a file, a text in it, its replacement, and the error: in names of packages, arguments, options, keys of an
/// image, directives of systemd and paths, and in types.
const MISTAKES: &[[&str; 4]] = &[
    [
        "nix/shell.nix",
        " kubeconform ",
        " kubeconfrom ",
        "kubeconfrom",
    ],
    ["nix/shell.nix", "doCheck =", "doChek =", "doChek"],
    [
        "nix/image.nix",
        "extraCommands =",
        "extraCommand =",
        "extraCommand",
    ],
    ["nix/image.nix", "User =", "Usr =", "Usr"],
    [
        "nix/toolchain.nix",
        "\"llvm-tools\"",
        "\"llvm-tool\"",
        "unknown component `llvm-tool'",
    ],
    [
        "nix/toolchain.nix",
        ".overrideToolchain package",
        "",
        "has no standard library",
    ],
    [
        "nix/rust.nix",
        "toolchain.static //",
        "{inherit (toolchain.static) CARGO_BUILD_TARGET;} //",
        "without TARGET_CC",
    ],
    [
        "nix/apps.nix",
        "name = \"waybill-${name}\";",
        "name = \"waybill-${name}\"; runtimeInputs = [(lib.getDev pkgs.curl)];",
        "has the headers of curl, and not its programs",
    ],
    [
        "nix/rust.nix",
        "cargoClippyExtraArgs =",
        "clippyArgs =",
        "clippyArgs",
    ],
    [
        "nix/rust.nix",
        "lib.licenses.mit",
        "lib.licenses.mitt",
        "mitt",
    ],
    [
        "nix/source.nix",
        "\"charts\"",
        "\"chart\"",
        "/chart does not exist",
    ],
    [
        "nix/module.nix",
        "ProtectClock",
        "ProtectClok",
        "ProtectClok' does not exist",
    ],
    [
        "nix/module.nix",
        "ensureDBOwnership",
        "ensureOwnership",
        "ensureOwnership' does not exist",
    ],
    [
        "nixos-vm/argocd.nix",
        "extraFieldDefinitions",
        "extraFields",
        "extraFields' does not exist",
    ],
    [
        "nixos-vm/k3s.nix",
        "enable = true;",
        "enable = true; role = \"servant\";",
        "services.k3s.role' is not of type",
    ],
    [
        "nixos-vm/machine.nix",
        "memorySize = 4096",
        "memorySize = \"4096\"",
        "virtualisation.memorySize' is not of type",
    ],
    [
        "nixos-vm/machine.nix",
        "virtualisation/qemu-vm.nix",
        "virtualisation/qemu.nix",
        "qemu.nix",
    ],
    [
        "nixos-vm/offline.nix",
        "mod_cgi",
        "mod_cgj",
        "services.lighttpd.enableModules.[1]' is not of type",
    ],
    [
        "nixos-vm/tests/service.nix",
        "createLocally",
        "createLocaly",
        "createLocaly' does not exist",
    ],
    [
        "nixos-vm/tests/cluster.nix",
        "diskSize",
        "diskSpace",
        "diskSpace' does not exist",
    ],
];

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn every_output_evaluates_and_mistakes_are_noticed() {
    let flake = Flake::copy();
    flake.check().unwrap_or_else(|error| panic!("{error}"));

    for [file, from, to, error] in MISTAKES {
        let original = std::fs::read_to_string(flake.path().join(file)).expect("the file is there");
        flake.change(file, from, to);
        let refusal = flake.check().expect_err(&format!("{to} in {file}"));
        assert!(refusal.contains(error), "{to} in {file}: {refusal}");
        std::fs::write(flake.path().join(file), original).expect("the copy can be written");
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_test_of_argo_cd_evaluates_after_its_images_are_listed() {
    let flake = Flake::copy();
    let image = "[{imageName = \"quay.io/argoproj/argocd\"; imageDigest = \"sha256:0\"; hash = \"sha256-0\";}]";
    flake.change("nixos-vm/images.nix", "[]", image);
    let checks = flake.with_stubs(
        &["eval", "--json"],
        "#checks.x86_64-linux",
        &["--apply", "checks: checks.argocd.name"],
    );
    assert_eq!(
        checks.as_deref().map(str::trim),
        Ok("\"vm-test-run-waybill-argocd\"")
    );
}
