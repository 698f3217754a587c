//! TLS between the service and PostgreSQL.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};

use crate::support::Kind::Postgres;
use crate::support::{Server, Service, wait_until};

/// The validity of a certificate, which began two days ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    EndsTomorrow,
    EndedYesterday,
}

/// Writes a self-signed certificate for 127.0.0.1 and its key to the data directory of a PostgreSQL server.
pub(crate) fn write_certificate(data: &Path, validity: Validity) {
    let key = EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap();
    let key = PKey::from_ec_key(key).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "127.0.0.1").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let days_from_now = |days: i64| {
        let seconds = i64::try_from(now.as_secs()).unwrap() + days * 24 * 60 * 60;
        Asn1Time::from_unix(seconds).unwrap()
    };
    let end = match validity {
        Validity::EndsTomorrow => 1,
        Validity::EndedYesterday => -1,
    };
    certificate.set_not_before(&days_from_now(-2)).unwrap();
    certificate.set_not_after(&days_from_now(end)).unwrap();
    certificate
        .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
        .unwrap();
    let address = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&certificate.x509v3_context(None, None))
        .unwrap();
    certificate.append_extension(address).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    fs::write(
        data.join("server.crt"),
        certificate.build().to_pem().unwrap(),
    )
    .unwrap();
    fs::write(
        data.join("server.key"),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
    .unwrap();
    fs::set_permissions(data.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn serve_with_tls(parameters: &str) -> Service {
    let mut database = Postgres.migrated();
    database.url.push_str(parameters);
    Service::start(database, &[("WAYBILL_DATABASE_TIMEOUT_MS", "2000")])
}

#[derive(QueryableByName)]
struct Encrypted {
    #[diesel(sql_type = sql_types::Bool)]
    ssl: bool,
}

#[test]
fn encrypts_the_connection_if_required() {
    let service = serve_with_tls("?sslmode=require");
    service.get("/ready").json(200);
    let connections: Vec<Encrypted> = sql_query(
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name = 'waybill' AND datname = current_database()",
    )
    .load(&mut PgConnection::establish(&service.database.url).unwrap())
    .unwrap();
    assert!(!connections.is_empty());
    assert!(connections.iter().all(|connection| connection.ssl));
}

/// The tests that verify the certificate run one after the other, because one replaces it.
static CERTIFICATE: Mutex<()> = Mutex::new(());

#[test]
fn verifies_the_certificate_if_required() {
    let _certificate = CERTIFICATE.lock().unwrap();
    let certificate = Server::get().certificate();
    let trusted = serve_with_tls(&format!(
        "?sslmode=verify-full&sslrootcert={}",
        certificate.display()
    ));
    trusted.get("/ready").json(200);
    let untrusted = serve_with_tls("?sslmode=verify-full&sslrootcert=system");
    untrusted
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
    untrusted.wait_for_log(&["certificate verify failed"]);
}

#[test]
fn an_expired_certificate() {
    let _certificate = CERTIFICATE.lock().unwrap();
    let server = Server::get();
    let path = server.certificate();
    let service = serve_with_tls(&format!(
        "?sslmode=verify-full&sslrootcert={}",
        path.display()
    ));
    service.get("/ready").json(200);

    server.replace_certificate(Validity::EndedYesterday);
    // Open sessions remain, so the fault shows when the pool needs a new one.
    let close = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{}'",
        service.database.name()
    );
    wait_until("the certificate to be refused", || {
        server.execute(&close);
        service.get("/ready").status == 503
    });
    service
        .get("/api/v1/deployments")
        .assert_problem(503, "the database is unavailable; try again later");
    service.get("/health").json(200);
    service.wait_for_log(&["WARN", "certificate verify failed"]);

    server.replace_certificate(Validity::EndsTomorrow);
    wait_until("the service to be ready again", || {
        service.get("/ready").status == 200
    });
}
