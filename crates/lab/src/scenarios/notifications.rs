//! G9. An Application that is subscribed to the webhook waits for a sync, is deployed, becomes Degraded, is rolled back, and
//! fails to sync. A receiver hears of each event, with the commit, the image and the state.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use serde::Deserialize;
use serde_json::{Value, json};

use super::own_application::OwnApplication;
use super::receiver::Receiver;
use super::world::World;
use crate::argocd::api::{ArgoCd, NAMESPACE};
use crate::argocd::application::SyncStatus;
use crate::argocd::install::apply_settings;
use crate::cluster::kubectl::{apply, kubectl};
use crate::expect::{Verdict, eventually};
use crate::sandbox::credentials::random;
use crate::sandbox::network::NODE;

/// The Application, its project, its namespace, its database, and the owner of the settings.
const NAME: &str = "scenario-notifications";

/// The shortest deadline of a roll-out that the chart allows.
const DEADLINE_SECONDS: u32 = 35;

/// Longer than the pause between two comparisons of Argo CD, which is at most four minutes.
const LIMIT: Duration = Duration::from_secs(300);

pub(super) fn run(world: &World) -> Result<()> {
    let application = OwnApplication {
        project: NAME,
        ..OwnApplication::new(world, NAME, world.staging()?.entry)
    };
    remove(&application)?;
    // If this fails, the namespace shows why.
    hears_of_everything(world, &application)?;
    remove(&application)
}

/// The body of a webhook (`argocd/install/notifications.yaml`).
#[derive(Debug, Deserialize)]
struct Notification {
    event: String,
    application: String,
    namespace: String,
    commit: String,
    images: Vec<String>,
    sync: String,
    health: String,
    message: String,
}

fn hears_of_everything(world: &World, application: &OwnApplication) -> Result<()> {
    // Given a receiver that Argo CD sends to, and an Application that is subscribed,
    let token = random()?;
    let receiver = Receiver::start(NODE, &token)?;
    configure(world, &receiver.url, &token)?;
    permit(world, true)?;
    application.create_database()?;
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let dev = world.delivery.first();
    let image = world.forge.image(dev, &dev.branch)?;
    let good = values(image.digest.as_str());

    // when it is declared, then the receiver hears that it waits for a sync;
    declare(application, &good)?;
    let waiting = hear(&receiver, "promotion-waiting")?;
    ensure!(waiting.sync == "OutOfSync", "{waiting:?}");
    // when a person syncs it, that it is deployed;
    argocd.sync(NAME)?;
    let deployed = hear(&receiver, "deployed")?;
    let runs = |it: &Notification| {
        it.images
            .iter()
            .any(|name| name.ends_with(image.digest.as_str()))
    };
    ensure!(
        runs(&deployed) && deployed.health == "Healthy" && deployed.commit == waiting.commit,
        "{deployed:?}"
    );
    let history = application.find()?.status.history;
    let entry = history.last().context("it has no history")?.id;
    // when its next image does not exist, that it is Degraded;
    declare(application, &values(&format!("sha256:{}", "1".repeat(64))))?;
    wait_out_of_sync(application)?;
    argocd.sync(NAME)?;
    let degraded = hear(&receiver, "degraded")?;
    ensure!(degraded.health == "Degraded", "{degraded:?}");
    // when a person rolls it back, that it runs the earlier image;
    roll_back(&argocd, entry)?;
    let rolled_back = hear(&receiver, "rolled-back")?;
    ensure!(
        runs(&rolled_back) && rolled_back.health == "Healthy",
        "{rolled_back:?}"
    );
    // and when its project permits nothing, that the sync failed.
    permit(world, false)?;
    argocd.sync(NAME)?;
    let failed = eventually("the receiver hears why a sync failed", LIMIT, || {
        let found = heard(&receiver, "sync-failed")?;
        let mut found = found.into_iter();
        Ok(
            match found.find(|it| it.message.contains("not permitted")) {
                Some(failed) => Verdict::Met(failed),
                None => Verdict::Pending("it has not".into()),
            },
        )
    })?;
    ensure!(failed.namespace == NAME, "{failed:?}");
    Ok(())
}

