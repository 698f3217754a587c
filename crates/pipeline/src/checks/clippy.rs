//! What the compiler and clippy object to, as data.

use crate::project::line;
use crate::tools::{self, Step};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

/// One thing that they object to.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    /// `src/main.rs:7`
    pub(crate) place: String,
    pub(crate) message: String,
    /// As a person would see it.
    pub(crate) rendered: String,
}

/// Asks both about everything in the workspace. Cargo remembers the answer of this very command, so a second step that
/// asks doesn't wait.
pub(crate) fn findings(root: &Path, step: Step) -> Result<Vec<Finding>> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--message-format=json",
    ];
    let mut cargo = tools::command(root, step, "cargo", &args)?;
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let findings = parse(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("cannot read what `{}` printed", line(&cargo)))?;
    if !output.status.success() {
        // It stopped there, so this is not all.
        findings
            .iter()
            .for_each(|found| eprint!("{}", found.rendered));
        bail!("`{}` failed ({})", line(&cargo), output.status);
    }
    Ok(findings)
}

/// A line is a message. Code that is built more than once, as a library and as its test, is objected to each time.
fn parse(lines: &str) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["reason"] != "compiler-message" {
            continue;
        }
        let found = finding(&line["message"]);
        findings.extend(found.filter(|found| !findings.contains(found)));
    }
    Ok(findings)
}

/// What has neither place nor name is a summary of the others.
fn finding(message: &Value) -> Option<Finding> {
    let code = message["code"]["code"].as_str();
    let spans = message["spans"].as_array()?;
    let span = spans.iter().find(|span| span["is_primary"] == true);
    if code.is_none() && span.is_none() {
        return None;
    }
    let place = |span: &Value| {
        Some(format!(
            "{}:{}",
            span["file_name"].as_str()?,
            span["line_start"]
        ))
    };
    let text = message["message"].as_str()?;
    Some(Finding {
        place: span
            .and_then(place)
            .unwrap_or_else(|| "Cargo.toml".to_owned()),
        message: code.map_or_else(|| text.to_owned(), |code| format!("{text} ({code})")),
        rendered: message["rendered"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(code: Value, spans: Value) -> String {
        let message = json!({
            "message": "unused variable", "code": code, "level": "warning", "spans": spans, "rendered": "warning: …\n",
        });
        json!({"reason": "compiler-message", "message": message}).to_string()
    }

    #[test]
    fn each_finding_counts_once_and_summaries_do_not() {
        let code = json!({"code": "unused_variables"});
        let spans = json!([
            {"file_name": "src/a.rs", "line_start": 1, "is_primary": false},
            {"file_name": "src/b.rs", "line_start": 7, "is_primary": true},
        ]);
        let found = message(code, spans);
        let artifact = json!({"reason": "compiler-artifact"}).to_string();
        let summary = message(Value::Null, json!([]));
        let findings = parse(
            &[&found, &artifact, &found, &summary]
                .map(String::as_str)
                .join("\n"),
        );
        let expected = Finding {
            place: "src/b.rs:7".into(),
            message: "unused variable (unused_variables)".into(),
            rendered: "warning: …\n".into(),
        };
        assert_eq!(findings.unwrap(), [expected]);
    }

    #[test]
    fn a_finding_may_lack_its_place_or_its_name() {
        let unnamed = message(
            Value::Null,
            json!([{"file_name": "a.rs", "line_start": 1, "is_primary": true}]),
        );
        let nowhere = message(json!({"code": "some_lint"}), json!([]));
        let findings = parse(&[unnamed, nowhere].join("\n")).unwrap();
        let short: Vec<_> = findings
            .iter()
            .map(|f| (f.place.as_str(), f.message.as_str()))
            .collect();
        let expected = [
            ("a.rs:1", "unused variable"),
            ("Cargo.toml", "unused variable (some_lint)"),
        ];
        assert_eq!(short, expected);
        assert!(parse("not JSON").is_err());
    }
}
