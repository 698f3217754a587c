//! An Application of a scenario's own, which deploys the chart apart from the environments.

use anyhow::{Context, Result};
use devkit::delivery::Environment;
use devkit::process::Run;
use serde_json::{Value, json};

use super::world::World;
use crate::argocd::api::NAMESPACE;
use crate::argocd::application::Application;
use crate::cluster::database;
use crate::cluster::kubectl::{apply, kubectl};

/// An Application of dev's branch with the values of an environment. Its namespace and its database have its name.
pub struct OwnApplication<'a> {
    /// The lab.
    pub world: &'a World,
    /// The name.
    pub name: &'static str,
    /// The environment whose values it begins with.
    pub like: &'a Environment,
    /// The project.
    pub project: &'static str,
    /// Whether Argo CD syncs it by itself.
    pub automated: bool,
}

impl<'a> OwnApplication<'a> {
    /// An Application in Argo CD's project `default`, which is synced by hand.
    pub fn new(world: &'a World, name: &'static str, like: &'a Environment) -> Self {
        Self {
            world,
            name,
            like,
            project: "default",
            automated: false,
        }
    }

    /// Creates the namespace with an empty database.
    ///
    /// # Errors
    /// When the values of the environment name no Secret, or a server refuses.
    pub fn create_database(&self) -> Result<()> {
        let values = self.world.forge.values(self.like, self.world.trunk())?;
        database::create_empty(self.name, &values)
    }

    /// Declares values over those of the environment, and annotations.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn set(&self, values: &Value, annotations: &Value) -> Result<()> {
        let (delivery, forge) = (&self.world.delivery, &self.world.forge);
        let chart = &delivery.chart;
        let file = self.like.values.strip_prefix(&format!("{chart}/"));
        let file = file.with_context(|| format!("{} is not in {chart}", self.like.values))?;
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": self.name, "annotations": annotations},
            "spec": {
                "project": self.project,
                "source": {
                    "repoURL": forge.url(),
                    "targetRevision": self.world.trunk(),
                    "path": chart,
                    "helm": {"releaseName": delivery.name, "valueFiles": [file], "valuesObject": values},
                },
                "destination": {"server": "https://kubernetes.default.svc", "namespace": self.name},
                "syncPolicy": {"automated": {"enabled": self.automated, "prune": false}},
            },
        });
        apply(NAMESPACE, &application.to_string())
    }

    /// What Argo CD knows about it.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn find(&self) -> Result<Application> {
        let application = self.world.kubernetes.get(NAMESPACE, self.name)?;
        application.with_context(|| format!("Argo CD has no Application {}", self.name))
    }

    /// Deletes it, its namespace and its database, if they exist.
    ///
    /// # Errors
    /// When a server refuses.
    pub fn remove(&self) -> Result<()> {
        let words = ["delete", "application", self.name, "--ignore-not-found"];
        kubectl(words).args(["-n", NAMESPACE]).run_quietly()?;
        database::delete_with_namespace(self.name)
    }
}
