//! The list of all scenarios.

use anyhow::{Context, Result};

use super::needs::Need;
use super::part::{DELIVERED, EVERYTHING, Part};
use super::world::World;
use super::{
    broken_image, canary, clean_teardown, config, database, deploy, drift, egress, environments,
    feature_branch, feature_to_production, gate, git_rollback, hold, isolation, manifests,
    migration, monitoring, no_retrigger, notifications, outage, production, promotion, protection,
    pull_request, quorum, release, resource_tree, rollback, sync_rights, syncs, untested_merge,
    untrusted_fork, workflow_parity,
};
use crate::sandbox::layout::Layout;

/// A requirement of the project, as a test.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// The requirement that it proves.
    pub id: &'static str,
    /// What must be true.
    pub title: &'static str,
    /// The state that it starts from.
    pub needs: &'static [Need],
    /// What must not change while it runs.
    pub reads: &'static [Part],
    /// What it changes.
    pub changes: &'static [Part],
    /// The scenario that proves the same on its way. It replaces this one when all scenarios run.
    pub part_of: Option<&'static str>,
    /// The test itself.
    pub run: Place,
}

/// Where a scenario runs.
pub enum Place {
    /// Inside the running lab.
    Inside(fn(&World) -> Result<()>),
    /// On the host, with a second lab.
    Host(fn(&Layout) -> Result<()>),
}

