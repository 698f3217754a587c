//! The part of a job's log that says why the job failed.

/// How many lines an excerpt has at most.
const LINES: usize = 60;

/// The beginnings of lines from which on a log says what is wrong, the most specific first: the list of failed tests, a
/// panic of a test, an error of a compiler or a program.
const CAUSES: [&str; 4] = ["failures:", "thread '", "error[", "error:"];

/// The output of the checks that failed, or else what follows the first cause, or else the end.
///
/// `cargo pipeline` runs all checks and prints a table at the end. The output of a check that failed is somewhere above.
pub(super) fn excerpt(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(without_time).collect();
    let failed = lines.iter().filter_map(|line| failed_check(line));
    let sections: Vec<&str> = failed.flat_map(|name| section(&lines, name)).collect();
    let lines = match sections.is_empty() {
        false => sections,
        true => {
            let cause = CAUSES.iter().find_map(|cause| {
                let mut lines = lines.iter();
                lines.position(|line| line.trim_start().starts_with(cause))
            });
            let end = lines.len().saturating_sub(LINES);
            lines[cause.unwrap_or(end)..].to_vec()
        }
    };
    let more = lines.len().saturating_sub(LINES);
    let mut text = lines[..lines.len() - more].join("\n");
    if more > 0 {
        text.push_str(&format!(
            "\n… {more} more lines are in the job's log on the forge"
        ));
    }
    text
}

/// A line without the time that the runner puts before it: `2026-11-26T18:04:14.7301685Z `.
fn without_time(line: &str) -> &str {
    match line.split_once("Z ") {
        Some((time, text)) if time.len() == 27 && time.as_bytes()[10] == b'T' => text,
        _ => line,
    }
}

/// The name of a check, from its row in the table: `format   FAILED      2.4 s  …`.
fn failed_check(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once("  ")?;
    let mut words = rest.split_whitespace();
    let is_row = words.next() == Some("FAILED") && words.nth(1) == Some("s");
    is_row.then_some(name)
}

/// What a check printed.
fn section<'a>(lines: &[&'a str], name: &str) -> Vec<&'a str> {
    let header = format!("== {name}");
    let mut lines = lines.iter().copied().skip_while(|line| *line != header);
    let first = lines.next();
    let is_end = |line: &&str| line.starts_with("== ") || failed_check(line).is_some();
    first
        .into_iter()
        .chain(lines.take_while(|line| !is_end(line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the time before each line, as the runner writes it.
    fn timed(log: &str) -> String {
        let lines = log.lines();
        lines
            .map(|line| format!("2026-11-26T18:04:14.7301685Z {line}\n"))
            .collect()
    }

    #[test]
    fn the_output_of_the_failed_check_is_shown() {
        let log = "== format\nDiff in src/app.rs:1:\n-fn  a() {}\n+fn a() {}\nerror: format: failed\n== clippy\n    \
                   Finished\n\nformat    FAILED      2.4 s  failed\nclippy    passed     14.8 s\n\nerror: 1 check failed\n";
        let expected =
            "== format\nDiff in src/app.rs:1:\n-fn  a() {}\n+fn a() {}\nerror: format: failed";
        assert_eq!(excerpt(&timed(log)), expected);
    }

    #[test]
    fn failed_tests_are_shown_from_their_list_on() {
        let log = "running 2 tests\ntest a ... ok\n\nfailures:\n\n---- b stdout ----\nno\n\nerror: test failed\n";
        assert_eq!(
            excerpt(&timed(log)),
            "failures:\n\n---- b stdout ----\nno\n\nerror: test failed"
        );
    }

    #[test]
    fn a_long_log_is_cut_and_one_without_a_cause_shows_its_end() {
        let log: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let shown = excerpt(&log);
        assert!(
            shown.starts_with("line 40\n") && shown.ends_with("line 99"),
            "{shown}"
        );
        let shown = excerpt(&format!("error: no\n{log}"));
        assert!(shown.starts_with("error: no\nline 0\n"), "{shown}");
        assert!(
            shown.ends_with("… 41 more lines are in the job's log on the forge"),
            "{shown}"
        );
    }
}
