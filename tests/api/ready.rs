//! `/health` and `/ready`.

use rstest::rstest;
use serde_json::json;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{Waybill, command, deployment};

#[rstest]
fn the_service_is_ready_when_it_listens(#[values(Sqlite, Postgres)] kind: Kind) {
    let waybill = kind.serve();
    assert_eq!(
        waybill.get("/ready").json(200),
        json!({ "status": "ready" })
    );
    assert_eq!(waybill.get("/health").json(200), json!({ "status": "ok" }));
}

#[test]
fn waits_for_the_schema_on_postgresql() {
    let waybill = Waybill::start(Postgres.empty(), &[]);
    waybill
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
    waybill
        .get("/api/v1/deployments")
        .assert_problem(503, "the database is unavailable; try again later");
    waybill.get("/health").json(200);
    assert!(
        command(
            "migrate",
            &[("WAYBILL_DATABASE_URL", &waybill.database.url)]
        )
        .status()
        .unwrap()
        .success()
    );
    waybill.get("/ready").json(200);
}

#[test]
fn is_not_ready_if_a_migration_is_missing() {
    let waybill = Postgres.serve();
    waybill
        .database
        .connect()
        .batch_execute("DELETE FROM __diesel_schema_migrations")
        .unwrap();
    waybill
        .get("/ready")
        .assert_problem(503, "the database lacks the migrations 2026");
}

#[rstest]
fn accepts_a_newer_schema(#[values(Sqlite, Postgres)] kind: Kind) {
    let waybill = kind.serve();
    let newer = "ALTER TABLE deployments ADD COLUMN region TEXT;
                 INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')";
    waybill.database.connect().batch_execute(newer).unwrap();
    waybill.get("/ready").json(200);
    let path = waybill.record(&deployment());
    waybill
        .patch(&path, &json!({ "status": "failed" }))
        .json(200);
    let settings = [("WAYBILL_DATABASE_URL", waybill.database.url.as_str())];
    assert!(command("migrate", &settings).status().unwrap().success());
}

#[test]
fn starts_without_a_server_and_is_not_ready() {
    let mut database = Postgres.empty();
    database.url = "postgres://waybill@127.0.0.1:1/waybill".to_owned();
    let waybill = Waybill::start(database, &[("WAYBILL_DATABASE_TIMEOUT_MS", "200")]);
    waybill
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
}
