//! The lab's certificates: made anew for each lab, kept in its folder, trusted only inside.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::sandbox::layout::Layout;
use crate::sandbox::machine::{FORGE, NODE};

/// Someone who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = params(name, None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// Writes `<file>.crt`, for those who shall trust this authority.
    fn write(&self, folder: &Path, file: &str) -> Result<()> {
        let pem = self.certificate.pem();
        write(&folder.join(format!("{file}.crt")), &pem, 0o644)
    }

    /// Writes `<file>.crt` and `<file>.key`.
    fn issue(&self, folder: &Path, file: &str, who: &Subject) -> Result<()> {
        let mut params = params(who.name, who.group)?;
        params.subject_alt_names = who
            .hosts
            .iter()
            .map(|host| {
                Ok(match host.parse() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName((*host).try_into()?),
                })
            })
            .collect::<Result<_>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = if who.hosts.is_empty() {
            vec![ExtendedKeyUsagePurpose::ClientAuth]
        } else {
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ]
        };
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write(
            &folder.join(format!("{file}.crt")),
            &certificate.pem(),
            0o644,
        )?;
        write(
            &folder.join(format!("{file}.key")),
            &key.serialize_pem(),
            0o600,
        )
    }
}

/// Whom a certificate names.
struct Subject {
    name: &'static str,
    group: Option<&'static str>,
    hosts: &'static [&'static str],
}

const fn client(name: &'static str, group: Option<&'static str>) -> Subject {
    Subject {
        name,
        group,
        hosts: &[],
    }
}

const fn server(name: &'static str, hosts: &'static [&'static str]) -> Subject {
    Subject {
        name,
        group: None,
        hosts,
    }
}

/// Those who speak to the API server, each with a certificate of its own: file, user, group.
/// Source: Kubernetes, "PKI certificates and requirements".
pub const CLIENTS: &[(&str, &str, Option<&str>)] = &[
    ("admin", "lab:admin", Some("system:masters")),
    (
        "kube-controller-manager",
        "system:kube-controller-manager",
        None,
    ),
    ("kube-scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
    ("kubelet", "system:node:lab", Some("system:nodes")),
];

/// Makes all keys and certificates, once.
///
/// # Errors
/// When a file can't be written.
pub fn ensure(layout: &Layout) -> Result<()> {
    let folder = layout.state("pki");
    if folder.is_dir() {
        return Ok(());
    }
    let work = layout.state("pki.part");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;

    for_kubernetes(&work)?;
    // The datastore trusts another authority: who may speak to the API may not speak to etcd.
    for_etcd(&work)?;
    for_the_web(&work)?;
    for_service_accounts(&work)?;
    fs::rename(&work, &folder).context("could not put the certificates in place")
}

fn for_kubernetes(folder: &Path) -> Result<()> {
    let authority = Authority::new("waybill lab Kubernetes")?;
    authority.write(folder, "kubernetes-ca")?;
    let names = &[
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "10.43.0.1",
        NODE,
        "127.0.0.1",
        "localhost",
    ];
    authority.issue(folder, "kube-apiserver", &server("kube-apiserver", names))?;
    let kubelet = server("system:node:lab", &["lab", NODE]);
    authority.issue(folder, "kubelet-server", &kubelet)?;
    let apiserver = client("lab:apiserver", None);
    authority.issue(folder, "apiserver-kubelet", &apiserver)?;
    for (file, name, group) in CLIENTS {
        authority.issue(folder, file, &client(name, *group))?;
    }
    Ok(())
}

fn for_etcd(folder: &Path) -> Result<()> {
    let authority = Authority::new("waybill lab etcd")?;
    authority.write(folder, "etcd-ca")?;
    authority.issue(folder, "etcd", &server("etcd", &["127.0.0.1", "localhost"]))?;
    authority.issue(folder, "apiserver-etcd", &client("kube-apiserver", None))
}

fn for_the_web(folder: &Path) -> Result<()> {
    let authority = Authority::new("waybill lab web")?;
    authority.write(folder, "web-ca")?;
    let forge = server("forge", &[FORGE, NODE, "localhost", "127.0.0.1"]);
    authority.issue(folder, "forge", &forge)
}

/// The key that Kubernetes signs the tokens of pods with.
fn for_service_accounts(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let (private, public) = (key.serialize_pem(), key.public_key_pem());
    write(&folder.join("service-account.key"), &private, 0o600)?;
    write(&folder.join("service-account.pub"), &public, 0o644)
}

fn params(name: &str, group: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::days(365);
    Ok(params)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    use std::io::Write;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("could not write {}", path.display()))
}
