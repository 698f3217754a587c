//! The part of a job's log that says why the job failed.

use devkit::log::{Otherwise, excerpt as excerpt_of};

/// The beginning of the line from which on `cargo pipeline` repeats what a failed check said.
const FAILED: &str = "== failed: ";

/// The line before the table with the outcomes of all checks.
const TABLE: &str = "== summary";

/// What the failed checks said. Without any, the part from the first cause on, or else the end.
pub(super) fn excerpt(log: &str) -> String {
    let lines = || log.lines().map(without_time);
    let failed: Vec<&str> = lines()
        .skip_while(|line| !line.starts_with(FAILED))
        .take_while(|line| *line != TABLE)
        .filter(|line| !line.starts_with("::"))
        .collect();
    match failed.join("\n").trim_end() {
        "" => excerpt_of(&lines().collect::<Vec<_>>().join("\n"), Otherwise::Last),
        failed => failed.to_owned(),
    }
}

/// A line without the time that the runner puts before it: `2026-11-26T18:04:14.7301685Z `.
fn without_time(line: &str) -> &str {
    match line.split_once("Z ") {
        Some((time, text)) if time.len() == 27 && time.as_bytes()[10] == b'T' => text,
        _ => line,
    }
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
    fn the_output_of_all_failed_checks_is_shown() {
        let failed = "== failed: format\nDiff in src/app.rs:1:\n-fn  a() {}\n+fn a() {}\nerror: format: failed\n\n\
                      == failed: clippy\nwarning: unused\nerror: clippy: 1 warnings";
        let log = format!(
            "== format\nDiff in src/app.rs:1:\nerror: format: failed\n== clippy\n{}== policy\n\n{}\n\n== summary\n\
             format    FAILED      2.4 s  failed\nclippy    FAILED     14.8 s\n\nerror: 2 checks failed\nclean up\n",
            "    Checking a v0.1.0\n".repeat(200),
            failed.replace("\n\n", "\n::error title=format::Diff%0A\n\n")
        );
        assert_eq!(excerpt(&timed(&log)), failed);
    }

    #[test]
    fn without_checks_the_cause_is_shown() {
        let log = "running 2 tests\ntest a ... ok\n\nfailures:\n\n---- b stdout ----\nno\n\nerror: test failed\n";
        let log = format!("{}{log}", "prepare\n".repeat(60));
        let expected = "failures:\n\n---- b stdout ----\nno\n\nerror: test failed";
        assert_eq!(excerpt(&timed(&log)), expected);
    }
}
