//! One environment of the service, as the cluster and Argo CD report it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::Kubernetes;
use crate::expect::{Verdict, eventually};
use crate::forge::Forge;
use crate::http::get_text;

/// An environment by its name: `dev`.
pub struct Environment<'a> {
    /// The cluster it is in.
    pub kubernetes: &'a Kubernetes,
    /// Its name.
    pub name: &'a str,
}

/// What must be true of a finished deployment.
pub struct Deployed {
    /// The Git revision that Argo CD has synced.
    pub revision: String,
    /// The image that every pod runs.
    pub digest: String,
    /// The commit that the service says it was built from.
    pub commit: String,
}

impl Environment<'_> {
    fn namespace(&self) -> String {
        format!("waybill-{}", self.name)
    }

    /// Argo CD's Application.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn application(&self) -> Result<Value> {
        self.kubernetes
            .get(&format!(
                "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/waybill-{}",
                self.name
            ))?
            .with_context(|| format!("there is no Application waybill-{}", self.name))
    }

    /// The service's address in the cluster.
    ///
    /// # Errors
    /// When there is no Service yet.
    pub fn address(&self) -> Result<String> {
        let service = self
            .kubernetes
            .get(&format!(
                "/api/v1/namespaces/{}/services/waybill",
                self.namespace()
            ))?
            .context("there is no Service yet")?;
        let address = service["spec"]["clusterIP"]
            .as_str()
            .context("the Service has no address")?;
        Ok(format!("http://{address}"))
    }

    /// What the service answers at a path, where it answers well.
    pub fn get(&self, path: &str) -> Option<String> {
        get_text(&format!("{}{path}", self.address().ok()?))
    }

    /// Waits until the deployment is finished by every measure: the operation succeeded for this
    /// revision, nothing differs from it, the new ReplicaSet is available, every ready pod runs the
    /// image, and the service answers with the commit it was built from. One alone may be true too
    /// early: a sync succeeds before pods start, and health may speak of the pods before.
    ///
    /// # Errors
    /// When the deployment fails or is not finished in time; with the reason the cluster gives.
    pub fn wait_deployed(&self, expected: &Deployed, limit: Duration) -> Result<()> {
        eventually(
            &format!("{} serves {}", self.name, short(&expected.commit)),
            limit,
            || self.deployed(expected),
        )
    }

    fn deployed(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let parts = [Self::synced, Self::rolled_out, Self::runs, Self::answers];
        for part in parts {
            match part(self, expected)? {
                Verdict::Met(()) => {}
                other => return Ok(other),
            }
        }
        Ok(Verdict::Met(()))
    }

    /// Argo CD has synced the revision, and finds no difference to it.
    fn synced(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let application = self.application()?;
        let status = &application["status"];
        let operation = &status["operationState"];
        let synced = operation["syncResult"]["revision"]
            .as_str()
            .unwrap_or_default();
        if synced != expected.revision {
            return pending(format!(
                "Argo CD has synced {synced:?}, not {}",
                expected.revision
            ));
        }
        match operation["phase"].as_str().unwrap_or_default() {
            "Succeeded" => {}
            phase @ ("Failed" | "Error") => {
                return Ok(Verdict::Failed(format!(
                    "the sync {phase}: {}",
                    operation["message"]
                )));
            }
            phase => return pending(format!("the sync is {phase}")),
        }
        let sync = &status["sync"];
        if sync["status"] != "Synced" || sync["revision"] != expected.revision.as_str() {
            return pending(format!("{} at {}", sync["status"], sync["revision"]));
        }
        Ok(Verdict::Met(()))
    }

    /// The newest ReplicaSet is available, and the others are gone.
    fn rolled_out(&self, _: &Deployed) -> Result<Verdict<()>> {
        let path = format!(
            "/apis/apps/v1/namespaces/{}/deployments/waybill",
            self.namespace()
        );
        let deployment = self
            .kubernetes
            .get(&path)?
            .context("there is no Deployment")?;
        if deployment["status"]["observedGeneration"] != deployment["metadata"]["generation"] {
            return pending("the Deployment's change has not been seen yet".into());
        }
        let conditions = deployment["status"]["conditions"].as_array();
        let progressing = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Progressing");
        match progressing.and_then(|condition| condition["reason"].as_str()) {
            Some("NewReplicaSetAvailable") => Ok(Verdict::Met(())),
            Some("ProgressDeadlineExceeded") => Ok(Verdict::Failed(format!(
                "the roll-out is stuck: {}",
                self.trouble()?
            ))),
            reason => pending(format!(
                "the roll-out is at {reason:?}; {}",
                self.trouble()?
            )),
        }
    }

    /// Every pod that is ready runs the image.
    fn runs(&self, expected: &Deployed) -> Result<Verdict<()>> {
        for pod in self.pods()? {
            let containers = pod["status"]["containerStatuses"].as_array();
            let mut images = containers
                .into_iter()
                .flatten()
                .filter(|container| container["ready"] == true)
                .filter_map(|container| container["imageID"].as_str());
            if let Some(other) = images.find(|image| !image.ends_with(&expected.digest)) {
                return pending(format!("a pod runs {other}"));
            }
        }
        Ok(Verdict::Met(()))
    }

    /// The service says which commit it is.
    fn answers(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let answer = self.get("/version").unwrap_or_default();
        let version: Value = serde_json::from_str(&answer).unwrap_or_default();
        if version["commit"] != expected.commit.as_str() {
            return pending(format!("/version answers {answer:?}"));
        }
        Ok(Verdict::Met(()))
    }

    /// The pods of the service that are not on their way out.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn pods(&self) -> Result<Vec<Value>> {
        let list = self
            .kubernetes
            .get(&format!("/api/v1/namespaces/{}/pods", self.namespace()))?
            .unwrap_or_default();
        Ok(list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .cloned()
            .collect())
    }

    /// Why pods are not ready, in the cluster's words: `ImagePullBackOff: …`.
    fn trouble(&self) -> Result<String> {
        let mut reasons = Vec::new();
        for pod in self.pods()? {
            for kind in ["initContainerStatuses", "containerStatuses"] {
                for container in pod["status"][kind].as_array().into_iter().flatten() {
                    for state in ["waiting", "terminated"] {
                        let state = &container["state"][state];
                        let reason = state["reason"].as_str().unwrap_or_default();
                        if !matches!(
                            reason,
                            "" | "PodInitializing" | "ContainerCreating" | "Completed"
                        ) {
                            let message = state["message"].as_str().unwrap_or_default();
                            reasons.push(format!("{reason}: {message}"));
                        }
                    }
                }
            }
        }
        Ok(if reasons.is_empty() {
            "pods are starting".into()
        } else {
            reasons.join("; ")
        })
    }
}

/// The image block of an environment's values file, as it is on its branch.
pub struct ImageValues {
    /// The digest that is pulled.
    pub digest: String,
}

impl ImageValues {
    /// Reads it from the forge.
    ///
    /// # Errors
    /// When the file or a key is missing.
    pub fn read(forge: &Forge, environment: &str, reference: &str) -> Result<Self> {
        let file = format!("charts/waybill/values-{environment}.yaml");
        let text = forge.repository("GET", &format!("/raw/{file}?ref={reference}"), None)?;
        let text = text.as_str().unwrap_or_default();
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))
                .map(|rest| {
                    rest.split('#')
                        .next()
                        .unwrap_or_default()
                        .trim()
                        .trim_matches('"')
                        .to_owned()
                })
                .with_context(|| format!("{file} on {reference} has no {key}"))
        };
        Ok(Self {
            digest: value("digest")?,
        })
    }
}

/// The first seven characters, as people name commits.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

fn pending(why: String) -> Result<Verdict<()>> {
    Ok(Verdict::Pending(why))
}
