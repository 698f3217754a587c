//! `/version`.

use rstest::rstest;
use serde_json::json;

use crate::support::Kind::{self, Postgres, Sqlite};

#[rstest]
fn reports_the_source_of_the_build(#[values(Sqlite, Postgres)] kind: Kind) {
    // The tests are compiled in the same environment as the program.
    let built_from = |variable: Option<&'static str>| {
        variable
            .filter(|value| !value.is_empty())
            .unwrap_or("unknown")
    };
    assert_eq!(
        kind.serve().get("/version").json(200),
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": built_from(option_env!("WAYBILL_COMMIT")),
            "built_at": built_from(option_env!("WAYBILL_BUILT_AT")),
        })
    );
}
