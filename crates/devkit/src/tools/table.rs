//! The table of tools. Go programs are built in this order: first those that `cargo lab up` needs, scanners last.

use super::go::{Build, Module};
use super::{Source, Step, Tool};

const fn debian(name: &'static str, package: &'static str, steps: &'static [Step]) -> Tool {
    let source = Source::Debian {
        package,
        alternative: None,
    };
    tool(name, source, steps)
}

const fn tool(name: &'static str, source: Source, steps: &'static [Step]) -> Tool {
    Tool {
        name,
        source,
        steps,
    }
}

/// The pins in `crates/devkit/tools/<name>`.
macro_rules! module {
    ($name:literal) => {
        Module {
            go_mod: include_str!(concat!("../../tools/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../../tools/", $name, "/go.sum")),
        }
    };
}

/// What the cluster needs, in one module: these programs share most of the packages they are compiled from.
static CLUSTER: Module = module!("cluster");
static GITEA: Module = module!("gitea");
// These two need an older version of a library, gobwas/glob, than Argo CD does.
static RUNNER: Module = module!("runner");
static COSIGN: Module = module!("cosign");
static ACTIONLINT: Module = module!("actionlint");
static KUBECONFORM: Module = module!("kubeconform");
static GITLEAKS: Module = module!("gitleaks");
static TRIVY: Module = module!("trivy");
// It needs an older version of Kubernetes' libraries than Argo CD does.
static ARGO_ROLLOUTS: Module = module!("argo-rollouts");

/// Tools that only look for problems and take long to install. The lab installs them for the scenarios that need them.
pub const SCANNERS: [&str; 5] = ["cargo-deny", "cargo-machete", "gitleaks", "jscpd", "trivy"];

