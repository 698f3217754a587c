//! Argo CD in the virtual machines: its chart, the root Application, and the repository of the offline VM.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test's helpers report"
)]

use crate::flake::{Flake, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const VMS: [&str; 2] = ["vm", "vm-offline"];

fn k3s(flake: &Flake, vm: &str, option: &str) -> Value {
    flake.eval(&format!(
        "nixosConfigurations.{vm}.config.services.k3s.{option}"
    ))
}

/// Runs a script of Nix as its builder does, but with the store of the flake.
fn run_script(flake: &Flake, script: &str, arguments: &[(&str, &Path)]) -> Result<String, String> {
    let store = flake.in_store("/nix/store").display().to_string();
    let mut bash = Command::new("bash");
    bash.args([
        "-eu",
        "-o",
        "pipefail",
        "-c",
        &script.replace("/nix/store", &store),
    ]);
    testkit::isolate_git(&mut bash);
    run(bash.envs(arguments.iter().copied()))
}

/// The root Application and its project.
pub fn root_objects(flake: &Flake, vm: &str) -> Vec<Value> {
    let script = k3s(flake, vm, "manifests.waybill-root.source.arguments.script");
    let out = flake.dir.path().join(format!("{vm}.yaml"));
    run_script(flake, script.as_str().expect("a script"), &[("out", &out)])
        .unwrap_or_else(|error| panic!("{error}"));
    let text = std::fs::read_to_string(out).expect("it writes $out");
    serde_saphyr::from_multiple(&text).expect("YAML")
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_root_application_comes_from_the_chart() {
    let flake = Flake::copy();
    for (vm, url) in [
        ("vm", "https://github.com/waybill/waybill.git"),
        ("vm-offline", "http://10.42.0.1:3000/git/waybill.git"),
    ] {
        let objects = root_objects(&flake, vm);
        let kinds: Vec<_> = objects.iter().map(|object| &object["kind"]).collect();
        assert_eq!(kinds, ["AppProject", "Application"], "{vm}");
        for object in &objects {
            assert_eq!(object["metadata"]["name"], "waybill", "{vm}");
            assert_eq!(object["metadata"]["namespace"], "argocd", "{vm}");
        }
        assert_eq!(objects[0]["spec"]["sourceRepos"], json!([url]), "{vm}");
        assert_eq!(objects[1]["spec"]["source"]["repoURL"], url, "{vm}");
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn a_new_version_of_a_chart_is_installed_on_an_old_disk() {
    let flake = Flake::copy();
    for vm in VMS {
        let charts = k3s(&flake, vm, "autoDeployCharts");
        let served = k3s(&flake, vm, "charts");
        for (name, chart) in charts.as_object().expect("charts") {
            // K3s compares the URL and not the file. nixpkgs names the file by the chart only.
            let url = chart["extraFieldDefinitions"]["spec"]["chart"]
                .as_str()
                .unwrap_or_else(|| panic!("{vm}: the URL of {name} stays the same"));
            let file = url
                .strip_prefix("https://%{KUBERNETES_API}%/static/charts/")
                .and_then(|file| file.strip_suffix(".tgz"))
                .expect("a file that K3s serves");
            let version = chart["version"].as_str().expect("a version");
            assert!(file.contains(version), "{vm}: {url}");
            assert_eq!(served[file], chart["package"], "{vm}");
        }
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn links_of_an_older_system_are_removed_at_boot() {
    // K3s stops at a link whose file is gone, and applies no manifest.
    let flake = Flake::copy();
    for vm in VMS {
        let rules = flake.eval(&format!(
            "nixosConfigurations.{vm}.config.systemd.tmpfiles.rules"
        ));
        for folder in ["agent/images", "server/manifests", "server/static/charts"] {
            let rule = format!("R! /var/lib/rancher/k3s/{folder} - - - - -");
            let rules = rules.as_array().expect("a list");
            assert!(rules.contains(&json!(rule)), "{vm}: {rules:?}");
        }
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn charts_have_time_to_pull_their_images() {
    let flake = Flake::copy();
    for vm in VMS {
        let charts = k3s(&flake, vm, "autoDeployCharts");
        for (name, chart) in charts.as_object().expect("charts") {
            let timeout = chart["extraFieldDefinitions"]["spec"]["timeout"].as_str();
            let minutes =
                timeout.and_then(|timeout| timeout.strip_suffix('m')?.parse::<u32>().ok());
            assert!(minutes >= Some(15), "{vm}: {name} has {timeout:?}");
        }
    }
}

/// The repository of the offline VM, in a folder.
struct Repository {
    flake: Flake,
    folder: PathBuf,
}

impl Repository {
    fn new() -> Self {
        let flake = Flake::copy();
        let folder = flake.dir.path().join("git");
        std::fs::create_dir(&folder).expect("a folder");
        Self { flake, folder }
    }

    /// What happens at a boot of the VM of this flake.
    fn boot(&self) -> String {
        let script = self
            .flake
            .eval("nixosConfigurations.vm-offline.config.systemd.services.waybill-git.script");
        let script = script.as_str().expect("a script");
        let script = script.replace("/var/lib/waybill-git", &self.folder.display().to_string());
        // NixOS has no `pipefail`, and systemd shows the errors.
        run_script(
            &self.flake,
            &format!("exec 2>&1\n{script}"),
            &[("HOME", &self.folder)],
        )
        .unwrap_or_else(|error| panic!("{error}"))
    }

    fn git(&self, arguments: &[&str]) -> String {
        let bare = self.folder.join("waybill.git");
        run(testkit::git(&bare).args(arguments)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A file on a branch.
    fn show(&self, branch: &str, file: &str) -> String {
        self.git(&["show", &format!("{branch}:{file}")])
    }

    /// A user's push to a branch that replaces a text in a file.
    fn push(&self, branch: &str, file: &str, from: &str, to: &str) {
        let text = self.show(branch, file);
        assert!(text.contains(from), "{from} in {file}");
        let clone = self.folder.join("clone");
        let script = format!(
            "git clone --quiet --branch {branch} waybill.git clone && cd clone
            cat > {file}
            git -c user.name=a -c user.email=a@b.invalid commit --quiet --all --message push
            git push --quiet"
        );
        let input = self.folder.join("input");
        std::fs::write(&input, text.replace(from, to)).expect("a file");
        let mut bash = Command::new("bash");
        bash.args(["-euc", &format!("{{ {script}\n }} < input")]);
        testkit::isolate_git(&mut bash);
        run(bash.current_dir(&self.folder)).unwrap_or_else(|error| panic!("{error}"));
        std::fs::remove_dir_all(clone).expect("the clone can be deleted");
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_offline_vms_repository_deploys_the_image_that_it_brings() {
    let repository = Repository::new();
    let tag = repository
        .flake
        .eval("packages.x86_64-linux.image.imageTag");
    repository.boot();
    for branch in ["main", "staging", "develop"] {
        let values = repository.show(branch, "charts/waybill/values-dev.yaml");
        let values: Value = serde_saphyr::from_str(&values).expect("YAML");
        assert_eq!(
            values["image"],
            json!({"tag": tag, "digest": ""}),
            "{branch}"
        );
    }
    assert!(
        repository
            .show("main", "argocd/Chart.yaml")
            .contains("argocd")
    );

    let branches = repository.git(&["for-each-ref"]);
    repository.boot();
    assert_eq!(
        repository.git(&["for-each-ref"]),
        branches,
        "nothing is new"
    );
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_offline_vms_repository_follows_the_checkout_and_keeps_pushes() {
    let repository = Repository::new();
    repository.boot();
    let values = "charts/waybill/values-dev.yaml";
    repository.push(
        "develop",
        values,
        "WAYBILL_LOG_LEVEL: ",
        "WAYBILL_LOG_LEVEL: trace # ",
    );
    repository.push("staging", "SECURITY.md", "# ", "# Pushed ");

    let flake = &repository.flake;
    flake.change("SECURITY.md", "# Security", "# Committed security");
    flake.change(
        "CONTRIBUTING.md",
        "# Contributing",
        "# Committed contributing",
    );
    let log = repository.boot();
    for branch in ["main", "develop"] {
        let text = repository.show(branch, "SECURITY.md");
        assert!(text.starts_with("# Committed"), "{branch}: {text}");
    }
    assert!(
        repository
            .show("develop", values)
            .contains("WAYBILL_LOG_LEVEL: trace")
    );
    let staging = repository.show("staging", "SECURITY.md");
    assert!(staging.starts_with("# Pushed"), "{staging}");
    assert!(log.contains("staging stays at "), "{log}");

    let branches = repository.git(&["for-each-ref"]);
    repository.boot();
    assert_eq!(
        repository.git(&["for-each-ref"]),
        branches,
        "nothing is new"
    );
}
