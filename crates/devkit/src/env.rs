//! Environment variables as workflow runners and people set them.

/// Why a variable cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variable is not set, or empty.
    #[error("the variable {0} is not set")]
    Missing(String),
    /// The variable has a character that no HTTP header can have.
    #[error(
        "the variable {0} contains a line break or another control character: set it again, as one line"
    )]
    Control(String),
    /// The variable GITHUB_REPOSITORY has another form.
    #[error(
        "the variable {REPOSITORY} is `{}`: write the owner and the name, such as `acme/shop`", .0.escape_debug()
    )]
    Repository(String),
}

/// The variable that names the repository.
const REPOSITORY: &str = "GITHUB_REPOSITORY";

/// The repository at the forge that GITHUB_REPOSITORY names: `acme/shop`.
///
/// # Errors
/// When the variable is missing, or is not an owner and a name.
pub fn repository() -> Result<String, Error> {
    let name = require(REPOSITORY)?;
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(known);
    match name.split_once('/') {
        Some((owner, repository)) if is_part(owner) && is_part(repository) => Ok(name),
        _ => Err(Error::Repository(name)),
    }
}

/// The value of a variable that is set and not empty: workflow runners set what does not apply to the empty string.
/// White space around the value does not count, because a file or a command that gives it ends with a line break.
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().as_deref().and_then(clean)
}

/// As [`var`], for a variable that must be set.
///
/// # Errors
/// When the variable is missing or empty.
pub fn require(name: &str) -> Result<String, Error> {
    var(name).ok_or_else(|| Error::Missing(name.to_owned()))
}

/// As [`var`], for a token or another part of a login, which is one line.
///
/// # Errors
/// When the value contains a control character. The error does not show the value.
pub fn secret(name: &str) -> Result<Option<String>, Error> {
    var(name).map(|value| one_line(name, value)).transpose()
}

fn clean(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn one_line(name: &str, value: String) -> Result<String, Error> {
    match value.contains(char::is_control) {
        true => Err(Error::Control(name.to_owned())),
        false => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_value_does_not_count() {
        for (value, expected) in [
            ("x", Some("x")),
            ("x\n", Some("x")),
            (" x y\r\n", Some("x y")),
            ("a\nb\n", Some("a\nb")),
            (" \n", None),
            ("", None),
        ] {
            let read = clean(value);
            assert_eq!(read.as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn a_secret_is_one_line() {
        assert_eq!(one_line("T", "x y é".to_owned()).unwrap(), "x y é");
        for value in ["a\nb", "a\rb", "a\0b", "a\u{1b}b", "a\u{85}b"] {
            let error = one_line("T", value.to_owned()).unwrap_err().to_string();
            let expected = "the variable T contains a line break or another control character: set it again, as one line";
            assert_eq!(error, expected);
        }
        assert_eq!(secret("DEVKIT_NO_SUCH_VARIABLE").unwrap(), None);
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = require("DEVKIT_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert_eq!(error, "the variable DEVKIT_NO_SUCH_VARIABLE is not set");
        assert!(require("PATH").is_ok());
    }
}