/// All scenarios, in an order in which few of them have to prepare what they need, those that change code follow each other,
/// and what fills the runner is beside what waits for the cluster.
static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "clean-teardown",
        id: "B1",
        title: "`down` leaves nothing behind, even if the lab was killed",
        needs: &[],
        reads: &[],
        changes: &[],
        part_of: None,
        run: Place::Host(clean_teardown::run),
    },
    Scenario {
        name: "egress",
        id: "B1",
        title: "no packet leaves the lab",
        needs: &[],
        reads: &[],
        changes: &[],
        part_of: None,
        run: Place::Inside(egress::run),
    },
    Scenario {
        name: "workflow-parity",
        id: "B3",
        title: "the workflows that ran are byte for byte those of the checkout",
        needs: &[],
        reads: &[],
        changes: &[],
        part_of: None,
        run: Place::Inside(workflow_parity::run),
    },
    Scenario {
        name: "protection",
        id: "C21",
        title: "a weakened or deleted branch protection is reported",
        needs: &[],
        reads: &[],
        changes: EVERYTHING,
        part_of: None,
        run: Place::Inside(protection::run),
    },
    Scenario {
        name: "quorum",
        id: "B7",
        title: "no one gets around the approvals of staging and prod",
        needs: &[],
        reads: &[],
        changes: EVERYTHING,
        part_of: None,
        run: Place::Inside(quorum::run),
    },
    Scenario {
        name: "manifests",
        id: "K6",
        title: "the API server accepts every environment and every option of the charts",
        needs: &[],
        reads: &[],
        changes: &[],
        part_of: None,
        run: Place::Inside(manifests::run),
    },
    Scenario {
        name: "resource-tree",
        id: "G6",
        title: "Argo CD shows what runs as a tree, down to the pods and their logs",
        needs: &[],
        reads: &[Part::Dev],
        changes: &[],
        part_of: None,
        run: Place::Inside(resource_tree::run),
    },
    Scenario {
        name: "monitoring",
        id: "G8",
        title: "the chart's alerts and dashboard find the metrics of the service and of Argo CD",
        needs: &[],
        reads: &[Part::Dev],
        changes: &[],
        part_of: None,
        run: Place::Inside(monitoring::run),
    },
    Scenario {
        name: "no-retrigger",
        id: "C14",
        title: "a push that changes only values builds nothing",
        needs: &[Need::WriteBack],
        reads: &[Part::Dev],
        changes: &[],
        part_of: None,
        run: Place::Inside(no_retrigger::run),
    },
    Scenario {
        name: "production",
        id: "T4",
        title: "a version of staging reaches prod by two approvals and a sync, and not by one",
        needs: &[Need::Scanners, Need::UnreleasedVersion, Need::Sbom],
        reads: &[],
        changes: DELIVERED,
        part_of: None,
        run: Place::Inside(production::run),
    },
    Scenario {
        name: "migration",
        id: "R3",
        title: "replicas migrate once, and a migration that fails leaves the version before it serving",
        needs: &[],
        reads: &[],
        changes: &[],
        part_of: None,
        run: Place::Inside(migration::run),
    },
    Scenario {
        name: "database",
        id: "R3",
        title: "the database gets another password without a failed request, and is restored from a dump",
        needs: &[],
        reads: &[],
        changes: &[],
        part_of: None,
        run: Place::Inside(database::run),
    },
    Scenario {
        name: "feature-to-production",
        id: "E6",
        title: "a new endpoint reaches prod within 25 minutes, and no request fails",
        needs: &[Need::Scanners, Need::Production],
        reads: &[],
        changes: EVERYTHING,
        part_of: None,
        run: Place::Inside(feature_to_production::run),
    },
    Scenario {
        name: "deploy",
        id: "T1",
        title: "a merged code change is built, deployed and served within 8 minutes",
        needs: &[],
        reads: &[],
        changes: EVERYTHING,
        part_of: Some(WHOLE),
        run: Place::Inside(deploy::run),
    },
    Scenario {
        name: "promotion",
        id: "T4",
        title: "what dev runs reaches staging by an approval and a sync, and not without",
        needs: &[Need::Promotable],
        reads: &[],
        changes: EVERYTHING,
        part_of: Some(WHOLE),
        run: Place::Inside(promotion::run),
    },
    Scenario {
        name: "rollback",
        id: "T2",
        title: "a bad version is rolled back from Argo CD's history",
        needs: &[Need::StagingHistory, Need::Synced],
        reads: &[],
        changes: &[Part::Staging],
        part_of: None,
        run: Place::Inside(rollback::run),
    },
    Scenario {
        name: "drift",
        id: "T5",
        title: "a change in the cluster is reported, and a sync reverts it",
        needs: &[Need::Staging, Need::Synced],
        reads: &[],
        changes: &[Part::Staging],
        part_of: None,
        run: Place::Inside(drift::run),
    },
    Scenario {
        name: "isolation",
        id: "B7",
        title: "a commit on dev's branch changes neither prod nor its Application",
        needs: &[],
        reads: &[],
        changes: &[Part::Dev, Part::Prod],
        part_of: None,
        run: Place::Inside(isolation::run),
    },
    Scenario {
        name: "hold",
        id: "B6",
        title: "a hold lets no promotion pass, not even one that was proposed before",
        needs: &[Need::StagingHistory],
        reads: &[Part::Dev],
        changes: &[Part::Staging],
        part_of: None,
        run: Place::Inside(hold::run),
    },
    Scenario {
        name: "environments",
        id: "B10",
        title: "an environment comes by an entry in Git, and goes without a trace",
        needs: &[Need::Staging],
        reads: &[],
        changes: &[Part::Prod],
        part_of: None,
        run: Place::Inside(environments::run),
    },
    Scenario {
        name: "notifications",
        id: "G9",
        title: "people hear of each deployment, failure and rollback, and of what waits for them",
        needs: &[],
        reads: &[Part::Dev],
        changes: &[],
        part_of: None,
        run: Place::Inside(notifications::run),
    },
    Scenario {
        name: "feature-branch",
        id: "C11",
        title: "a push to another branch is checked and publishes nothing",
        needs: &[],
        reads: &[Part::Images],
        changes: &[Part::Runner],
        part_of: None,
        run: Place::Inside(feature_branch::run),
    },
    Scenario {
        name: "broken-image",
        id: "T6",
        title: "an image that does not exist is Degraded with a reason, and gets a rollback",
        needs: &[Need::StagingHistory, Need::Synced],
        reads: &[],
        changes: &[Part::Staging],
        part_of: None,
        run: Place::Inside(broken_image::run),
    },
    Scenario {
        name: "untrusted-fork",
        id: "C11",
        title: "a fork's pull request finds no secret and publishes nothing",
        needs: &[],
        reads: &[Part::Images],
        changes: &[],
        part_of: None,
        run: Place::Inside(untrusted_fork::run),
    },
    Scenario {
        name: "pull-request",
        id: "C4",
        title: "a pull request is checked, and each kind of defect fails the right job",
        needs: &[Need::Crate(pull_request::VULNERABLE_CRATE), Need::Scanners],
        reads: &[Part::Images],
        changes: &[Part::Runner],
        part_of: None,
        run: Place::Inside(pull_request::run),
    },
    Scenario {
        name: "git-rollback",
        id: "B6",
        title: "a rollback in Git is held until it is released, and then the version follows",
        needs: &[Need::StagingHistory],
        reads: &[],
        changes: &[Part::Dev],
        part_of: None,
        run: Place::Inside(git_rollback::run),
    },
    Scenario {
        name: "config",
        id: "T3",
        title: "a configuration change in Git reaches the running pods",
        needs: &[],
        reads: &[],
        changes: &[Part::Dev],
        part_of: None,
        run: Place::Inside(config::run),
    },
    Scenario {
        name: "untested-merge",
        id: "C16",
        title: "a merge whose tree no pull request has tested is tested in full",
        needs: &[],
        reads: &[],
        changes: &[Part::Dev, Part::Runner],
        part_of: None,
        run: Place::Inside(untested_merge::run),
    },
    Scenario {
        name: "release",
        id: "C12",
        title: "a version tag on staging tags the image there and creates a release",
        needs: &[Need::Scanners, Need::Sbom],
        reads: &[Part::Staging],
        changes: &[Part::Images],
        part_of: None,
        run: Place::Inside(release::run),
    },
    Scenario {
        name: "gate",
        id: "C22",
        title: "a digest that was edited by hand does not pass the checks",
        needs: &[Need::StagingHistory],
        reads: &[Part::Staging],
        changes: &[],
        part_of: None,
        run: Place::Inside(gate::run),
    },
    Scenario {
        name: "canary",
        id: "G10",
        title: "a canary is analysed and rolled out, and a broken one goes back without a failed request",
        needs: &[Need::Rollouts],
        reads: &[],
        changes: EVERYTHING,
        part_of: None,
        run: Place::Inside(canary::run),
    },
    Scenario {
        name: "syncs",
        id: "R2",
        title: "a hundred changes in a row are synced, by Argo CD's own count",
        needs: &[],
        reads: &[Part::Dev],
        changes: &[],
        part_of: None,
        run: Place::Inside(syncs::run),
    },
    Scenario {
        name: "outage",
        id: "G4",
        title: "without Argo CD dev stays as it is, and gets the change when Argo CD returns",
        needs: &[],
        reads: &[],
        changes: EVERYTHING,
        part_of: None,
        run: Place::Inside(outage::run),
    },
    Scenario {
        name: "sync-rights",
        id: "B7",
        title: "who may sync an environment syncs no other one, and no commit of another branch",
        needs: &[],
        reads: &[],
        changes: EVERYTHING,
        part_of: None,
        run: Place::Inside(sync_rights::run),
    },
];

