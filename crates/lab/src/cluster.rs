//! Kubernetes from its own programs: datastore, control plane and the one node.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{Run, command};
use crate::http::Client;
use crate::images;
use crate::layout::{INSIDE, Layout};
use crate::machine::{Host, NODE};
use crate::pki::CLIENTS;
use crate::service::Service;

/// Where programs find the cluster and an administrator's identity.
pub const KUBECONFIG: &str = "/run/lab/kubeconfig/admin";

const API: &str = "https://10.10.0.1:6443";

/// The cluster's API, as the administrator.
pub struct Kubernetes(Client);

impl Kubernetes {
    /// Connects.
    ///
    /// # Errors
    /// When the certificates can't be read.
    pub fn new(layout: &Layout) -> Result<Self> {
        let pki = |file: &str| layout.state("pki").join(file);
        Ok(Self(Client::new(
            API,
            &pki("kubernetes-ca.crt"),
            Some((&pki("admin.crt"), &pki("admin.key"))),
        )?))
    }

    /// Reads an object or list by its API path; `None` when it isn't there.
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub fn get(&self, path: &str) -> Result<Option<Value>> {
        self.0.find(path)
    }

    fn ready(&self) -> bool {
        self.0
            .send("GET", "/readyz", None)
            .is_ok_and(|(status, _)| status == 200)
    }
}

/// kubectl as the administrator.
pub fn kubectl<'a>(args: impl IntoIterator<Item = &'a str>) -> std::process::Command {
    let mut kubectl = command("kubectl", ["--kubeconfig", KUBECONFIG]);
    kubectl.args(args);
    kubectl
}

/// Applies manifests, taking over fields that others set.
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
    .read_with(manifests.as_bytes())
    .map(drop)
}

