//! A deployment environment, as the cluster and Argo CD report it.

use std::time::Duration;

use anyhow::{Context, Result};
use devkit::delivery::{self, Delivery};
use devkit::git::short;
use devkit::http::get_text;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use crate::argocd::api::NAMESPACE;
use crate::argocd::application::{Application, HealthStatus, SyncStatus};
use crate::cluster::api::Kubernetes;
use crate::expect::{Verdict, eventually};
use crate::forge::Forge;

/// A deployment environment in the lab's cluster.
pub struct Environment<'a> {
    pub(super) kubernetes: &'a Kubernetes,
    delivery: &'a Delivery,
    /// Its entry in `delivery.toml`.
    pub entry: &'a delivery::Environment,
}

/// The service's answer to `/version`.
#[derive(Deserialize)]
struct Version {
    commit: String,
}

impl<'a> Environment<'a> {
    /// The environment of an entry of `delivery.toml`.
    pub fn new(
        kubernetes: &'a Kubernetes,
        delivery: &'a Delivery,
        entry: &'a delivery::Environment,
    ) -> Self {
        Self {
            kubernetes,
            delivery,
            entry,
        }
    }

    /// Its name: `dev`.
    pub fn name(&self) -> &'a str {
        &self.entry.name
    }

    /// The name of its namespace.
    pub fn namespace(&self) -> &'a str {
        &self.entry.namespace
    }

    /// The name of the service's Deployment, Service and container.
    pub fn service(&self) -> &'a str {
        &self.delivery.name
    }

    /// The name of its Application in Argo CD.
    pub fn application_name(&self) -> String {
        self.delivery.application(self.entry)
    }

    /// Its Application in Argo CD.
    ///
    /// # Errors
    /// When there is no such Application.
    pub fn application(&self) -> Result<Application> {
        let name = self.application_name();
        self.kubernetes
            .get(NAMESPACE, &name)?
            .with_context(|| format!("Argo CD has no Application {name}"))
    }

    /// The tip of its branch.
    ///
    /// # Errors
    /// When there is no such branch.
    pub fn tip(&self, forge: &Forge) -> Result<String> {
        let branch = &self.entry.branch;
        let tip = forge.tip(branch)?;
        tip.with_context(|| format!("the branch {branch} does not exist"))
    }

    /// The commit that the service reports it was built from; `None` if the service does not answer.
    pub fn serving(&self) -> Option<String> {
        let version: Version = serde_json::from_str(&self.get("/version")?).ok()?;
        Some(version.commit)
    }

    /// Waits until the service is ready and Argo CD reports it healthy.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_answers(&self, limit: Duration) -> Result<()> {
        eventually(&format!("{} answers", self.name()), limit, || {
            Ok(match self.get("/ready") {
                Some(_) => Verdict::Met(()),
                None => Verdict::Pending("the service is not ready".to_owned()),
            })
        })?;
        self.wait_health(&HealthStatus::Healthy, limit)
    }

    /// Waits until Argo CD reports this health.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_health(&self, status: &HealthStatus, limit: Duration) -> Result<()> {
        eventually(&format!("{} is {status:?}", self.name()), limit, || {
            let health = self.application()?.status.health.status;
            Ok(if health == *status {
                Verdict::Met(())
            } else {
                Verdict::Pending(format!("it is {health:?}"))
            })
        })
    }

    /// Waits until Argo CD has compared the cluster with a commit, with this result.
    ///
    /// # Errors
    /// When it has not in time.
    pub fn wait_compared(
        &self,
        revision: &str,
        status: &SyncStatus,
        limit: Duration,
    ) -> Result<()> {
        let what = format!("{} is {status:?} at {}", self.name(), short(revision));
        eventually(&what, limit, || {
            let sync = self.application()?.status.sync;
            Ok(if sync.revision == revision && sync.status == *status {
                Verdict::Met(())
            } else {
                Verdict::Pending(format!("it is {:?} at {}", sync.status, sync.revision))
            })
        })
    }

    /// The service's cluster IP.
    ///
    /// # Errors
    /// When the Service does not exist yet.
    pub fn cluster_ip(&self) -> Result<String> {
        self.kubernetes.cluster_ip(self.namespace(), self.service())
    }

    /// The service's URL in the cluster.
    ///
    /// # Errors
    /// As [`Environment::cluster_ip`].
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.cluster_ip()?))
    }

    /// The service's answer to a path; `None` if it is not 200.
    pub fn get(&self, path: &str) -> Option<String> {
        get_text(&format!("{}{path}", self.url().ok()?))
    }

    /// The pods of the service, without those that are being deleted.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let mut pods: Vec<Pod> = self.kubernetes.list(self.namespace())?;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// How many of them are ready.
    ///
    /// # Errors
    /// As [`Environment::pods`].
    pub fn ready_pods(&self) -> Result<usize> {
        let is_ready = |pod: &&Pod| {
            let conditions = pod
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_ref());
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        Ok(self.pods()?.iter().filter(is_ready).count())
    }
}
