//! Installs Argo CD from its own manifest and sets up the checkout's Applications.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::process::{Run, command};
use devkit::tools;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::cluster::kubectl::{apply, kubectl, wait_rolled_out};
use crate::forge::Forge;
use crate::sandbox::credentials::Credentials;
use crate::sandbox::layout::Layout;
use crate::sandbox::network::FORGE;

/// Installs Argo CD and waits until all its components are ready.
///
/// # Errors
/// When the API server refuses a manifest, or a component does not become ready.
pub fn install(layout: &Layout) -> Result<()> {
    let credentials = Credentials::ensure(layout)?;
    let path = tools::shared_file(&Layout::inside().cache, "argocd", "manifests/install.yaml")?;
    let manifest =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;

    let authority: String = fs::read_to_string(layout.state("pki/web-ca.crt"))?;
    let settings = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}},
            settings("ConfigMap", "argocd-cmd-params-cm", "data", &json!({
                // No TLS: the host reaches the server through a port-forward on loopback.
                "server.insecure": "true",
            })),
            settings("ConfigMap", "argocd-tls-certs-cm", "data", &json!({FORGE: authority})),
            settings("Secret", "argocd-secret", "stringData", &json!({
                // Argo CD reads Gitea's webhooks as those of Gogs.
                "webhook.gogs.secret": credentials.webhook,
            })),
        ],
    });
    // Applied before Argo CD's own manifest, so that it starts with these settings.
    apply_settings("lab", &settings.to_string())?;
    apply("argocd", &tailored(&manifest))?;
    wait_rolled_out(
        "argocd",
        &[
            "statefulset/argocd-application-controller",
            "deployment/argocd-applicationset-controller",
            "deployment/argocd-notifications-controller",
            "deployment/argocd-redis",
            "deployment/argocd-repo-server",
            "deployment/argocd-server",
        ],
        Duration::from_secs(240),
    )
}

fn settings(kind: &str, name: &str, field: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "argocd",
            // Argo CD only reads objects with this label.
            "labels": {"app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/name": name},
        },
        field: data,
    })
}

/// The install manifest without dex, because the lab has no identity provider, and without pulls of images that are
/// already on the node.
fn tailored(manifest: &str) -> String {
    manifest
        .split("\n---\n")
        .filter(|document| {
            !document
                .lines()
                .any(|line| line.starts_with("  name: argocd-dex-server"))
        })
        .collect::<Vec<_>>()
        .join("\n---\n")
        .replace("imagePullPolicy: Always", "imagePullPolicy: IfNotPresent")
}

/// Applies the checkout's `argocd/` chart, as its README says, and sets up the forge's webhook to Argo CD.
///
/// # Errors
/// When the chart cannot be rendered or applied, or the forge refuses the webhook.
pub fn bootstrap(checkout: &Path, layout: &Layout) -> Result<()> {
    let forge = Forge::new(layout)?;
    report_to_forge(checkout, &forge)?;
    let manifests = command("helm", ["template", "argocd"])
        .arg(checkout.join("argocd"))
        .args(["--set", &format!("repoURL={}", forge.url())])
        .args(["--set", "commitStatus=gitea"])
        .read()?;
    apply("argocd", &manifests)?;

    let hooks: Vec<IgnoredAny> = forge.list("/hooks")?;
    if hooks.is_empty() {
        let hook = json!({
            "type": "gitea",
            "active": true,
            "events": ["push"],
            "config": {
                "url": "http://argocd-server.argocd.svc.cluster.local/api/webhook",
                "content_type": "json",
                "secret": Credentials::ensure(layout)?.webhook,
            },
        });
        forge.execute("POST", "/hooks", &hook)?;
    }
    Ok(())
}

/// Lets Argo CD set commit statuses on the forge and start rollbacks, as a user of its own.
fn report_to_forge(checkout: &Path, forge: &Forge) -> Result<()> {
    let token = forge.reporter_token()?;
    // Argo CD's own manifest has this Secret and its labels.
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "argocd-notifications-secret", "namespace": "argocd"},
        "stringData": {
            "commit-status-url": format!("https://{FORGE}"),
            "commit-status-token": token,
            "rollback-url": forge.api().base(),
            "rollback-token": token,
        },
    });
    apply_settings("lab", &secret.to_string())?;
    for (file, manager) in [
        ("access", "delivery"),
        ("commit-status", "delivery"),
        ("gitea", "delivery-forge"),
        ("rollback", "delivery-rollback"),
    ] {
        let path = checkout.join(format!("argocd/install/{file}.yaml"));
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        apply_settings(manager, &text)?;
    }
    Ok(())
}

/// Applies a part of Argo CD's settings. Each field manager has a name of its own, so that none removes what others set.
///
/// # Errors
/// When the API server refuses.
pub fn apply_settings(manager: &str, manifests: &str) -> Result<()> {
    let manager = format!("--field-manager={manager}");
    let words = ["apply", "--server-side", "-n", "argocd", "-f", "-"];
    kubectl(words)
        .arg(manager)
        .read_with(manifests.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dex_is_left_out_and_images_are_not_pulled_again() {
        let manifest = "kind: Deployment\nmetadata:\n  name: argocd-dex-server\n---\nkind: Deployment\nmetadata:\n  name: argocd-server\nspec:\n  imagePullPolicy: Always\n";
        let tailored = tailored(manifest);
        assert!(!tailored.contains("dex"), "{tailored}");
        assert!(tailored.contains("name: argocd-server"), "{tailored}");
        assert!(
            tailored.contains("imagePullPolicy: IfNotPresent"),
            "{tailored}"
        );
    }
}
