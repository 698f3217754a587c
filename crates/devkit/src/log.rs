//! The part of a program's output that says why it failed.

/// How many lines an excerpt has at most.
const LINES: usize = 60;

/// How many lines before a general error belong to it: programs list what is wrong and then say that it is wrong.
const CONTEXT: usize = 30;

/// The beginnings of lines from which on an output says what is wrong, the most specific first: the list of failed tests,
/// a panic of a test, an error of a compiler.
const CAUSES: [&str; 3] = ["failures:", "thread '", "error["];

/// The beginning of a line with an error of any program.
const ERROR: &str = "error:";

/// The words by which cargo reports its progress.
const PROGRESS: [&str; 12] = [
    "Adding",
    "Blocking",
    "Checking",
    "Compiling",
    "Downloaded",
    "Downloading",
    "Finished",
    "Fresh",
    "Installing",
    "Locking",
    "Running",
    "Updating",
];

/// Which lines to show if none says what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The first ones.
    First,
    /// The last ones.
    Last,
}

/// The lines from the first cause on, at most 60. An output that is not longer is shown whole. Colours and reports of
/// progress are left out.
pub fn excerpt(output: &str, otherwise: Otherwise) -> String {
    let plain = without_colors(output);
    let lines: Vec<&str> = plain.lines().filter(|line| !is_progress(line)).collect();
    let find = |cause: &str| {
        let mut lines = lines.iter();
        lines.position(|line| line.trim_start().starts_with(cause))
    };
    let start = match otherwise {
        _ if lines.len() <= LINES => 0,
        otherwise => CAUSES
            .iter()
            .find_map(|cause| find(cause))
            .or_else(|| find(ERROR).map(|error| error.saturating_sub(CONTEXT)))
            .unwrap_or(match otherwise {
                Otherwise::First => 0,
                Otherwise::Last => lines.len() - LINES,
            }),
    };
    let rest = lines.get(start..).unwrap_or_default();
    let more = rest.len().saturating_sub(LINES);
    let shown = rest.get(..rest.len() - more).unwrap_or_default();
    let mut text = shown.join("\n").trim_matches('\n').to_owned();
    if more > 0 {
        text.push_str(&format!("\n… {more} more lines are in the log"));
    }
    text
}

/// Whether a line only says that work goes on: cargo's reports, and tests that pass.
fn is_progress(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let is_test =
        line.starts_with("test ") && (line.ends_with(" ... ok") || line.contains(" ... ignored"));
    (line.starts_with(' ') && PROGRESS.contains(&first))
        || is_test
        || line.starts_with("test result: ok")
}

/// A text without the sequences that set colours in a terminal (ECMA-48, `CSI … m` and its kin).
fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let is_final = |c: char| ('\u{40}'..='\u{7e}').contains(&c);
        rest = after.split_once(is_final).map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize) -> String {
        (0..count).map(|n| format!("line {n}\n")).collect()
    }

    #[test]
    fn a_failed_test_is_found_behind_those_that_pass() {
        let passed: String = (0..500).map(|n| format!("test a::b{n} ... ok\n")).collect();
        let compiled = "   \u{1b}[1m\u{1b}[32mCompiling\u{1b}[0m a v0.1.0\n".repeat(200);
        let log = format!(
            "{compiled}running 501 tests\n{passed}test c ... FAILED\n\nfailures:\n\n---- c stdout ----\nthread 'c' panicked\n\
             {}error: test failed\n",
            numbered(100)
        );
        let shown = excerpt(&log, Otherwise::First);
        let expected = "failures:\n\n---- c stdout ----\nthread 'c' panicked\nline 0\n";
        assert!(shown.starts_with(expected), "{shown}");
        assert!(
            shown.ends_with("\n… 45 more lines are in the log"),
            "{shown}"
        );
    }

    #[test]
    fn a_short_output_is_shown_without_progress_and_colors() {
        let log = "    Checking a v0.1.0\n\u{1b}[1m\u{1b}[33mwarning\u{1b}[0m: unused\n    Finished x\nerror: 1 warning\n";
        assert_eq!(
            excerpt(log, Otherwise::Last),
            "warning: unused\nerror: 1 warning"
        );
    }

    #[test]
    fn what_a_general_error_sums_up_is_shown_before_it() {
        let log = format!(
            "{}missed: a.rs\nerror: see above\n{}",
            numbered(100),
            numbered(40)
        );
        let shown = excerpt(&log, Otherwise::Last);
        assert!(shown.starts_with("line 71\n"), "{shown}");
        assert!(
            shown.contains("\nmissed: a.rs\nerror: see above\n"),
            "{shown}"
        );
        // The error of a compiler is more specific, and complete.
        let shown = excerpt(
            &format!("{}error[E0425]: no\n{log}", numbered(9)),
            Otherwise::Last,
        );
        assert!(shown.starts_with("error[E0425]: no\nline 0\n"), "{shown}");
    }

    #[test]
    fn an_output_without_a_cause_shows_its_beginning_or_its_end() {
        let first = excerpt(&numbered(100), Otherwise::First);
        assert!(first.starts_with("line 0\n"), "{first}");
        assert!(
            first.ends_with("line 59\n… 40 more lines are in the log"),
            "{first}"
        );
        let last = excerpt(&numbered(100), Otherwise::Last);
        assert!(
            last.starts_with("line 40\n") && last.ends_with("line 99"),
            "{last}"
        );
    }

    #[test]
    fn an_unfinished_color_is_no_panic() {
        assert_eq!(excerpt("a\u{1b}[1", Otherwise::Last), "a");
        assert_eq!(excerpt("", Otherwise::First), "");
    }
}
