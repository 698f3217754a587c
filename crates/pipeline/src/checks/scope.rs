//! What a change can affect, so that a check of code is left out where no code changed.

/// The part of the code to check.
#[derive(clap::Args)]
pub(crate) struct Scope {
    /// The packages that the change affects, separated by spaces, as `plan` prints them; an empty list leaves out the
    /// checks of Rust [default: all]
    #[arg(long, value_name = "NAMES")]
    packages: Option<String>,
}

/// Why a check of code is left out.
pub(super) const NO_CODE: &str = "the change affects no package";

impl Scope {
    /// Whether code can be affected.
    pub(super) fn has_code(&self) -> bool {
        let names = self.packages.as_deref();
        names.is_none_or(|names| !names.trim().is_empty())
    }
}
