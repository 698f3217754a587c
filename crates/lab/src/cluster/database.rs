//! PostgreSQL on the node, for environments that run more than one replica.

use std::fs;
use std::os::unix::fs::chown;
use std::time::Duration;

use anyhow::Result;
use devkit::process::{Run, command};
use serde_json::json;

use super::kubectl::apply;
use crate::sandbox::credentials::Credentials;
use crate::sandbox::host::{Host, ids};
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::network::NODE;
use crate::sandbox::service::Service;

/// The environments that store their data here.
const ENVIRONMENTS: [&str; 2] = ["staging", "prod"];

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Starts the server, and creates a user and a database for each environment.
///
/// # Errors
/// When the server does not become ready.
pub fn ensure(layout: &Layout, host: &Host) -> Result<()> {
    let (uid, gid) = ids("postgres")?;
    let folder = layout.state("postgres");
    let data = format!("{INSIDE}/postgres/data");
    fs::create_dir_all(&folder)?;
    chown(&folder, Some(uid), Some(gid))?;
    let fresh = !folder.join("data/PG_VERSION").exists();
    if fresh {
        as_postgres(
            &format!("{BIN}/initdb"),
            &[
                "--pgdata",
                &data,
                "--auth-local=peer",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--no-sync",
            ],
        )?
        .run_quietly()?;
        fs::write(
            folder.join("data/pg_hba.conf"),
            // Each user has access to the database of the same name only.
            "local all postgres peer\nhost sameuser all 10.42.0.0/16 scram-sha-256\n",
        )?;
    }
    let server = Service {
        name: "postgres",
        argv: [
            &format!("{BIN}/postgres"),
            "-D",
            &data,
            "-c",
            &format!("listen_addresses={NODE}"),
            "-c",
            &format!("unix_socket_directories={INSIDE}/postgres"),
            // The lab's data need not survive a crash.
            "-c",
            "fsync=off",
        ]
        .map(str::to_owned)
        .to_vec(),
        variables: host.variables(),
        user: Some("postgres"),
    };
    server.ensure(layout)?;
    server.wait(layout, Duration::from_secs(30), || {
        sql("postgres", "select 1").is_ok()
    })?;
    let credentials = Credentials::ensure(layout)?;
    for environment in ENVIRONMENTS {
        let name = user(environment);
        let found = sql(
            "postgres",
            &format!("select 1 from pg_database where datname = '{name}'"),
        )?;
        if found.is_empty() {
            // On standard input: every process can read arguments.
            sql(
                "postgres",
                &format!(
                    "create role {name} login password '{}';\ncreate database {name} owner {name};\n",
                    credentials.database(environment)
                ),
            )?;
        }
    }
    Ok(())
}

/// The name of an environment's user and of its database.
fn user(environment: &str) -> String {
    format!("waybill_{environment}")
}

/// Creates the Secrets with the addresses of the databases, which the environments' values name. They must exist before
/// the first sync.
///
/// # Errors
/// When the API server refuses.
pub fn create_secrets(layout: &Layout) -> Result<()> {
    let credentials = Credentials::ensure(layout)?;
    for environment in ENVIRONMENTS {
        let (name, password) = (user(environment), credentials.database(environment));
        let namespace = format!("waybill-{environment}");
        let objects = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": "waybill-database", "namespace": namespace},
                    "stringData": {"url": format!("postgres://{name}:{password}@{NODE}/{name}")},
                },
            ],
        });
        apply(&namespace, &objects.to_string())?;
    }
    Ok(())
}

/// Runs a statement as the server's administrator and returns its rows.
fn sql(database: &str, statement: &str) -> Result<String> {
    as_postgres(
        "psql",
        &[
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--host",
            &format!("{INSIDE}/postgres"),
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            database,
        ],
    )?
    .read_with(statement.as_bytes())
    .map_err(Into::into)
}

fn as_postgres(program: &str, args: &[&str]) -> Result<std::process::Command> {
    let (uid, gid) = ids("postgres")?;
    let mut setpriv = command(
        "setpriv",
        [
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".into(),
            program.to_owned(),
        ],
    );
    setpriv.args(args).current_dir(format!("{INSIDE}/postgres"));
    Ok(setpriv)
}