/// All tools.
pub static TOOLS: &[Tool] = &[
    debian(
        "git",
        "git",
        &[
            Step::Lint,
            Step::Quality,
            Step::Test,
            Step::Coverage,
            Step::Security,
            Step::Deploy,
            Step::Lab,
        ],
    ),
    debian(
        "cc",
        "gcc",
        &[
            Step::Lint,
            Step::Quality,
            Step::Test,
            Step::Coverage,
            Step::Lab,
        ],
    ),
    debian(
        "make",
        "make",
        &[
            Step::Lint,
            Step::Quality,
            Step::Test,
            Step::Coverage,
            Step::Lab,
        ],
    ),
    debian(
        "shellcheck",
        "shellcheck",
        &[Step::Lint, Step::Nix, Step::Lab],
    ),
    debian(
        "initdb",
        "postgresql",
        &[Step::Test, Step::Coverage, Step::Lab],
    ),
    debian(
        "promtool",
        "prometheus",
        &[Step::Test, Step::Coverage, Step::Lab],
    ),
    debian("nix", "nix-bin", &[Step::Nix]),
    tool(
        "buildah",
        Source::Debian {
            package: "buildah",
            alternative: Some("docker"),
        },
        &[Step::Image],
    ),
    debian("buildah", "buildah", &[Step::Lab]),
    debian("skopeo", "skopeo", &[Step::Image, Step::Publish, Step::Lab]),
    debian("perl", "perl", &[Step::Lab]),
    debian("musl-gcc", "musl-tools", &[Step::Lab]),
    debian("etcd", "etcd-server", &[Step::Lab]),
    debian("containerd", "containerd", &[Step::Lab]),
    debian("runc", "runc", &[Step::Lab]),
    debian("bridge", "containernetworking-plugins", &[Step::Lab]),
    debian("tini", "tini", &[Step::Lab]),
    debian("debootstrap", "debootstrap", &[Step::Lab]),
    debian("nft", "nftables", &[Step::Lab]),
    debian("ip", "iproute2", &[Step::Lab]),
    debian("conntrack", "conntrack", &[Step::Lab]),
    debian("curl", "curl", &[Step::Lab]),
    tool("cargo-fmt", Source::Rustup("rustfmt"), &[Step::Lint]),
    tool(
        "cargo-clippy",
        Source::Rustup("clippy"),
        &[Step::Lint, Step::Quality],
    ),
    tool(
        "llvm-tools",
        Source::Rustup("llvm-tools"),
        &[Step::Coverage],
    ),
    tool("zizmor", Source::Python, &[Step::Lint]),
    tool("hadolint", Source::Python, &[Step::Lint]),
    tool("jscpd", Source::Npm, &[Step::Quality]),
    tool(
        "kubernetes",
        Source::Go(Build {
            programs: &[
                ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                (
                    "kube-controller-manager",
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                ),
                ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
                ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
                ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
                ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ],
            variables: &["k8s.io/component-base/version.gitVersion=VERSION"],
            files: &["build/pause/linux/pause.c"],
            minutes: 6.0,
            ..Build::new(&CLUSTER, "k8s.io/kubernetes")
        }),
        &[Step::Lab],
    ),
    tool(
        "argocd",
        Source::Go(Build {
            programs: &[("argocd", "github.com/argoproj/argo-cd/v3/cmd")],
            // Argo CD adds the `v` itself. Its API refuses a client whose version starts with two.
            variables: &["github.com/argoproj/argo-cd/v3/common.version=NUMBER"],
            files: &[
                "manifests/install.yaml",
                "entrypoint.sh",
                "hack/gpg-wrapper.sh",
                "hack/git-verify-wrapper.sh",
            ],
            minutes: 2.0,
            ..Build::new(&CLUSTER, "github.com/argoproj/argo-cd/v3")
        }),
        &[Step::Lab],
    ),
    tool(
        "helm",
        Source::Go(Build {
            programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
            variables: &["helm.sh/helm/v4/internal/version.version=VERSION"],
            minutes: 0.3,
            ..Build::new(&CLUSTER, "helm.sh/helm/v4")
        }),
        &[
            Step::Lint,
            Step::Test,
            Step::Coverage,
            Step::Security,
            Step::Publish,
            Step::Nix,
            Step::Lab,
        ],
    ),
    tool(
        "gitea",
        Source::Go(Build {
            programs: &[("gitea", "code.gitea.io/gitea")],
            cgo: true,
            tags: "sqlite,sqlite_unlock_notify",
            variables: &["main.Version=VERSION"],
            files: &["templates", "options", "public"],
            minutes: 2.8,
            ..Build::new(&GITEA, "code.gitea.io/gitea")
        }),
        &[Step::Lab],
    ),
    tool(
        "coredns",
        Source::Go(Build {
            programs: &[("coredns", "github.com/coredns/coredns")],
            minutes: 0.5,
            ..Build::new(&CLUSTER, "github.com/coredns/coredns")
        }),
        &[Step::Lab],
    ),
    tool(
        "runner",
        Source::Go(Build {
            programs: &[("gitea-runner", "gitea.com/gitea/runner")],
            minutes: 0.4,
            ..Build::new(&RUNNER, "gitea.com/gitea/runner")
        }),
        &[Step::Lab],
    ),
    tool(
        "cosign",
        Source::Go(Build {
            programs: &[("cosign", "github.com/sigstore/cosign/v3/cmd/cosign")],
            variables: &["sigs.k8s.io/release-utils/version.gitVersion=VERSION"],
            minutes: 1.5,
            ..Build::new(&COSIGN, "github.com/sigstore/cosign/v3")
        }),
        &[Step::Publish, Step::Deploy, Step::Lab],
    ),
    tool(
        "actionlint",
        Source::Go(Build {
            programs: &[("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")],
            minutes: 0.3,
            ..Build::new(&ACTIONLINT, "github.com/rhysd/actionlint")
        }),
        &[Step::Lint, Step::Lab],
    ),
    tool(
        "kubeconform",
        Source::Go(Build {
            programs: &[(
                "kubeconform",
                "github.com/yannh/kubeconform/cmd/kubeconform",
            )],
            minutes: 0.3,
            ..Build::new(&KUBECONFORM, "github.com/yannh/kubeconform")
        }),
        &[Step::Lint, Step::Lab],
    ),
    tool(
        "gitleaks",
        Source::Go(Build {
            programs: &[("gitleaks", "github.com/zricethezav/gitleaks/v8")],
            variables: &["github.com/zricethezav/gitleaks/v8/version.Version=VERSION"],
            minutes: 0.4,
            ..Build::new(&GITLEAKS, "github.com/zricethezav/gitleaks/v8")
        }),
        &[Step::Security],
    ),
    tool(
        "trivy",
        Source::Go(Build {
            programs: &[("trivy", "github.com/aquasecurity/trivy/cmd/trivy")],
            variables: &["github.com/aquasecurity/trivy/pkg/version/app.ver=VERSION"],
            // It uses an experimental package that Go 1.27 changed.
            environment: &[("GOEXPERIMENT", "jsonv2"), ("GOTOOLCHAIN", "go1.26.8")],
            minutes: 5.5,
            ..Build::new(&TRIVY, "github.com/aquasecurity/trivy")
        }),
        &[Step::Security, Step::Scan],
    ),
    // No step needs it: the lab installs it for the scenario `canary`.
    tool(
        "argo-rollouts",
        Source::Go(Build {
            programs: &[(
                "rollouts-controller",
                "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
            )],
            variables: &["github.com/argoproj/argo-rollouts/utils/version.version=VERSION"],
            files: &["manifests/install.yaml"],
            minutes: 3.0,
            ..Build::new(&ARGO_ROLLOUTS, "github.com/argoproj/argo-rollouts")
        }),
        &[],
    ),
    tool("cargo-llvm-cov", Source::Crate("0.9.1"), &[Step::Coverage]),
    // The Dockerfile installs the same version.
    tool("cargo-auditable", Source::Crate("0.7.7"), &[Step::Image]),
    tool("cargo-machete", Source::Crate("0.9.2"), &[Step::Quality]),
    tool("cargo-deny", Source::Crate("0.20.2"), &[Step::Security]),
];
