//! The builds of the Rust code.

use crate::flake::{Flake, read};
use serde_json::{Value, json};

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn dependencies_are_compiled_once_for_each_target() {
    let flake = Flake::copy();
    let dependencies = |output: &str| flake.eval(&format!("{output}.arguments.cargoArtifacts"));
    let of_service = dependencies("packages.x86_64-linux.default");
    for check in ["clippy", "docs", "tests"] {
        let of_check = dependencies(&format!("checks.x86_64-linux.{check}"));
        assert_eq!(of_check, of_service, "{check}");
    }

    // crane checks, builds and tests dependencies, which compiles them once for each. The static binary is only built.
    let of_static = |argument: &str| {
        let output = "packages.x86_64-linux.static.arguments.cargoArtifacts.arguments";
        flake.eval(&format!("{output}.{argument}"))
    };
    assert_eq!(of_static("doCheck"), false);
    assert_eq!(of_static("cargoCheckCommand"), "true");
}

/// The paths that a command line for rustc replaces, without the replaced ones.
fn replacements(flags: &str) -> Vec<&str> {
    let remaps = flags.split("--remap-path-prefix=").skip(1);
    let words = remaps.filter_map(|rest| rest.split([' ', '"']).next());
    words
        .filter_map(|remap| Some(remap.split_once('=')?.1))
        .collect()
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn paths_in_the_binary_are_those_of_the_dockerfile() {
    let flake = Flake::copy();
    let dockerfile = read("Dockerfile");
    assert_eq!(replacements(&dockerfile), [".", "cargo"]);
    for package in ["default", "static"] {
        let arguments = format!("packages.x86_64-linux.{package}.arguments");
        let flags = flake.eval(&format!("{arguments}.CARGO_BUILD_RUSTFLAGS"));
        let flags = flags.as_str().expect("flags");
        assert_eq!(replacements(flags), replacements(&dockerfile), "{package}");
        let crates = flake.eval(&format!("{arguments}.cargoVendorDir"));
        let crates = format!("={}=cargo", crates.as_str().expect("a folder"));
        assert!(flags.contains(&crates), "{crates} is not in {flags}");

        // Cargo compiles dependencies again when the flags differ.
        let of_dependencies = flake.eval(&format!(
            "{arguments}.cargoArtifacts.arguments.CARGO_BUILD_RUSTFLAGS"
        ));
        assert_eq!(of_dependencies, json!(flags), "{package}");
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn static_binaries_have_their_own_target_and_c_compiler() {
    let flake = Flake::copy();
    for architecture in ["x86_64", "aarch64"] {
        let target = format!("{architecture}-unknown-linux-musl");
        let of = |argument: &str| -> Value {
            flake.eval(&format!(
                "packages.{architecture}-linux.static.arguments.{argument}"
            ))
        };
        assert_eq!(of("CARGO_BUILD_TARGET"), json!(target));
        let compiler = of("TARGET_CC");
        let compiler = compiler.as_str().expect("a path");
        assert!(
            compiler.ends_with(&format!("/bin/{target}-cc")),
            "{compiler}"
        );
    }
}
