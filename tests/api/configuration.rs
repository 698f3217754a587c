//! Values of settings: connection URLs as libpq and `psql` read them, passwords that stay secret, and values from files.

use std::process::Output;

use diesel::{Connection, PgConnection};
use rstest::rstest;

use crate::support::Kind::{Postgres, Sqlite};
use crate::support::{Server, Service, command, output};

/// Runs a mode with a database URL and returns whether it succeeded, with all that it printed.
fn run(mode: &str, url: &str) -> (bool, String) {
    let settings = [
        ("WAYBILL_DATABASE_URL", url),
        ("WAYBILL_DATABASE_TIMEOUT_MS", "1000"),
        ("WAYBILL_HTTP_ADDR", "127.0.0.1:0"),
    ];
    let Output {
        status,
        stdout,
        stderr,
    } = output(command(mode, &settings));
    let printed = [stdout, stderr].concat();
    (status.success(), String::from_utf8(printed).unwrap())
}

#[rstest]
#[case("postgres://u:hunter2?hunter2@127.0.0.1:1/db")]
#[case("postgres://u:hunter2#hunter2@127.0.0.1:1/db")]
#[case("postgres://u:hunter2%hunter2@127.0.0.1:1/db")]
#[case("postgres://u:x@hunter2@127.0.0.1:1/db")]
#[case("postgres://u:x/hunter2@127.0.0.1:1/db")]
#[case("postgres://u:1/hunter2@127.0.0.1:1/db")]
#[case("postgres://u:hunter2:hunter2@127.0.0.1:1/db?")]
#[case("postgres://u@127.0.0.1:1/db?password=hunter2@hunter2&")]
#[case("postgres://u@127.0.0.1:1/db?pass%77ord=hunter2")]
#[case("postgres://u@127.0.0.1:1/db?password=x&hunter2")]
#[case("postgres://u@127.0.0.1:1/db?password=x&hunter2=1")]
#[case("postgres://u@127.0.0.1:1/db?sslpassword=hunter2")]
#[case("POSTGRES://u:hunter2@127.0.0.1:1/db")]
#[case("postgres:/u:hunter2@127.0.0.1:1/db")]
#[case("jdbc:postgresql://u:hunter2@127.0.0.1:1/db")]
#[case("mysql://u:hunter2@127.0.0.1:1/db")]
#[case("\u{feff}postgres://u:hunter2@127.0.0.1:1/db")]
#[case("postgres://u:hunter2@127.0.0.1:1/db\npostgres://u:hunter2@h/db")]
fn never_prints_a_password(#[values("check-config", "migrate")] mode: &str, #[case] url: &str) {
    let (_, printed) = run(mode, url);
    assert!(printed.contains("WAYBILL_DATABASE_URL"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn never_logs_a_password() {
    let mut database = Postgres.empty();
    database.url = "postgres://u:hunter2?hunter2@127.0.0.1:1/hunter3?".to_owned();
    let service = Service::start(database, &[("WAYBILL_DATABASE_TIMEOUT_MS", "200")]);
    service
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
    service.wait_for_log(&["WARN", "failed to connect"]);
    assert!(!service.log().contains("hunter2"), "{}", service.log());
}

/// `PORT` and `NAME` are those of a database on the server of the tests, which accepts any password.
#[rstest]
#[case("postgres://postgres:p?w@127.0.0.1:PORT/NAME", true)]
#[case("postgres://postgres:p#w@127.0.0.1:PORT/NAME?", true)]
#[case(
    "postgres://postgres:p%25w@127.0.0.1:PORT/NAME?application_name=a&",
    true
)]
#[case("postgres://postgres:it's\\@127.0.0.1:PORT/NAME", true)]
#[case("postgresql://:x@127.0.0.1:PORT/NAME?user=postgres", true)]
#[case("postgresql:///NAME?host=127.0.0.1&port=PORT&user=postgres", true)]
#[case(
    "postgresql:///?host=127.0.0.1&port=PORT&user=postgres&dbname=NAME",
    true
)]
#[case("postgres://postgres@127.0.0.1:1,127.0.0.1:PORT/NAME", true)]
#[case("postgres://postgres@127.0.0.1:PORT/NAME?ssl=true", true)]
#[case(
    "postgres://postgres@127.0.0.1:PORT/NAME?sslmode=require&connect_timeout=1",
    true
)]
#[case("postgres://%70ostgres@127.0.0.1:PORT/NAME", true)]
#[case("postgres://postgres:p%w@127.0.0.1:PORT/NAME", false)]
#[case("postgres://postgres:p@w@127.0.0.1:PORT/NAME", false)]
#[case("postgres://postgres@127.0.0.1:PORT/NAME?nonsense=1", false)]
#[case("postgres://postgres@127.0.0.1:PORT/NAME?application_name", false)]
#[case("postgres://postgres@127.0.0.1:PORT/NAME?application_name=a=b", false)]
fn accepts_the_urls_that_libpq_accepts(#[case] url: &str, #[case] accepted: bool) {
    let server = Server::get();
    let database = Postgres.empty().url;
    let name = database.rsplit('/').next().unwrap();
    let url = url
        .replace("PORT", &server.port.to_string())
        .replace("NAME", name);
    assert_eq!(PgConnection::establish(&url).is_ok(), accepted);
    let (migrated, printed) = run("migrate", &url);
    assert_eq!(migrated, accepted, "{printed}");
}

