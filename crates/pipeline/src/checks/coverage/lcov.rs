//! Line counts from an LCOV report (`man geninfo` of <https://github.com/linux-test-project/lcov>, section FILES).

use super::packages::Package;
use super::report::{LCOV, LineCount};
use crate::project::tracked;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// The line counts of the packages' files in a report. Tests inside the files do not count. All packages of the project
/// are needed to tell files with the same end of the path apart.
pub(super) fn line_counts(
    root: &Path,
    packages: &[Package],
    lcov: &str,
) -> Result<BTreeMap<String, LineCount>> {
    let sources = tracked(root, &["*.rs"])?;
    // Cargo refuses a source whose path is not UTF-8.
    let sources = sources.iter().filter_map(|file| file.to_str());
    let sources: Vec<&str> = sources
        .filter(|file| packages.iter().any(|package| package.has(file)))
        .collect();
    let mut files = BTreeMap::new();
    for (file, lines) in hits(lcov, &sources)? {
        let source = std::fs::read_to_string(root.join(file))
            .with_context(|| format!("cannot read {file}"))?;
        let lines = lines.range(..tests_begin(&source));
        let count = LineCount {
            total: lines.clone().count() as u64,
            covered: lines.filter(|(_, hit)| **hit).count() as u64,
        };
        if count.total > 0 {
            files.insert(file.to_owned(), count);
        }
    }
    ensure!(
        !files.is_empty(),
        "{LCOV} has no file of this project: if it was built elsewhere, delete the target folder and run again"
    );
    Ok(files)
}

/// Which lines of which sources ran.
///
/// A file in the report is the source that has the longest common end of the path: CI jobs may reuse programs that were
/// built in another folder.
fn hits<'a>(lcov: &str, sources: &[&'a str]) -> Result<BTreeMap<&'a str, BTreeMap<usize, bool>>> {
    let source_of = |path: &str| {
        let is_end = |file: &&&str| {
            path.strip_suffix(**file)
                .is_some_and(|start| start.is_empty() || start.ends_with('/'))
        };
        sources
            .iter()
            .filter(is_end)
            .max_by_key(|file| file.len())
            .copied()
    };
    let mut hits: BTreeMap<&str, BTreeMap<usize, bool>> = BTreeMap::new();
    let mut current = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            current = source_of(path);
        } else if let (Some(file), Some(data)) = (current, line.strip_prefix("DA:")) {
            let mut fields = data.split(',').map(str::parse::<usize>);
            let (Some(Ok(number)), Some(Ok(count))) = (fields.next(), fields.next()) else {
                bail!("{LCOV} has a line that is not `DA:LINE,COUNT`: {line}");
            };
            *hits.entry(file).or_default().entry(number).or_default() |= count > 0;
        }
    }
    Ok(hits)
}

/// The number of the line where the tests of a file begin, which is always at its end.
fn tests_begin(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let begin = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    begin.map_or(usize::MAX, |index| index + 1)
}
