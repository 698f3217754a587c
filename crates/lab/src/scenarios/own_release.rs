//! A release in a namespace of a scenario's own, with a database of its own. What happens to it touches no environment.

use std::time::Duration;

use anyhow::Result;
use devkit::process::{Run, command};
use k8s_openapi::api::core::v1::Pod;

use super::world::World;
use crate::cluster::database;
use crate::cluster::kubectl::{apply, kubectl, wait_rolled_out};

/// How long a roll-out may take.
pub const LIMIT: Duration = Duration::from_secs(180);

/// A release with staging's values and dev's image, in a namespace of its own.
pub struct OwnRelease<'a> {
    world: &'a World,
    /// The namespace. The database and the user that owns it have the same name.
    pub namespace: &'static str,
}

impl<'a> OwnRelease<'a> {
    /// Runs a test with a new release. A release that failed is left, because it shows why.
    ///
    /// # Errors
    /// When the release does not roll out, or the test fails.
    pub fn with(
        world: &'a World,
        namespace: &'static str,
        replicas: usize,
        test: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let release = Self { world, namespace };
        database::delete_with_namespace(namespace)?;
        release.install(replicas)?;
        test(&release)?;
        database::delete_with_namespace(namespace)
    }

    fn install(&self, replicas: usize) -> Result<()> {
        let (world, namespace) = (self.world, self.namespace);
        let staging = world.staging()?.entry;
        let clone = world.clone(namespace, world.trunk())?;
        database::create_empty(namespace, &world.forge.values(staging, world.trunk())?)?;
        let image = world.forge.image(world.delivery.first(), world.trunk())?;
        let manifests = command("helm", ["template", "--skip-tests", &world.delivery.name])
            .arg(clone.join(&world.delivery.chart))
            .arg("--values")
            .arg(clone.join(&staging.values))
            .args(["--namespace", namespace])
            .args(["--set", &format!("replicas={replicas}")])
            .args(["--set", &format!("image.tag={}", image.tag)])
            .args(["--set", &format!("image.digest={}", image.digest)])
            .read()?;
        apply(namespace, &manifests)?;
        self.wait_rolled_out()
    }

    /// The Deployment, as kubectl names it.
    pub fn deployment(&self) -> String {
        format!("deployment/{}", self.world.delivery.name)
    }

    /// Waits until the Deployment is rolled out.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_rolled_out(&self) -> Result<()> {
        wait_rolled_out(self.namespace, &[&self.deployment()], LIMIT)
    }

    /// Replaces all pods, one after the other.
    ///
    /// # Errors
    /// When they are not ready in time.
    pub fn restart(&self) -> Result<()> {
        let words = ["rollout", "restart", "--namespace", self.namespace];
        kubectl(words).arg(self.deployment()).run_quietly()?;
        self.wait_rolled_out()
    }

    /// All pods of the namespace.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        self.world.kubernetes.list(self.namespace)
    }

    /// The URL of the service in the cluster.
    ///
    /// # Errors
    /// When there is no Service.
    pub fn url(&self) -> Result<String> {
        let name = &self.world.delivery.name;
        let address = self.world.kubernetes.cluster_ip(self.namespace, name)?;
        Ok(format!("http://{address}"))
    }
}
