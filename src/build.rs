//! The source that this binary was built from.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The Git commit, read from `WAYBILL_COMMIT` at build time, or `unknown`.
pub const COMMIT: &str = or_unknown(option_env!("WAYBILL_COMMIT"));

/// The time of that commit, read from `WAYBILL_BUILT_AT` at build time, or `unknown`. It is not the time of the build,
/// so that a rebuild produces the same bytes.
pub const BUILT_AT: &str = or_unknown(option_env!("WAYBILL_BUILT_AT"));

const fn or_unknown(value: Option<&'static str>) -> &'static str {
    match value {
        Some(value) if !value.is_empty() => value,
        _ => "unknown",
    }
}
