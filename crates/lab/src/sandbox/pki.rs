//! The lab's certificates: generated for each lab, kept in its state folder, trusted only inside.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::civil::Date;
use jiff::{ToSpan, Zoned};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::layout::Layout;
use super::network::{FORGE, NODE};

/// A certificate authority.
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

    /// Writes the authority's own certificate as `<file>.crt`.
    fn write(&self, folder: &Path, file: &str) -> Result<()> {
        let pem = self.certificate.pem();
        write(&folder.join(format!("{file}.crt")), &pem, 0o644)
    }

    /// Issues a certificate and writes it and its key as `<file>.crt` and `<file>.key`.
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

/// The subject of a certificate.
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

/// The clients of the API server, each with its own certificate: file, user, group.
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

/// Generates all keys and certificates of a new lab.
///
/// # Errors
/// When a file cannot be written.
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
    // etcd trusts a separate authority: a client of the API server must not have access to etcd.
    for_etcd(&work)?;
    for_the_web(&work)?;
    for_service_accounts(&work)?;
    fs::rename(&work, &folder).context("cannot move the certificates into place")
}

fn for_kubernetes(folder: &Path) -> Result<()> {
    let authority = Authority::new("lab Kubernetes")?;
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
    let authority = Authority::new("lab etcd")?;
    authority.write(folder, "etcd-ca")?;
    authority.issue(folder, "etcd", &server("etcd", &["127.0.0.1", "localhost"]))?;
    authority.issue(folder, "apiserver-etcd", &client("kube-apiserver", None))
}

fn for_the_web(folder: &Path) -> Result<()> {
    let authority = Authority::new("lab web")?;
    authority.write(folder, "web-ca")?;
    let forge = server("forge", &[FORGE, NODE, "localhost", "127.0.0.1"]);
    authority.issue(folder, "forge", &forge)
}

/// The key that Kubernetes signs service account tokens with.
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
    let midnight = |day: Date| date_time_ymd(day.year().into(), day.month() as u8, day.day() as u8);
    let today = Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date();
    params.not_before = midnight(today.checked_sub(1.day())?);
    params.not_after = midnight(today.checked_add(365.days())?);
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
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes every program inside trust the forge's certificate.
///
/// # Errors
/// When the bundle of trusted certificates cannot be written.
pub fn trust(layout: &Layout) -> Result<()> {
    let authority = fs::read_to_string(layout.state("pki/web-ca.crt"))?;
    let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let mut text = fs::read_to_string(bundle).unwrap_or_default();
    // A lab that was stopped has added it before.
    if text.contains(&authority) {
        return Ok(());
    }
    text.push_str(&authority);
    fs::write(bundle, text).with_context(|| format!("cannot write {}", bundle.display()))
}