/// The scenario that takes a change through all environments.
const WHOLE: &str = "feature-to-production";

/// Scenarios that run only if they are named, because they take minutes: one builds a controller, one repeats itself.
const BY_NAME: [&str; 2] = ["canary", "syncs"];

/// All scenarios.
pub fn all() -> Vec<&'static Scenario> {
    SCENARIOS.iter().collect()
}

/// The scenarios with these names. If there are none: all but those of [`BY_NAME`] and those that are part of another.
///
/// # Errors
/// When there is no scenario with a name.
pub fn named(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        let all = SCENARIOS.iter();
        return Ok(all
            .filter(|scenario| scenario.part_of.is_none() && !BY_NAME.contains(&scenario.name))
            .collect());
    }
    names
        .iter()
        .map(|name| {
            SCENARIOS
                .iter()
                .find(|scenario| scenario.name == name)
                .with_context(|| {
                    let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
                    format!(
                        "there is no scenario {name:?}; the scenarios are {}",
                        known.join(", ")
                    )
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scenario_is_named() {
        let Err(error) = named(&["deplyo".into()]) else {
            panic!("deplyo is no scenario")
        };
        assert!(error.to_string().contains("\"deplyo\""), "{error}");
    }

    #[test]
    fn a_complete_run_leaves_out_what_runs_only_by_its_name() {
        assert!(named(&BY_NAME.map(str::to_owned)).is_ok());
        let mut all = named(&[]).unwrap().into_iter();
        assert!(all.all(|scenario| !BY_NAME.contains(&scenario.name)));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> =
            SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
