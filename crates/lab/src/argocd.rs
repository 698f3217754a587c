//! Argo CD: its own install manifest, this repository's Applications, and the forge's webhook.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::{self, Kubernetes, apply, kubectl};
use crate::command::{Run, command};
use crate::forge::{Credentials, Forge};
use crate::http::Client;
use crate::layout::Layout;
use crate::machine::FORGE;
use crate::tools;

/// Installs Argo CD and waits until all of it is ready.
///
/// # Errors
/// When the API server refuses, or a part does not get ready.
pub fn install(layout: &Layout) -> Result<()> {
    let credentials = Credentials::ensure(layout)?;
    let path = tools::shared_file(&Layout::inside().cache, "argocd", "manifests/install.yaml")?;
    let manifest =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;

    let authority: String = fs::read_to_string(layout.state("pki/web-ca.crt"))?;
    let settings = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}},
            settings("ConfigMap", "argocd-cmd-params-cm", "data", &json!({
                // TLS ends nowhere before the browser here: the forwarder is on loopback.
                "server.insecure": "true",
            })),
            settings("ConfigMap", "argocd-tls-certs-cm", "data", &json!({FORGE: authority})),
            settings("Secret", "argocd-secret", "stringData", &json!({
                // Gitea's webhooks are understood by the parser for Gogs.
                "webhook.gogs.secret": credentials.webhook,
            })),
        ],
    });
    // Before Argo CD's own manifest, so that it starts with them; under another name, so that the
    // manifest does not take them away.
    kubectl(["apply", "--server-side", "--field-manager=lab", "-f", "-"])
        .read_with(settings.to_string().as_bytes())?;
    apply("argocd", &tailored(&manifest))?;
    cluster::rolled_out(
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
            // Argo CD only reads what bears this label.
            "labels": {"app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/name": name},
        },
        field: data,
    })
}

/// The install manifest without dex (there is no identity provider here), and with images that are
/// there already.
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

/// Applies this repository's `argocd/` folder, as its README says, and lets the forge tell Argo CD
/// about pushes.
///
/// # Errors
/// When it can't be rendered or applied.
pub fn bootstrap(checkout: &Path, layout: &Layout) -> Result<()> {
    let manifests = command("helm", ["template", "argocd"])
        .arg(checkout.join("argocd"))
        .args(["--set", &format!("repoURL={}", Forge::url())])
        .read()?;
    apply("argocd", &manifests)?;

    let forge = Forge::new(layout)?;
    let hooks = forge.repository("GET", "/hooks", None)?;
    if hooks.as_array().is_some_and(Vec::is_empty) {
        forge.repository(
            "POST",
            "/hooks",
            Some(&json!({
                "type": "gitea",
                "active": true,
                "events": ["push"],
                "config": {
                    "url": "http://argocd-server.argocd.svc.cluster.local/api/webhook",
                    "content_type": "json",
                    "secret": Credentials::ensure(layout)?.webhook,
                },
            })),
        )?;
    }
    Ok(())
}

/// The password of Argo CD's `admin`, as Argo CD made it.
///
/// # Errors
/// When it can't be read.
pub fn password(kubernetes: &Kubernetes) -> Result<String> {
    let secret = kubernetes
        .get("/api/v1/namespaces/argocd/secrets/argocd-initial-admin-secret")?
        .context("Argo CD has made no password yet")?;
    let encoded = secret["data"]["password"]
        .as_str()
        .context("Argo CD's password secret is empty")?;
    String::from_utf8(STANDARD.decode(encoded)?).context("Argo CD's password is no text")
}

/// Argo CD's API, as its administrator (see its `/swagger-ui`).
pub struct ArgoCd {
    api: Client,
}

impl ArgoCd {
    /// Logs in.
    ///
    /// # Errors
    /// When Argo CD isn't there, or refuses.
    pub fn new(kubernetes: &Kubernetes) -> Result<Self> {
        let api = Client::plain(&format!("http://{}/api/v1", address(kubernetes)?));
        let login = json!({"username": "admin", "password": password(kubernetes)?});
        let session = api.request("POST", "/session", Some(&login))?;
        let token = session["token"]
            .as_str()
            .context("Argo CD let us in and gave no token")?;
        Ok(Self {
            api: api.authorized(format!("Bearer {token}")),
        })
    }

    /// Syncs an Application to the tip of its branch, as `argocd app sync` does.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn sync(&self, application: &str) -> Result<()> {
        let path = format!("/applications/{application}/sync");
        self.api.request("POST", &path, Some(&json!({}))).map(drop)
    }

    /// Takes an Application back to an entry of its history, as `argocd app rollback` does.
    ///
    /// # Errors
    /// When Argo CD refuses, as it does where it syncs by itself.
    pub fn rollback(&self, application: &str, entry: i64) -> Result<()> {
        let path = format!("/applications/{application}/rollback");
        self.api
            .request("POST", &path, Some(&json!({"id": entry, "prune": true})))
            .map(drop)
    }

    /// The objects of an Application and those that they own, each with how it is: what the web page draws as a tree.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn tree(&self, application: &str) -> Result<Vec<Value>> {
        let path = format!("/applications/{application}/resource-tree");
        let mut tree = self.api.request("GET", &path, None)?;
        Ok(match tree["nodes"].take() {
            Value::Array(nodes) => nodes,
            _ => Vec::new(),
        })
    }

    /// The log of a pod of the tree, as JSON, a line each.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn log(&self, application: &str, pod: &Value) -> Result<String> {
        let of = |key: &str| pod[key].as_str().unwrap_or_default();
        let path = format!(
            "/applications/{application}/pods/{}/logs?namespace={}&container=waybill",
            of("name"),
            of("namespace"),
        );
        let log = self.api.request("GET", &path, None)?;
        Ok(log.as_str().unwrap_or_default().to_owned())
    }

    /// What the cluster says about an object of the tree.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn events(&self, application: &str, node: &Value) -> Result<Vec<String>> {
        let of = |key: &str| node[key].as_str().unwrap_or_default();
        let path = format!(
            "/applications/{application}/events?resourceNamespace={}&resourceName={}&resourceUID={}",
            of("namespace"),
            of("name"),
            of("uid"),
        );
        let events = self.api.request("GET", &path, None)?;
        let events = events["items"].as_array().into_iter().flatten();
        let message = |event: &Value| event["message"].as_str().map(str::to_owned);
        Ok(events.filter_map(message).collect())
    }
}

/// The address of Argo CD's API and web page.
///
/// # Errors
/// When it isn't there.
pub fn address(kubernetes: &Kubernetes) -> Result<String> {
    let service = kubernetes
        .get("/api/v1/namespaces/argocd/services/argocd-server")?
        .context("there is no Service argocd-server")?;
    service["spec"]["clusterIP"]
        .as_str()
        .map(str::to_owned)
        .context("argocd-server has no address")
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
