//! A client of Argo CD's API. Source: its `/swagger-ui`.

use std::time::Duration;

use anyhow::{Context, Result};
use devkit::http::{Client, Tls};
use k8s_openapi::List;
use k8s_openapi::api::core::v1::{Event, Secret};
use serde::Deserialize;
use serde_json::json;

use super::application::{ResourceTree, TreeNode};
use crate::cluster::api::Kubernetes;
use crate::expect::{Verdict, eventually};

/// The namespace that Argo CD and its Applications are in.
pub const NAMESPACE: &str = "argocd";

/// Argo CD's API, as its administrator.
pub struct ArgoCd {
    api: Client,
}

/// The answer to a log-in, and to a request for a token.
#[derive(Deserialize)]
struct Session {
    token: String,
}

impl ArgoCd {
    /// Logs in.
    ///
    /// # Errors
    /// When Argo CD does not answer or refuses.
    pub fn new(kubernetes: &Kubernetes) -> Result<Self> {
        let url = format!("http://{}/api/v1", address(kubernetes)?);
        let api = Client::new(&url, Tls::none());
        let login = json!({"username": "admin", "password": password(kubernetes)?});
        let session: Session = api.send("POST", "/session", &login)?;
        Ok(Self {
            api: api.with_token(&session.token),
        })
    }

    /// Syncs an Application to the tip of its branch, as `argocd app sync` does.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn sync(&self, application: &str) -> Result<()> {
        let path = format!("/applications/{application}/sync");
        Ok(self.api.execute("POST", &path, &json!({}))?)
    }

    /// Asks for a sync that changes nothing (`argocd app sync --dry-run`), to the tip of the branch or to another commit.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn dry_run(&self, application: &str, revision: Option<&str>) -> Result<()> {
        let path = format!("/applications/{application}/sync");
        let wanted = json!({"dryRun": true, "revision": revision});
        Ok(self.api.execute("POST", &path, &wanted)?)
    }

    /// The API as another account, which has the capability `apiKey`. A new account is not known at once.
    ///
    /// # Errors
    /// When Argo CD creates no token in time.
    pub fn account(&self, name: &str, limit: Duration) -> Result<Self> {
        let path = format!("/account/{name}/token");
        let token = eventually(&format!("Argo CD knows {name}"), limit, || {
            let session = self.api.send::<Session>("POST", &path, &json!({}));
            Ok(match session {
                Ok(session) => Verdict::Met(session.token),
                Err(error) => Verdict::Pending(error.to_string()),
            })
        })?;
        Ok(Self {
            api: Client::new(self.api.base(), Tls::none()).with_token(&token),
        })
    }

    /// Rolls an Application back to an entry of its history, as `argocd app rollback` does.
    ///
    /// # Errors
    /// When Argo CD refuses, for example because the Application syncs automatically.
    pub fn rollback(&self, application: &str, entry: i64) -> Result<()> {
        let path = format!("/applications/{application}/rollback");
        let wanted = json!({"id": entry, "prune": true});
        Ok(self.api.execute("POST", &path, &wanted)?)
    }

    /// Deletes an Application and what it deployed, as `argocd app delete --cascade` does.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn delete(&self, application: &str) -> Result<()> {
        let path = format!("/applications/{application}?cascade=true");
        // Without a content type Argo CD refuses the request, to protect browsers.
        Ok(self.api.execute("DELETE", &path, &json!({}))?)
    }

    /// The objects of an Application and the objects that they own.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn tree(&self, application: &str) -> Result<Vec<TreeNode>> {
        let path = format!("/applications/{application}/resource-tree");
        let tree: ResourceTree = self.api.get(&path)?;
        Ok(tree.nodes)
    }

    /// The log of a container of a pod of the tree: a JSON object in each line.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn log(&self, application: &str, pod: &TreeNode, container: &str) -> Result<String> {
        let path = format!(
            "/applications/{application}/pods/{}/logs?namespace={}&container={container}",
            pod.name, pod.namespace,
        );
        Ok(self.api.text(&path)?)
    }

    /// The messages of the cluster's events about an object of the tree.
    ///
    /// # Errors
    /// When Argo CD refuses.
    pub fn events(&self, application: &str, node: &TreeNode) -> Result<Vec<String>> {
        let path = format!(
            "/applications/{application}/events?resourceNamespace={}&resourceName={}&resourceUID={}",
            node.namespace, node.name, node.uid,
        );
        let events: List<Event> = self.api.get(&path)?;
        Ok(events
            .items
            .into_iter()
            .filter_map(|event| event.message)
            .collect())
    }
}

/// The password of Argo CD's `admin`, which Argo CD generated.
///
/// # Errors
/// When the Secret is missing or has no password.
pub fn password(kubernetes: &Kubernetes) -> Result<String> {
    let secret = kubernetes
        .get::<Secret>(NAMESPACE, "argocd-initial-admin-secret")?
        .context("Argo CD has not generated a password yet")?;
    let password = secret.data.and_then(|mut data| data.remove("password"));
    let password = password.context("the Secret argocd-initial-admin-secret has no password")?;
    String::from_utf8(password.0).context("Argo CD's password is not text")
}

/// The cluster IP of Argo CD's API and web page.
///
/// # Errors
/// When the Service is missing or has no cluster IP.
pub fn address(kubernetes: &Kubernetes) -> Result<String> {
    kubernetes.cluster_ip(NAMESPACE, "argocd-server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_argo_cd_writes_them() {
        let answer = json!({
            "metadata": {},
            "items": [{
                "metadata": {"name": "shop.1", "creationTimestamp": "2026-11-26T12:00:00Z"},
                "involvedObject": {"kind": "Pod", "name": "shop"},
                "reason": "Failed",
                "message": "Failed to pull image",
                "source": {"component": "kubelet"},
                "firstTimestamp": "2026-11-26T12:00:00Z",
                "lastTimestamp": null,
                "eventTime": null,
            }],
        });
        let events: List<Event> = serde_json::from_value(answer).unwrap();
        assert_eq!(
            events.items[0].message.as_deref(),
            Some("Failed to pull image")
        );
        let none: List<Event> =
            serde_json::from_value(json!({"metadata": {}, "items": null})).unwrap();
        assert!(none.items.is_empty());
    }
}
