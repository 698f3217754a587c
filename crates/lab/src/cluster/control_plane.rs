//! The control plane: etcd, the API server and the controllers.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::api::{Kubernetes, URL};
use crate::sandbox::host::Host;
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::network::NODE;
use crate::sandbox::pki::CLIENTS;
use crate::sandbox::service::Service;

/// Starts etcd, the API server and the controllers.
///
/// # Errors
/// When the API server does not become ready.
pub(super) fn start(layout: &Layout, host: &Host) -> Result<()> {
    let variables = host.variables();
    let pki = format!("{INSIDE}/pki");
    fs::create_dir_all(layout.state("etcd"))?;
    for (file, ..) in CLIENTS {
        kubeconfig(layout, file)?;
    }

    etcd(&variables).ensure(layout)?;
    let apiserver = apiserver(&variables);
    apiserver.ensure(layout)?;
    let kubernetes = Kubernetes::new(layout)?;
    apiserver.wait(layout, Duration::from_secs(180), || kubernetes.ready())?;

    Service::new(
        "kube-controller-manager",
        &variables,
        &[
            "kube-controller-manager",
            &format!("--kubeconfig={INSIDE}/kubeconfig/kube-controller-manager"),
            &format!("--root-ca-file={pki}/kubernetes-ca.crt"),
            &format!("--service-account-private-key-file={pki}/service-account.key"),
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
    .ensure(layout)?;
    Service::new(
        "kube-scheduler",
        &variables,
        &[
            "kube-scheduler",
            &format!("--kubeconfig={INSIDE}/kubeconfig/kube-scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
    .ensure(layout)
}

fn etcd(variables: &[(String, String)]) -> Service<'static> {
    let pki = format!("{INSIDE}/pki");
    Service::new(
        "etcd",
        variables,
        &[
            "etcd",
            "--name=lab",
            &format!("--data-dir={INSIDE}/etcd/data"),
            "--listen-client-urls=https://127.0.0.1:2379",
            "--advertise-client-urls=https://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--client-cert-auth",
            &format!("--trusted-ca-file={pki}/etcd-ca.crt"),
            &format!("--cert-file={pki}/etcd.crt"),
            &format!("--key-file={pki}/etcd.key"),
            // The lab's data need not survive a crash.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )
}

fn apiserver(variables: &[(String, String)]) -> Service<'static> {
    let pki = format!("{INSIDE}/pki");
    Service::new(
        "kube-apiserver",
        variables,
        &[
            "kube-apiserver",
            &format!("--advertise-address={NODE}"),
            "--secure-port=6443",
            "--etcd-servers=https://127.0.0.1:2379",
            &format!("--etcd-cafile={pki}/etcd-ca.crt"),
            &format!("--etcd-certfile={pki}/apiserver-etcd.crt"),
            &format!("--etcd-keyfile={pki}/apiserver-etcd.key"),
            "--service-cluster-ip-range=10.43.0.0/16",
            &format!("--client-ca-file={pki}/kubernetes-ca.crt"),
            &format!("--tls-cert-file={pki}/kube-apiserver.crt"),
            &format!("--tls-private-key-file={pki}/kube-apiserver.key"),
            &format!("--kubelet-certificate-authority={pki}/kubernetes-ca.crt"),
            &format!("--kubelet-client-certificate={pki}/apiserver-kubelet.crt"),
            &format!("--kubelet-client-key={pki}/apiserver-kubelet.key"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            &format!("--service-account-key-file={pki}/service-account.pub"),
            &format!("--service-account-signing-key-file={pki}/service-account.key"),
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            "--profiling=false",
        ],
    )
}

/// Writes the kubeconfig of a client of the API server.
fn kubeconfig(layout: &Layout, file: &str) -> Result<()> {
    let folder = layout.state("kubeconfig");
    fs::create_dir_all(&folder)?;
    let pki = format!("{INSIDE}/pki");
    let text = include_str!("../../platform/kubeconfig.yaml")
        .replace("SERVER_URL", URL)
        .replace("AUTHORITY_FILE", &format!("{pki}/kubernetes-ca.crt"))
        .replace("CERTIFICATE_FILE", &format!("{pki}/{file}.crt"))
        .replace("KEY_FILE", &format!("{pki}/{file}.key"));
    fs::write(folder.join(file), text)
        .with_context(|| format!("cannot write the kubeconfig of {file}"))
}
