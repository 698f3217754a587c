//! kubectl as the administrator.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Error, Result, bail};
use devkit::process::{Run, command};

use crate::sandbox::layout::KUBECONFIG;

/// kubectl as the administrator.
pub fn kubectl<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut kubectl = command("kubectl", ["--kubeconfig", KUBECONFIG]);
    kubectl.args(args);
    kubectl
}

/// Applies manifests on the server, and takes over fields that other managers set.
///
/// # Errors
/// When the API server refuses.
pub fn apply(namespace: &str, manifests: &str) -> Result<()> {
    kubectl([
        "apply",
        "--server-side",
        "--force-conflicts",
        "-n",
        namespace,
        "-f",
        "-",
    ])
    .read_with(manifests.as_bytes())?;
    Ok(())
}

/// Waits until Deployments and StatefulSets are rolled out.
///
/// # Errors
/// When one is not rolled out in time; the error shows the pods of the namespace.
pub fn wait_rolled_out(namespace: &str, workloads: &[&str], limit: Duration) -> Result<()> {
    thread::scope(|scope| {
        let waits: Vec<_> = workloads
            .iter()
            .map(|workload| {
                scope.spawn(move || {
                    let timeout = format!("--timeout={}s", limit.as_secs());
                    kubectl(["-n", namespace, "rollout", "status", workload, &timeout])
                        .run_quietly()
                })
            })
            .collect();
        for wait in waits {
            let Ok(result) = wait.join() else {
                bail!("waiting for the roll-outs in {namespace} failed");
            };
            if let Err(error) = result {
                let pods = kubectl(["-n", namespace, "get", "pods", "-o", "wide"])
                    .read()
                    .unwrap_or_default();
                return Err(Error::from(error).context(format!("the pods of {namespace}:\n{pods}")));
            }
        }
        Ok(())
    })
}
