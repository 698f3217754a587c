//! Dependencies that no source file uses, found by cargo-machete. Its output is text only.

use crate::tools::{self, Step};
use anyhow::{Result, ensure};
use devkit::process::{Run, line};
use std::path::Path;

/// The manifest, the line and the name of each unused dependency.
pub(super) fn unused(root: &Path) -> Result<Vec<String>> {
    let mut machete = tools::command(root, Step::Quality, "cargo-machete", &["."])?;
    let output = machete.capture()?;
    let [said, complaints] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // Exit status 1 means that there are some. An unreadable manifest is only mentioned in the output.
    let done = matches!(output.status.code(), Some(0 | 1));
    ensure!(
        done && !complaints.contains("error when handling"),
        "`{}` failed ({}): {}",
        line(&machete),
        output.status,
        complaints.trim()
    );
    let unused = parse(&said);
    ensure!(
        unused.is_empty() == output.status.success(),
        "`{}` does not print its findings as version 0.9 does: {said}",
        line(&machete)
    );
    let place = |(manifest, name): (String, String)| {
        let text = std::fs::read_to_string(root.join(&manifest)).unwrap_or_default();
        match line_of(&text, &name) {
            Some(number) => format!("{manifest}:{number}: {name}"),
            None => format!("{manifest}: {name}"),
        }
    };
    Ok(unused.into_iter().map(place).collect())
}

/// Pairs of a manifest and a name. The output has lines `PACKAGE -- MANIFEST:`, each followed by lines with a tab and a
/// name.
fn parse(said: &str) -> Vec<(String, String)> {
    let mut manifest = "";
    let mut unused = Vec::new();
    for line in said.lines() {
        if let Some(name) = line.strip_prefix('\t') {
            unused.push((manifest.to_owned(), name.trim().to_owned()));
        } else if let Some((_, file)) = line.split_once(" -- ") {
            manifest = file.trim_end_matches(':').trim_start_matches("./");
        }
    }
    unused
}

/// The line of a manifest with `NAME = …` or `NAME.workspace = …`.
fn line_of(manifest: &str, name: &str) -> Option<usize> {
    let names = |line: &str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    manifest.lines().position(names).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_dependency_is_found() {
        let manifest = "[dependencies]\nserde_json = \"1\"\nserde.workspace = true\nhex=\"1\"\n";
        assert_eq!(line_of(manifest, "serde"), Some(3));
        assert_eq!(line_of(manifest, "serde_json"), Some(2));
        assert_eq!(line_of(manifest, "hex"), Some(4));
        assert_eq!(line_of(manifest, "json"), None);
    }
}
