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

/// One thing that must be true of an environment.
type Part<'a> = fn(&Environment<'a>, &Deployed) -> Result<Verdict<()>>;

/// What must be true of a finished deployment.
pub struct Deployed {
    /// The Git revision that Argo CD has synced.
    pub revision: String,
    /// The image that every pod runs.
    pub digest: String,
    /// The commit that the service says it was built from.
    pub commit: String,
}

impl<'a> Environment<'a> {
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

    /// What was deployed last, and the number of its entry in Argo CD's history.
    ///
    /// # Errors
    /// When nothing was ever deployed, or nothing serves.
    pub fn current(&self, forge: &Forge) -> Result<(i64, Deployed)> {
        let (entry, revision) = self.last_applied()?;
        let digest = ImageValues::read(forge, self.name, &revision)?.digest;
        let commit = self
            .serving()
            .with_context(|| format!("{} does not serve", self.name))?;
        let deployed = Deployed {
            revision,
            digest,
            commit,
        };
        Ok((entry, deployed))
    }

    fn last_applied(&self) -> Result<(i64, String)> {
        let application = self.application()?;
        let history = application["status"]["history"].as_array();
        let newest = history.and_then(|entries| entries.last());
        let newest = newest.with_context(|| format!("{} was never synced", self.name))?;
        let revision = newest["revision"].as_str().map(str::to_owned);
        newest["id"]
            .as_i64()
            .zip(revision)
            .context("Argo CD's history has an entry without number or revision")
    }

    /// The commit that the service says it was built from, where it serves.
    pub fn serving(&self) -> Option<String> {
        let version: Value = serde_json::from_str(&self.get("/version")?).ok()?;
        version["commit"].as_str().map(str::to_owned)
    }

    /// Waits until Argo CD calls the Application `Healthy`, `Degraded` or the like.
    ///
    /// # Errors
    /// When it doesn't in time.
    pub fn wait_health(&self, status: &str, limit: Duration) -> Result<()> {
        eventually(&format!("{} is {status}", self.name), limit, || {
            let application = self.application()?;
            let health = &application["status"]["health"]["status"];
            Ok(if health == status {
                Verdict::Met(())
            } else {
                Verdict::Pending(format!("it is {health}"))
            })
        })
    }

    /// Waits until Argo CD has compared what is there with a revision, and calls it `Synced` or `OutOfSync`.
    ///
    /// # Errors
    /// When it doesn't in time.
    pub fn wait_compared(&self, revision: &str, status: &str, limit: Duration) -> Result<()> {
        let what = format!("{} is {status} at {}", self.name, short(revision));
        eventually(&what, limit, || {
            let application = self.application()?;
            let sync = &application["status"]["sync"];
            Ok(
                if sync["revision"] == revision && sync["status"] == status {
                    Verdict::Met(())
                } else {
                    Verdict::Pending(format!("{} at {}", sync["status"], sync["revision"]))
                },
            )
        })
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

    /// As [`Environment::wait_deployed`], of a revision that the branch has left behind: by a rollback.
    ///
    /// # Errors
    /// As there.
    pub fn wait_rolled_back(&self, expected: &Deployed, limit: Duration) -> Result<()> {
        let what = format!("{} serves {} again", self.name, short(&expected.commit));
        eventually(&what, limit, || self.each(&Self::PARTS[..4], expected))
    }

    fn deployed(&self, expected: &Deployed) -> Result<Verdict<()>> {
        self.each(&Self::PARTS, expected)
    }

    const PARTS: [Part<'a>; 5] = [
        Self::operated,
        Self::rolled_out,
        Self::runs,
        Self::answers,
        Self::synced,
    ];

    fn each(&self, parts: &[Part<'a>], expected: &Deployed) -> Result<Verdict<()>> {
        for part in parts {
            match part(self, expected)? {
                Verdict::Met(()) => {}
                other => return Ok(other),
            }
        }
        Ok(Verdict::Met(()))
    }

    /// Argo CD has finished the operation that applies the revision.
    fn operated(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let application = self.application()?;
        let operation = &application["status"]["operationState"];
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
            "Succeeded" => Ok(Verdict::Met(())),
            phase @ ("Failed" | "Error") => Ok(Verdict::Failed(format!(
                "the sync {phase}: {}",
                operation["message"]
            ))),
            phase => pending(format!("the sync is {phase}")),
        }
    }

    /// Argo CD finds no difference to the revision, which is the branch's tip.
    fn synced(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let application = self.application()?;
        let sync = &application["status"]["sync"];
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

    /// How many of them are ready.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn ready_pods(&self) -> Result<usize> {
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        Ok(self.pods()?.iter().filter(is_ready).count())
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
    /// The name that people read.
    pub tag: String,
    /// The digest that is pulled.
    pub digest: String,
}

impl ImageValues {
    /// Whether they still hold what stands there before the first release.
    pub fn is_none(&self) -> bool {
        self.digest
            .trim_start_matches("sha256:")
            .bytes()
            .all(|digit| digit == b'0')
    }

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
            tag: value("tag")?,
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
