//! The image of the flake agrees with the Dockerfile and the chart.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::flake::{Flake, keys, read};
use serde_json::Value;
use std::collections::BTreeSet;

/// The instructions of the Dockerfile's last stage.
fn dockerfile() -> Vec<(String, String)> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let instructions: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(word, _)| word.chars().all(|letter| letter.is_ascii_uppercase()))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect();
    let last = instructions.iter().rposition(|(word, _)| word == "FROM");
    instructions[last.expect("the Dockerfile has a stage")..].to_vec()
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn both_images_have_the_same_configuration() {
    let image = Flake::copy().eval("packages.x86_64-linux.image.arguments");
    let stage = dockerfile();
    let all = |word: &str| -> Vec<&str> {
        let matching = stage.iter().filter(|(found, _)| found == word);
        matching.map(|(_, rest)| rest.as_str()).collect()
    };
    let config = &image["config"];

    assert_eq!(all("FROM"), ["scratch"]);
    assert_eq!(
        image["includeStorePaths"], false,
        "nothing but the files themselves"
    );
    assert_eq!(all("USER"), [&config["User"]]);
    let entrypoint: Value = serde_json::from_str(all("ENTRYPOINT")[0]).expect("the exec form");
    assert_eq!(entrypoint, config["Entrypoint"]);
    let ports: BTreeSet<String> = all("EXPOSE")
        .iter()
        .map(|port| format!("{port}/tcp"))
        .collect();
    assert_eq!(
        ports,
        keys(&config["ExposedPorts"])
            .into_iter()
            .map(str::to_owned)
            .collect()
    );

    // Neither image sets an environment, a command or a folder. (buildah and docker add a PATH.)
    for (instruction, key) in [
        ("ENV", "Env"),
        ("CMD", "Cmd"),
        ("WORKDIR", "WorkingDir"),
        ("VOLUME", "Volumes"),
    ] {
        assert!(all(instruction).is_empty(), "{instruction}");
        assert!(config.get(key).is_none(), "{key}");
    }

    // The Dockerfile has the constant labels. `cargo pipeline image` adds those of the commit.
    let constant = all("LABEL").join(" ");
    let constant = constant
        .split("\" ")
        .filter_map(|pair| pair.trim().split_once('='));
    let mut labels = BTreeSet::from(
        ["title", "version", "revision", "created", "source"]
            .map(|name| format!("org.opencontainers.image.{name}")),
    );
    for (name, value) in constant {
        assert_eq!(config["Labels"][name], value.trim_matches('"'), "{name}");
        labels.insert(name.to_owned());
    }
    assert_eq!(
        keys(&config["Labels"])
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        labels
    );
    assert_eq!(
        config["Labels"]["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );

    // Both have the same files: the Dockerfile installs them below /image, Nix below the root of the image.
    let installed = |text: &str, prefix: &str| -> BTreeSet<String> {
        let commands = text.split("install -D").skip(1);
        let targets =
            commands.filter_map(|command| command.lines().next()?.split_whitespace().last());
        targets
            .map(|target| target.trim_start_matches(prefix).to_owned())
            .collect()
    };
    let script = image["extraCommands"].as_str().expect("a script");
    assert_eq!(
        installed(&read("Dockerfile").replace("\\\n", "\n"), "/image/"),
        installed(script, "")
    );
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_flakes_image_has_the_name_that_the_chart_pulls() {
    // Otherwise a cluster that has the image would pull another one from the network.
    let name = Flake::copy().eval("packages.x86_64-linux.image.imageName");
    let values: Value = serde_saphyr::from_str(&read("charts/waybill/values.yaml")).expect("YAML");
    assert_eq!(name, values["image"]["repository"]);
}
