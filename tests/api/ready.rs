//! `/health` and `/ready`.

use rstest::rstest;
use serde_json::json;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{Service, command, deployment};

#[rstest]
fn the_service_is_ready_when_it_listens(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    assert_eq!(
        service.get("/ready").json(200),
        json!({ "status": "ready" })
    );
    assert_eq!(service.get("/health").json(200), json!({ "status": "ok" }));
}

#[test]
fn waits_for_the_schema_on_postgresql() {
    let service = Service::start(Postgres.empty(), &[]);
    service
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
    service
        .get("/api/v1/deployments")
        .assert_problem(503, "the database is unavailable; try again later");
    service.get("/health").json(200);
    assert!(
        command(
            "migrate",
            &[("WAYBILL_DATABASE_URL", &service.database.url)]
        )
        .status()
        .unwrap()
        .success()
    );
    service.get("/ready").json(200);
}

#[test]
fn is_not_ready_if_a_migration_is_missing() {
    let service = Postgres.serve();
    service
        .database
        .connect()
        .batch_execute("DELETE FROM __diesel_schema_migrations")
        .unwrap();
    service
        .get("/ready")
        .assert_problem(503, "the database lacks the migrations 2026");
}

#[rstest]
fn accepts_a_newer_schema(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let newer = "ALTER TABLE deployments ADD COLUMN region TEXT;
                 INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')";
    service.database.connect().batch_execute(newer).unwrap();
    service.get("/ready").json(200);
    let path = service.record(&deployment());
    service
        .patch(&path, &json!({ "status": "failed" }))
        .json(200);
    let settings = [("WAYBILL_DATABASE_URL", service.database.url.as_str())];
    assert!(command("migrate", &settings).status().unwrap().success());
}

#[test]
fn starts_without_a_server_and_is_not_ready() {
    let mut database = Postgres.empty();
    database.url = "postgres://waybill@127.0.0.1:1/waybill".to_owned();
    let service = Service::start(database, &[("WAYBILL_DATABASE_TIMEOUT_MS", "200")]);
    service
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
}
