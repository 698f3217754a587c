//! Environment variables as workflow runners set them.

/// A variable that must be set is missing.
#[derive(Debug, thiserror::Error)]
#[error("the variable {0} is not set")]
pub struct Missing(pub String);

/// The value of a variable that is set and not empty: workflow runners set what does not apply to the empty string.
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// As [`var`], for a variable that must be set.
///
/// # Errors
/// When the variable is missing or empty.
pub fn require(name: &str) -> Result<String, Missing> {
    var(name).ok_or_else(|| Missing(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let error = require("DEVKIT_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert_eq!(error, "the variable DEVKIT_NO_SUCH_VARIABLE is not set");
        assert!(require("PATH").is_ok());
    }
}
