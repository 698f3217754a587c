//! What this binary was built from.

/// The package's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, from `WAYBILL_COMMIT` at build time.
pub const COMMIT: &str = or_unknown(option_env!("WAYBILL_COMMIT"));

/// That commit's time, from `WAYBILL_BUILT_AT` at build time: not the clock's, so that a rebuild gives the same bytes.
pub const BUILT_AT: &str = or_unknown(option_env!("WAYBILL_BUILT_AT"));

const fn or_unknown(value: Option<&'static str>) -> &'static str {
    match value {
        Some(value) if !value.is_empty() => value,
        _ => "unknown",
    }
}