#[test]
fn a_line_break_after_the_path_is_not_a_part_of_it() {
    let database = Sqlite.empty();
    let (migrated, printed) = run("migrate", &format!("{}\n", database.url));
    assert!(migrated, "{printed}");
    let path = database.url.strip_prefix("sqlite://").unwrap();
    assert!(std::path::Path::new(path).exists());
    assert!(!std::path::Path::new(&format!("{path}\n")).exists());
}

#[rstest]
#[case("?mode=rwc", "no parameters")]
#[case("?cache=shared&mode=memory", "no parameters")]
#[case("#x", "no parameters")]
#[case("%20x", "not percent-encoded")]
#[case("\nx", "invisible character U+000A")]
#[case("/", "a folder")]
fn refuses_an_sqlite_url_that_would_name_another_file(
    #[values("serve", "migrate", "check-config")] mode: &str,
    #[case] suffix: &str,
    #[case] reason: &str,
) {
    let database = Sqlite.empty();
    let (accepted, printed) = run(mode, &format!("{}{suffix}", database.url));
    assert!(!accepted, "{printed}");
    assert!(
        printed.contains("WAYBILL_DATABASE_URL: ") && printed.contains(reason),
        "{printed}"
    );
    let folder = std::path::Path::new(database.url.strip_prefix("sqlite://").unwrap());
    let mut files = std::fs::read_dir(folder.parent().unwrap()).unwrap();
    assert!(files.next().is_none());
}

#[rstest]
#[case("\r\n")]
#[case(" \n\n")]
#[case("\t")]
fn white_space_around_a_value_is_not_a_part_of_it(#[case] space: &str) {
    let database = Sqlite.empty();
    let (migrated, printed) = run("migrate", &format!("{space}{}{space}", database.url));
    assert!(migrated, "{printed}");
    let path = std::path::Path::new(database.url.strip_prefix("sqlite://").unwrap());
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(
        names
            .into_iter()
            .all(|name| name.starts_with("waybill.db") && !name.contains(char::is_whitespace))
    );
    assert!(path.exists());
}

#[rstest]
#[case("\u{feff}")]
#[case("\u{200b}")]
#[case("\u{202e}")]
fn an_invisible_character_is_not_a_part_of_a_file_name(#[case] invisible: &str) {
    let database = Sqlite.empty();
    let (accepted, printed) = run("migrate", &format!("{}{invisible}", database.url));
    assert!(
        !accepted && printed.contains("WAYBILL_DATABASE_URL: "),
        "{printed}"
    );
    let path = std::path::Path::new(database.url.strip_prefix("sqlite://").unwrap());
    assert!(
        std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .next()
            .is_none()
    );
}
