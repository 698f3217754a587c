//! `cargo pipeline required` is the one check that branch protection requires. It judges the jobs that ran before it.

use crate::workflow;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Check that every job that this event needs has succeeded.
///
/// Reads the variable NEEDS, which the workflow sets to `${{ toJSON(needs) }}`. A job that the plan lists must have
/// succeeded; another one may have been skipped.
#[derive(clap::Args)]
pub(crate) struct Required {}

impl Required {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let failures = failures(&workflow::require("NEEDS")?)?;
        for failure in &failures {
            println!("{failure}");
        }
        ensure!(
            failures.is_empty(),
            "{} jobs did not do what this event needs, listed above",
            failures.len()
        );
        println!("all jobs that this event needs have succeeded");
        Ok(())
    }
}

/// A job that another one needs
/// (<https://docs.github.com/en/actions/reference/workflows-and-actions/contexts#needs-context>).
#[derive(Deserialize)]
struct Job {
    /// How the job ended.
    result: Conclusion,
    /// Its outputs. Gitea writes null where there are none.
    outputs: Option<BTreeMap<String, String>>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Conclusion {
    Success,
    Failure,
    Cancelled,
    Skipped,
}

/// What is wrong with the jobs, one sentence each.
fn failures(needs: &str) -> Result<Vec<String>> {
    let needs: BTreeMap<String, Job> =
        serde_json::from_str(needs).context("NEEDS is not the JSON of the `needs` context")?;
    let plan = needs.get("plan").context("NEEDS has no job `plan`")?;
    if plan.result != Conclusion::Success {
        return Ok(vec![format!("plan: {:?}", plan.result).to_lowercase()]);
    }
    let outputs = plan.outputs.as_ref();
    let jobs = outputs
        .and_then(|outputs| outputs.get("jobs"))
        .context("`plan` has no output `jobs`")?;
    let planned: Vec<String> =
        serde_json::from_str(jobs).context("the output `jobs` of `plan` is not a JSON list")?;
    let failed = |(name, job): (&String, &Job)| match job.result {
        Conclusion::Success => None,
        Conclusion::Skipped if !planned.contains(name) => None,
        Conclusion::Skipped => Some(format!("{name}: skipped, but the plan needs it")),
        other => Some(format!("{name}: {other:?}").to_lowercase()),
    };
    Ok(needs.iter().filter_map(failed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(jobs: &str, results: &[(&str, &str)]) -> Vec<String> {
        let mut needs = serde_json::json!({
            "plan": {"result": "success", "outputs": {"jobs": jobs}},
        });
        for (name, result) in results {
            needs[name] = serde_json::json!({"result": result, "outputs": null});
        }
        failures(&needs.to_string()).unwrap()
    }

    #[test]
    fn planned_jobs_must_succeed_and_others_may_be_skipped() {
        let jobs = r#"["lint", "unit"]"#;
        let all = [
            ("lint", "success"),
            ("unit", "success"),
            ("image", "skipped"),
        ];
        assert!(judged(jobs, &all).is_empty());
        for (result, said) in [
            ("failure", "unit: failure"),
            ("cancelled", "unit: cancelled"),
            ("skipped", "unit: skipped, but the plan needs it"),
        ] {
            assert_eq!(
                judged(jobs, &[("lint", "success"), ("unit", result)]),
                [said]
            );
        }
    }

    #[test]
    fn a_job_that_was_not_planned_may_not_fail() {
        assert_eq!(
            judged("[]", &[("deliver", "failure")]),
            ["deliver: failure"]
        );
    }

    #[test]
    fn a_failed_plan_is_a_failure_by_itself() {
        let needs =
            r#"{"plan": {"result": "failure", "outputs": {}}, "unit": {"result": "skipped"}}"#;
        assert_eq!(failures(needs).unwrap(), ["plan: failure"]);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for needs in [
            "",
            "{}",
            r#"{"plan": {"result": "success", "outputs": {}}}"#,
            r#"{"plan": {"result": "success", "outputs": {"jobs": "lint"}}}"#,
            r#"{"plan": {"result": "perhaps", "outputs": {"jobs": "[]"}}}"#,
        ] {
            assert!(failures(needs).is_err(), "{needs}");
        }
    }
}
