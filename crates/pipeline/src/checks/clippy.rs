//! The warnings of the compiler and of clippy.

use crate::tools::{self, Step};
use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use cargo_metadata::diagnostic::Diagnostic;
use devkit::process::line;
use std::path::Path;
use std::process::Stdio;

/// A warning or an error.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    /// The file and the line: `src/main.rs:7`.
    pub(super) place: String,
    /// The text, with the name of the lint.
    pub(super) message: String,
    /// The text for a terminal.
    pub(super) rendered: String,
}

/// What is checked. Tests enable features of the service that are off by default, so the service is checked again
/// without its tests: the code that `cargo run` builds must have no warnings either.
const BUILDS: [&[&str]; 2] = [&["--workspace", "--all-targets"], &[]];

/// The findings in the whole workspace. Cargo caches the results of these exact commands, so a second call is fast.
pub(super) fn findings(root: &Path, step: Step) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for build in BUILDS {
        for found in check(root, step, build)? {
            if !findings.contains(&found) {
                findings.push(found);
            }
        }
    }
    Ok(findings)
}

/// The findings in one build. Without arguments, cargo builds the package at the root, which is the service.
fn check(root: &Path, step: Step, build: &[&str]) -> Result<Vec<Finding>> {
    let args = [&["clippy"], build, &["--locked", "--message-format=json"]].concat();
    let mut cargo = tools::command(root, step, "cargo", &args)?;
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let findings = parse(&output.stdout)
        .with_context(|| format!("cannot read what `{}` printed", line(&cargo)))?;
    if !output.status.success() {
        // Cargo stopped at an error, so the list is not complete.
        findings
            .iter()
            .for_each(|found| eprint!("{}", found.rendered));
        bail!("`{}` failed ({})", line(&cargo), output.status);
    }
    Ok(findings)
}

/// Parses cargo's messages, one per line. Code that is built twice, for a library and for its tests, repeats its
/// findings; each counts once.
fn parse(output: &[u8]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for message in Message::parse_stream(output) {
        match message? {
            Message::CompilerMessage(compiler) => {
                let found = finding(compiler.message);
                findings.extend(found.filter(|found| !findings.contains(found)));
            }
            Message::TextLine(text) => bail!("this is not a message of cargo: {text}"),
            _ => {}
        }
    }
    Ok(findings)
}

/// A diagnostic without a place and without a lint is a summary of others, and no finding.
fn finding(diagnostic: Diagnostic) -> Option<Finding> {
    let span = diagnostic.spans.into_iter().find(|span| span.is_primary);
    if diagnostic.code.is_none() && span.is_none() {
        return None;
    }
    let message = match diagnostic.code {
        Some(code) => format!("{} ({})", diagnostic.message, code.code),
        None => diagnostic.message,
    };
    let place = match span {
        Some(span) => format!("{}:{}", span.file_name, span.line_start),
        None => "Cargo.toml".to_owned(),
    };
    Some(Finding {
        place,
        rendered: diagnostic
            .rendered
            .unwrap_or_else(|| format!("{message}\n")),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn span(file: &str, line: u64, primary: bool) -> Value {
        json!({
            "file_name": file, "line_start": line, "line_end": line, "byte_start": 0, "byte_end": 1,
            "column_start": 1, "column_end": 2, "is_primary": primary, "text": [],
        })
    }

    fn message(code: Value, spans: Value) -> String {
        let message = json!({
            "message": "unused variable", "code": code, "level": "warning", "spans": spans, "children": [],
            "rendered": "warning: …\n",
        });
        let target = json!({
            "kind": ["lib"], "crate_types": ["lib"], "name": "a", "src_path": "/a/src/lib.rs", "edition": "2024",
        });
        json!({
            "reason": "compiler-message", "package_id": "a 1.0.0", "manifest_path": "/a/Cargo.toml",
            "target": target, "message": message,
        })
        .to_string()
    }

    #[test]
    fn each_finding_counts_once_and_summaries_do_not_count() {
        let code = json!({"code": "unused_variables"});
        let found = message(
            code,
            json!([span("src/a.rs", 1, false), span("src/b.rs", 7, true)]),
        );
        let finished = json!({"reason": "build-finished", "success": true}).to_string();
        let summary = message(Value::Null, json!([]));
        let findings = parse(
            [&found, &finished, &found, &summary]
                .map(String::as_str)
                .join("\n")
                .as_bytes(),
        );
        let expected = Finding {
            place: "src/b.rs:7".into(),
            message: "unused variable (unused_variables)".into(),
            rendered: "warning: …\n".into(),
        };
        assert_eq!(findings.unwrap(), [expected]);
    }

    #[test]
    fn a_finding_may_lack_its_place_or_its_lint() {
        let without_lint = message(Value::Null, json!([span("a.rs", 1, true)]));
        let without_place = message(json!({"code": "some_lint"}), json!([]));
        let findings = parse([without_lint, without_place].join("\n").as_bytes()).unwrap();
        let short: Vec<_> = findings
            .iter()
            .map(|f| (f.place.as_str(), f.message.as_str()))
            .collect();
        let expected = [
            ("a.rs:1", "unused variable"),
            ("Cargo.toml", "unused variable (some_lint)"),
        ];
        assert_eq!(short, expected);
        assert!(parse(b"not JSON").is_err());
    }
}
