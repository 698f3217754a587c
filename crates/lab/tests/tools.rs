//! `cargo lab tools` where the programs are on `PATH` already, as in `nix develop`. There is no Go
//! on this `PATH`, so whatever had to be built would be an error.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Every tool with its programs, and what they need at run time.
const TOOLS: [(&str, &[&str], &[&str]); 11] = [
    (
        "kubernetes",
        &[
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        ],
        &["build/pause/linux/pause.c"],
    ),
    (
        "argocd",
        &["argocd"],
        &[
            "manifests/install.yaml",
            "entrypoint.sh",
            "hack/gpg-wrapper.sh",
            "hack/git-verify-wrapper.sh",
        ],
    ),
    ("trivy", &["trivy"], &[]),
    (
        "gitea",
        &["gitea"],
        // Folders; something is in them.
        &["templates/x", "options/x", "public/x"],
    ),
    ("helm", &["helm"], &[]),
    ("cosign", &["cosign"], &[]),
    ("coredns", &["coredns"], &[]),
    ("gitleaks", &["gitleaks"], &[]),
    ("runner", &["gitea-runner"], &[]),
    ("kubeconform", &["kubeconform"], &[]),
    ("actionlint", &["actionlint"], &[]),
];

/// A folder for each tool, as nix/shell.nix makes them, and a home with nothing in it.
struct Shell {
    dir: TempDir,
}

impl Shell {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let shell = Self { dir };
        for (tool, programs, files) in TOOLS {
            for program in programs {
                write(&shell.bin(tool).join(program));
            }
            for file in files {
                write(&shell.share(tool).join(file));
            }
        }
        shell
    }

    fn bins(&self) -> Vec<PathBuf> {
        TOOLS.map(|(tool, ..)| self.bin(tool)).to_vec()
    }

    fn bin(&self, tool: &str) -> PathBuf {
        self.dir.path().join(tool).join("bin")
    }

    fn share(&self, tool: &str) -> PathBuf {
        self.dir.path().join(tool).join("share")
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Asks for all tools, with these folders on `PATH`.
    fn tools(&self, folders: &[PathBuf]) -> Output {
        let path = std::env::join_paths(folders).unwrap();
        Command::new(env!("CARGO_BIN_EXE_lab"))
            .arg("tools")
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home())
            .env("WAYBILL_LAB_STATE", "/nowhere")
            .output()
            .unwrap()
    }
}

fn write(file: &Path) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "").unwrap();
}

#[test]
fn what_is_on_path_is_taken_and_nothing_is_built() {
    let shell = Shell::new();
    // nixpkgs packages it apart from the rest of Kubernetes.
    let kubectl = shell.bin("kubectl");
    fs::create_dir_all(&kubectl).unwrap();
    let together = shell.bin("kubernetes").join("kubectl");
    fs::rename(together, kubectl.join("kubectl")).unwrap();
    let mut there = shell.bins();
    there.insert(1, kubectl);

    let output = shell.tools(&there);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let folders: Vec<PathBuf> = std::env::split_paths(printed.trim_end()).collect();
    assert_eq!(folders, there);
    assert!(!shell.home().exists(), "nothing was written");
}

#[test]
fn a_tool_that_is_not_whole_has_to_be_built() {
    for (tool, programs, files) in TOOLS {
        let parts = programs.iter().map(|program| format!("bin/{program}"));
        let parts = parts.chain(files.iter().map(|file| format!("share/{file}")));
        for part in parts {
            let shell = Shell::new();
            let part = shell.dir.path().join(tool).join(part);
            fs::remove_file(&part).unwrap();
            if part.ends_with("x") {
                fs::remove_dir(part.parent().unwrap()).unwrap();
            }
            let output = shell.tools(&shell.bins());
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "without {}", part.display());
            let complaint = format!("{tool} must be built and `go` is not on PATH");
            assert!(said.contains(&complaint), "{}: {said}", part.display());
        }
    }
}
