//! The source that a binary was built from.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The source that a binary was built from. The binary knows it and not this library, which need not be compiled again for
/// a commit that does not change it.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The Git commit, or `unknown`.
    pub commit: &'static str,
    /// The time of that commit, or `unknown`. It is not the time of the build, so that a rebuild produces the same bytes.
    pub built_at: &'static str,
}

impl Build {
    /// From the values of variables at build time.
    pub const fn new(commit: Option<&'static str>, built_at: Option<&'static str>) -> Self {
        Self {
            commit: or_unknown(commit),
            built_at: or_unknown(built_at),
        }
    }
}

const fn or_unknown(value: Option<&'static str>) -> &'static str {
    match value {
        Some(value) if !value.is_empty() => value,
        _ => "unknown",
    }
}
