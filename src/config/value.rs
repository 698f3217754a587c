use std::ffi::OsString;

/// Whether a character has no glyph: control characters, and those that editors and clipboards add to text, such as the
/// zero-width ones, the byte order mark and those that change the direction of text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}

/// Removes white space around a value, because a value from a file often ends with a line break. No setting has a use for
/// white space at its ends or for invisible characters inside, so the latter are an error.
pub(super) fn clean(value: OsString) -> Result<String, String> {
    let value = value
        .into_string()
        .map_err(|_| "the value is not valid UTF-8".to_owned())?;
    let value = value.trim();
    match value.chars().find(|c| is_invisible(*c)) {
        Some(c) => Err(format!(
            "the value contains the invisible character U+{:04X}; remove it",
            u32::from(c)
        )),
        None => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn removes_white_space_at_the_ends() {
        for value in ["json", "json\n", "json\r\n\n", " \tjson", "json\u{a0}"] {
            assert_eq!(clean(value.into()).unwrap(), "json", "{value:?}");
        }
        assert_eq!(clean("\n".into()).unwrap(), "");
        assert_eq!(clean("my data".into()).unwrap(), "my data");
    }

    #[test]
    fn refuses_invisible_characters() {
        for (value, character) in [
            ("sqlite://a\nb.db", "U+000A"),
            ("\u{feff}sqlite://x.db", "U+FEFF"),
            ("sqlite://x\u{200b}.db", "U+200B"),
            ("sqlite://x\u{7f}.db", "U+007F"),
            ("sqlite://x\u{202e}.db", "U+202E"),
            ("sqlite://x\u{ad}.db", "U+00AD"),
        ] {
            let error = clean(value.into()).unwrap_err();
            assert!(error.contains(character), "{error}");
        }
    }

    #[test]
    fn refuses_a_value_that_is_not_utf_8() {
        let error = clean(OsString::from_vec(b"sqlite://caf\xe9.db".to_vec())).unwrap_err();
        assert_eq!(error, "the value is not valid UTF-8");
    }
}