/// Brings up the datastore, the API server and the controllers.
///
/// # Errors
/// When one of them does not get ready.
pub fn control_plane(layout: &Layout, host: &Host) -> Result<()> {
    let environment = environment(host);
    let pki = format!("{INSIDE}/pki");
    fs::create_dir_all(layout.state("etcd"))?;
    for (file, ..) in CLIENTS {
        kubeconfig(layout, file)?;
    }

    etcd(&environment).ensure(layout)?;
    let apiserver = apiserver(&environment);
    apiserver.ensure(layout)?;
    let kubernetes = Kubernetes::new(layout)?;
    apiserver.wait(layout, Duration::from_secs(90), || kubernetes.ready())?;

    service(
        "kube-controller-manager",
        &environment,
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
    service(
        "kube-scheduler",
        &environment,
        &[
            "kube-scheduler",
            &format!("--kubeconfig={INSIDE}/kubeconfig/kube-scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
    .ensure(layout)
}

fn etcd(environment: &[(String, String)]) -> Service<'static> {
    let pki = format!("{INSIDE}/pki");
    service(
        "etcd",
        environment,
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
            // The lab's data is worth nothing after a crash.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )
}

fn apiserver(environment: &[(String, String)]) -> Service<'static> {
    let pki = format!("{INSIDE}/pki");
    service(
        "kube-apiserver",
        environment,
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

/// Brings up containerd with the lab's images.
///
/// # Errors
/// When it does not get ready, or an image can't be imported.
pub fn containers(layout: &Layout, host: &Host) -> Result<()> {
    for folder in ["containerd/certs.d/ghcr.io", "cni"] {
        fs::create_dir_all(layout.state(folder))?;
    }
    for (file, text) in [
        (
            "containerd/config.toml",
            include_str!("../platform/containerd.toml"),
        ),
        (
            "containerd/certs.d/ghcr.io/hosts.toml",
            include_str!("../platform/registry-mirror.toml"),
        ),
        ("cni/10-pods.conflist", include_str!("../platform/cni.json")),
    ] {
        fs::write(layout.state(file), text).with_context(|| format!("could not write {file}"))?;
    }
    let environment = environment(host);
    let containerd = service(
        "containerd",
        &environment,
        &[
            "containerd",
            "--config",
            &format!("{INSIDE}/containerd/config.toml"),
        ],
    );
    containerd.ensure(layout)?;
    let ctr = || {
        command(
            "ctr",
            [
                "--address",
                "/run/containerd/containerd.sock",
                "-n",
                "k8s.io",
            ],
        )
    };
    containerd.wait(layout, Duration::from_secs(30), || {
        ctr().arg("version").run().is_ok()
    })?;

    let have = ctr().args(["images", "ls", "-q"]).read()?;
    if have.contains(images::PAUSE) {
        return Ok(());
    }
    // The pause image last: where it is, the others are.
    for name in images::CLUSTER.iter().rev() {
        let archive = images::archive(&Layout::inside(), name)?;
        ctr().args(["images", "import"]).arg(&archive).run()?;
    }
    Ok(())
}

/// Brings up the node.
///
/// # Errors
/// When it does not get ready.
pub fn node(layout: &Layout, host: &Host) -> Result<()> {
    let environment = environment(host);
    for hierarchy in fs::read_dir("/sys/fs/cgroup")
        .context("could not list control groups")?
        .flatten()
    {
        let kind = hierarchy
            .file_type()
            .context("could not read a control group")?;
        if kind.is_dir() && hierarchy.path().join("cgroup.procs").exists() {
            let folder = hierarchy.path().join(&host.control_group);
            fs::create_dir_all(&folder)
                .with_context(|| format!("could not make {}", folder.display()))?;
        }
    }
    // A cpuset without processors admits no process (cgroup v1).
    let cpuset = std::path::Path::new("/sys/fs/cgroup/cpuset");
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let target = cpuset.join(&host.control_group).join(file);
        if target.exists() {
            fs::write(&target, fs::read_to_string(cpuset.join(file))?)?;
        }
    }
    fs::write(
        layout.state("kubelet.yaml"),
        include_str!("../platform/kubelet.yaml"),
    )?;
    let kubelet = service(
        "kubelet",
        &environment,
        &[
            "kubelet",
            &format!("--config={INSIDE}/kubelet.yaml"),
            &format!("--kubeconfig={INSIDE}/kubeconfig/kubelet"),
            &format!("--cgroup-root=/{}", host.control_group),
            "--hostname-override=lab",
            &format!("--node-ip={NODE}"),
        ],
    );
    kubelet.ensure(layout)?;
    service(
        "kube-proxy",
        &environment,
        &[
            "kube-proxy",
            &format!("--kubeconfig={INSIDE}/kubeconfig/kube-proxy"),
            "--proxy-mode=nftables",
            "--cluster-cidr=10.42.0.0/24",
            "--hostname-override=lab",
            // The machine's connection-tracking limits are not the lab's to change.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
    )
    .ensure(layout)?;
    let kubernetes = Kubernetes::new(layout)?;
    kubelet.wait(layout, Duration::from_secs(60), || node_ready(&kubernetes))
}

fn node_ready(kubernetes: &Kubernetes) -> bool {
    let Ok(Some(node)) = kubernetes.get("/api/v1/nodes/lab") else {
        return false;
    };
    node["status"]["conditions"]
        .as_array()
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        })
}

/// Applies what every cluster has and this one must be given: DNS, storage, and the API server's
/// right to speak to the node.
///
/// # Errors
/// When the API server refuses.
pub fn platform() -> Result<()> {
    let coredns = images::version("coredns")?;
    let dns = include_str!("../platform/dns.yaml").replace("VERSION", &coredns);
    for manifests in [
        include_str!("../platform/node.yaml"),
        &dns,
        include_str!("../platform/storage.yaml"),
    ] {
        apply("kube-system", manifests)?;
    }
    Ok(())
}

/// Waits for Deployments and StatefulSets to be rolled out.
///
/// # Errors
/// When one isn't in time; with the state of its pods.
pub fn rolled_out(namespace: &str, workloads: &[&str], limit: Duration) -> Result<()> {
    thread::scope(|scope| {
        let waits: Vec<_> = workloads
            .iter()
            .map(|workload| {
                scope.spawn(move || {
                    let timeout = format!("--timeout={}s", limit.as_secs());
                    kubectl(["-n", namespace, "rollout", "status", workload, &timeout]).run()
                })
            })
            .collect();
        for wait in waits {
            let result = wait
                .join()
                .unwrap_or_else(|_| bail!("a wait for {namespace} broke off"));
            if let Err(error) = result {
                let pods = kubectl(["-n", namespace, "get", "pods", "-o", "wide"])
                    .read()
                    .unwrap_or_default();
                return Err(error.context(format!("the pods of {namespace}:\n{pods}")));
            }
        }
        Ok(())
    })
}

/// The environment of all programs inside.
pub fn environment(host: &Host) -> Vec<(String, String)> {
    [
        ("PATH", host.search_path()),
        ("HOME", format!("{INSIDE}/home")),
        ("KUBECONFIG", KUBECONFIG.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn service<'a>(name: &'a str, environment: &[(String, String)], argv: &[&str]) -> Service<'a> {
    Service {
        name,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        environment: environment.to_vec(),
        user: None,
    }
}

fn kubeconfig(layout: &Layout, file: &str) -> Result<()> {
    let folder = layout.state("kubeconfig");
    fs::create_dir_all(&folder)?;
    let pki = format!("{INSIDE}/pki");
    let text = include_str!("../platform/kubeconfig.yaml")
        .replace("SERVER_URL", API)
        .replace("AUTHORITY_FILE", &format!("{pki}/kubernetes-ca.crt"))
        .replace("CERTIFICATE_FILE", &format!("{pki}/{file}.crt"))
        .replace("KEY_FILE", &format!("{pki}/{file}.key"));
    fs::write(folder.join(file), text)
        .with_context(|| format!("could not write the kubeconfig of {file}"))
}
