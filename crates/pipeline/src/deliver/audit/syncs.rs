//! Who synced, from the history of Argo CD's Applications
//! (<https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/>).

use super::{Action, Event};
use devkit::delivery::Environment;
use devkit::git::short;
use serde::Deserialize;

/// A list of Applications, as kubectl prints it.
#[derive(Deserialize)]
pub(super) struct Applications {
    items: Vec<Application>,
}

#[derive(Deserialize)]
struct Application {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    history: Vec<Deployment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    #[serde(default)]
    revision: String,
    deployed_at: String,
    #[serde(default)]
    initiated_by: Initiator,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Initiator {
    username: String,
    automated: bool,
}

impl Initiator {
    /// An automatic sync has no person.
    fn name(&self) -> &str {
        match self.username.as_str() {
            "" if self.automated => "Argo CD",
            "" => "unknown",
            name => name,
        }
    }
}

impl Applications {
    /// The syncs of an environment's Application.
    pub(super) fn syncs(&self, name: &str, env: &Environment) -> Vec<Event> {
        let ours = self.items.iter().filter(|one| one.metadata.name == name);
        let history = ours.flat_map(|one| &one.status.history);
        let event = |deployment: &Deployment| Event {
            time: deployment.deployed_at.parse().ok(),
            environment: env.name.clone(),
            action: Action::Synced,
            who: deployment.initiated_by.name().to_owned(),
            what: short(&deployment.revision).to_owned(),
        };
        history.map(event).collect()
    }
}
