//! PostgreSQL on the node, for the environments whose values name a Secret with the address of a database.

use std::fs;
use std::os::unix::fs::chown;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::process::{Run, command};
use devkit::values::Values;
use serde_json::json;

use super::kubectl::{apply, kubectl};
use crate::sandbox::credentials::{Credentials, random};
use crate::sandbox::host::{Host, ids};
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::network::NODE;
use crate::sandbox::service::Service;

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// The Secret that an environment's values name. It holds the address of a database that belongs to the environment.
struct Database {
    namespace: String,
    secret: String,
    key: String,
    /// The name of both the database and the user that owns it.
    name: String,
    password: String,
}

impl Database {
    /// The databases that the values in the checkout ask for.
    fn all(layout: &Layout) -> Result<Vec<Self>> {
        let delivery = layout.delivery()?;
        let credentials = Credentials::ensure(layout)?;
        let mut all = Vec::new();
        for env in delivery.environments() {
            let path = layout.state("checkout").join(&env.values);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let values = Values::parse(text).with_context(|| env.values.clone())?;
            let Some(secret) = values.find("database.existingSecret.name") else {
                continue;
            };
            let key = values.find("database.existingSecret.key");
            all.push(Self {
                namespace: env.namespace.clone(),
                secret: secret.to_owned(),
                key: key.unwrap_or("url").to_owned(),
                name: delivery.application(env),
                password: credentials.database(&env.name),
            });
        }
        Ok(all)
    }
}

/// Starts the server, and creates a user and a database for each environment that needs one.
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
            // Each user has access to the database of the same name, and to those of the roles that it is a member of.
            "local all postgres peer\nhost samerole all 10.42.0.0/16 scram-sha-256\n",
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
    for Database { name, password, .. } in Database::all(layout)? {
        let found = sql(
            "postgres",
            &format!("select 1 from pg_database where datname = '{name}'"),
        )?;
        if found.is_empty() {
            // On standard input: every process can read arguments.
            sql(
                "postgres",
                &format!(
                    "create role \"{name}\" login password '{password}';\ncreate database \"{name}\" owner \"{name}\";\n"
                ),
            )?;
        }
    }
    Ok(())
}

/// Creates the Secrets with the addresses of the databases. They must exist before the first sync.
///
/// # Errors
/// When the API server refuses.
pub fn create_secrets(layout: &Layout) -> Result<()> {
    for database in Database::all(layout)? {
        let Database {
            namespace,
            secret,
            key,
            name,
            password,
        } = database;
        apply(
            &namespace,
            &secret_of(&namespace, &secret, &key, &name, &name, &password),
        )?;
    }
    Ok(())
}

/// A namespace, and the Secret in it with the address of a database.
fn secret_of(
    namespace: &str,
    secret: &str,
    key: &str,
    name: &str,
    user: &str,
    password: &str,
) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": secret, "namespace": namespace},
                "stringData": {key: format!("postgres://{user}:{password}@{NODE}/{name}")},
            },
        ],
    })
    .to_string()
}

/// Creates a namespace with the Secret that an environment's values name, and an empty database for it that has the
/// namespace's name. A database of an earlier call is deleted.
///
/// # Errors
/// When the values name no Secret, or a server refuses.
pub fn create_empty(namespace: &str, values: &Values) -> Result<()> {
    let password = random()?;
    delete(namespace)?;
    sql(
        "postgres",
        &format!(
            "create role \"{namespace}\" login password '{password}';\ncreate database \"{namespace}\" owner \"{namespace}\";\n"
        ),
    )?;
    set_address(namespace, values, namespace, &password)
}

/// Writes the address of the database that has the namespace's name into the Secret that an environment's values name.
///
/// # Errors
/// When the values name no Secret, or the API server refuses.
pub fn set_address(namespace: &str, values: &Values, user: &str, password: &str) -> Result<()> {
    let secret = values.find("database.existingSecret.name");
    let secret = secret.context("the values name no Secret with the address of a database")?;
    let key = values.find("database.existingSecret.key").unwrap_or("url");
    let secret = secret_of(namespace, secret, key, namespace, user, password);
    apply(namespace, &secret)
}

/// Deletes what [`create_empty`] has created for a namespace, the namespace too, if they exist.
///
/// # Errors
/// When a server refuses.
pub fn delete_with_namespace(namespace: &str) -> Result<()> {
    kubectl(["delete", "namespace", namespace, "--ignore-not-found"]).run_quietly()?;
    delete(namespace)
}

/// Deletes a database, the user that owns it and that user's members, if they exist.
///
/// # Errors
/// When the server refuses.
pub fn delete(name: &str) -> Result<()> {
    for statement in [
        format!("drop database if exists \"{name}\" with (force);"),
        format!("drop role if exists \"{name}-2\";"),
        format!("drop role if exists \"{name}\";"),
    ] {
        sql("postgres", &statement)?;
    }
    Ok(())
}

/// Everything in a database, as SQL.
///
/// # Errors
/// When the server refuses.
pub fn dump(name: &str) -> Result<String> {
    let host = format!("{INSIDE}/postgres");
    let mut dump = as_postgres("pg_dump", &["--host", &host, "--dbname", name])?;
    Ok(dump.read()?)
}

/// Runs a statement as the server's administrator and returns its rows.
///
/// # Errors
/// When the server refuses.
pub fn sql(database: &str, statement: &str) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERY: &str = r#"
owner = "acme"
name = "web-shop"
registry = "ghcr.io"

[[environment]]
name = "dev"
branch = "trunk"
promotion = "build"
sync = "automatic"
approvals = 0
image-tags = ["{commit}"]

[[environment]]
name = "qa"
branch = "qa"
promotion = "pull-request"
sync = "manual"
approvals = 1
namespace = "testing"

[[environment]]
name = "prod"
branch = "main"
promotion = "tag"
sync = "manual"
approvals = 2

[protection]
check = "ci / required"
maintainers = ["maintainers"]

[release]
image-tags = ["{version}"]
prerelease-image-tags = ["{version}"]
"#;

    #[test]
    fn an_environment_whose_values_name_a_secret_gets_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout {
            state: folder.path().into(),
            cache: folder.path().into(),
        };
        let chart = layout.state("checkout/charts/web-shop");
        fs::create_dir_all(&chart).unwrap();
        fs::write(layout.state("checkout/delivery.toml"), DELIVERY).unwrap();
        let secret = "database:\n  existingSecret:\n    name: web-shop-database\n";
        for (env, values) in [
            ("dev", "replicas: 1\n"),
            ("qa", secret),
            ("prod", &format!("{secret}    key: address\n")),
        ] {
            fs::write(chart.join(format!("values-{env}.yaml")), values).unwrap();
        }
        let all = Database::all(&layout).unwrap();
        let all: Vec<[&str; 4]> = all
            .iter()
            .map(|one| [&one.name, &one.namespace, &one.secret, &one.key].map(String::as_str))
            .collect();
        assert_eq!(
            all,
            [
                ["web-shop-qa", "testing", "web-shop-database", "url"],
                [
                    "web-shop-prod",
                    "web-shop-prod",
                    "web-shop-database",
                    "address"
                ],
            ]
        );
    }
}