/// Applies the repository's settings, with the address and the token of the receiver.
fn configure(world: &World, url: &str, token: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "argocd-notifications-secret"},
        "stringData": {"delivery-url": url, "delivery-token": token},
    });
    apply_settings(NAME, &secret.to_string())?;
    let clone = world.clone("notifications", world.trunk())?;
    for (file, manager) in FILES {
        let path = clone.join("argocd/install").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        apply_settings(manager, &text)?;
    }
    Ok(())
}

/// The files of `argocd/install`, each with an owner of its keys.
const FILES: [(&str, &str); 2] = [
    ("notifications.yaml", NAME),
    ("webhook.yaml", "scenario-notifications-webhook"),
];

fn remove(application: &OwnApplication) -> Result<()> {
    application.remove()?;
    let words = ["delete", "appproject", NAME, "--ignore-not-found", "-n"];
    kubectl(words).arg(NAMESPACE).run_quietly()?;
    // What an owner no longer declares is removed.
    let empty = |kind: &str, name: &str| {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}).to_string()
    };
    apply_settings(NAME, &empty("Secret", "argocd-notifications-secret"))?;
    FILES.iter().try_for_each(|(_, manager)| {
        apply_settings(manager, &empty("ConfigMap", "argocd-notifications-cm"))
    })
}

/// Creates or changes the project, so that it permits all kinds of objects or none.
fn permit(world: &World, all: bool) -> Result<()> {
    let every = json!([{"group": "*", "kind": "*"}]);
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": NAME},
        "spec": {
            "sourceRepos": [world.forge.url()],
            "destinations": [{"server": "https://kubernetes.default.svc", "namespace": NAME}],
            "clusterResourceWhitelist": if all { every.clone() } else { json!([]) },
            "namespaceResourceBlacklist": if all { json!([]) } else { every },
        },
    });
    apply(NAMESPACE, &project.to_string())
}

fn values(digest: &str) -> Value {
    json!({
        "image": {"digest": digest},
        "replicas": 1,
        "rollout": {"progressDeadlineSeconds": DEADLINE_SECONDS},
    })
}

fn declare(application: &OwnApplication, values: &Value) -> Result<()> {
    let subscribed = json!({"notifications.argoproj.io/subscribe.delivery": ""});
    application.set(values, &subscribed)
}

fn wait_out_of_sync(application: &OwnApplication) -> Result<()> {
    eventually("Argo CD sees the change", LIMIT, || {
        let sync = application.find()?.status.sync.status;
        Ok(match sync {
            SyncStatus::OutOfSync => Verdict::Met(()),
            other => Verdict::Pending(format!("it is {other:?}")),
        })
    })
}

/// Rolls back as soon as the sync before has ended.
fn roll_back(argocd: &ArgoCd, entry: i64) -> Result<()> {
    eventually("Argo CD rolls back", LIMIT, || {
        Ok(match argocd.rollback(NAME, entry) {
            Ok(()) => Verdict::Met(()),
            Err(error) => Verdict::Pending(format!("{error:#}")),
        })
    })
}

/// What the receiver has heard of an event of the Application.
fn heard(receiver: &Receiver, event: &str) -> Result<Vec<Notification>> {
    let mut found = Vec::new();
    for body in receiver.bodies() {
        let text = String::from_utf8_lossy(&body);
        let notification: Notification = serde_json::from_slice(&body)
            .with_context(|| format!("a notification is not as documented: {text}"))?;
        if notification.application == NAME && notification.event == event {
            found.push(notification);
        }
    }
    Ok(found)
}

/// Waits until the receiver hears of an event.
fn hear(receiver: &Receiver, event: &str) -> Result<Notification> {
    eventually(&format!("the receiver hears {event}"), LIMIT, || {
        let last = heard(receiver, event)?.pop();
        Ok(match last {
            Some(notification) => Verdict::Met(notification),
            None => Verdict::Pending("it has not".into()),
        })
    })
}
