//! A deployment environment, as the cluster and Argo CD report it.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde::Deserialize;

use crate::argocd::api::NAMESPACE;
use crate::argocd::application::{Application, HealthStatus, SyncStatus};
use crate::cluster::api::Kubernetes;
use crate::commit::short;
use crate::expect::{Verdict, eventually};
use crate::http::get_text;

/// The environments, in the order in which a commit reaches them.
pub const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];

/// A deployment environment.
pub struct Environment<'a> {
    pub(super) kubernetes: &'a Kubernetes,
    /// Its name: `dev`.
    pub name: &'a str,
}

/// The service's answer to `/version`.
#[derive(Deserialize)]
struct Version {
    commit: String,
}

impl<'a> Environment<'a> {
    /// The environment with this name.
    pub fn new(kubernetes: &'a Kubernetes, name: &'a str) -> Self {
        Self { kubernetes, name }
    }

    /// The name of its namespace, which is also the name of its Application.
    pub fn namespace(&self) -> String {
        format!("waybill-{}", self.name)
    }

    /// Its Application in Argo CD.
    ///
    /// # Errors
    /// When there is no such Application.
    pub fn application(&self) -> Result<Application> {
        let name = self.namespace();
        self.kubernetes
            .get(NAMESPACE, &name)?
            .with_context(|| format!("Argo CD has no Application {name}"))
    }

    /// The commit that the service reports it was built from; `None` if the service does not answer.
    pub fn serving(&self) -> Option<String> {
        let version: Version = serde_json::from_str(&self.get("/version")?).ok()?;
        Some(version.commit)
    }

    /// Waits until Argo CD reports this health.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_health(&self, status: &HealthStatus, limit: Duration) -> Result<()> {
        eventually(&format!("{} is {status:?}", self.name), limit, || {
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
        let what = format!("{} is {status:?} at {}", self.name, short(revision));
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
        self.kubernetes
            .get::<Service>(&self.namespace(), "waybill")?
            .context("the Service waybill does not exist yet")?
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("the Service waybill has no cluster IP")
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
        let mut pods: Vec<Pod> = self.kubernetes.list(&self.namespace())?;
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
