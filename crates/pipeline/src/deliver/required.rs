//! `cargo pipeline required` is the one check that branch protection requires. It judges the jobs that ran before it.

use crate::workflow;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Check that every job that this event needs has succeeded.
///
/// Reads the variable NEEDS, which the workflow sets to `${{ toJSON(needs) }}`. A job that the plan lists must be there and
/// have succeeded; another one may have been skipped. The jobs `nix`, `sarif` and `notify` are optional.
#[derive(clap::Args)]
pub(crate) struct Required {
    /// Name of the job that runs this command, if the plan lists it: a job cannot need itself
    #[arg(long)]
    job: Option<String>,
}

/// The jobs that `plan` may list and that no other job has to wait for.
const OPTIONAL: [&str; 3] = ["nix", "sarif", "notify"];

impl Required {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let failures = failures(&workflow::require("NEEDS")?, self.job.as_deref())?;
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

/// What is wrong with the jobs, one sentence each. The job `own` runs the command.
fn failures(needs: &str, own: Option<&str>) -> Result<Vec<String>> {
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
    let missing = planned.iter().filter(|job| {
        let exempt = OPTIONAL.contains(&job.as_str()) || own == Some(job);
        !exempt && !needs.contains_key(*job)
    });
    let missing = missing.map(|job| format!("{job}: planned, but missing in `needs`"));
    Ok(needs.iter().filter_map(failed).chain(missing).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(jobs: &str, results: &[(&str, &str)]) -> Vec<String> {
        failures(&needs(jobs, results), None).unwrap()
    }

    fn needs(jobs: &str, results: &[(&str, &str)]) -> String {
        let mut needs = serde_json::json!({
            "plan": {"result": "success", "outputs": {"jobs": jobs}},
        });
        for (name, result) in results {
            needs[name] = serde_json::json!({"result": result, "outputs": null});
        }
        needs.to_string()
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
    fn a_planned_job_that_is_not_needed_is_noticed() {
        let jobs = r#"["lint", "unit", "nix", "sarif", "notify"]"#;
        assert_eq!(
            judged(jobs, &[("unit", "success")]),
            ["lint: planned, but missing in `needs`"]
        );
        let all = [("lint", "success"), ("unit", "success")];
        assert!(
            judged(jobs, &all).is_empty(),
            "optional jobs may be missing"
        );
    }

    #[test]
    fn only_the_job_that_runs_the_command_does_not_need_itself() {
        let jobs = r#"["lint", "deliver"]"#;
        let needs = needs(jobs, &[("lint", "success")]);
        let missing = |own| failures(&needs, own).unwrap();
        assert!(missing(Some("deliver")).is_empty());
        for own in [None, Some("lint")] {
            let expected = "deliver: planned, but missing in `needs`";
            assert_eq!(missing(own), [expected], "{own:?}");
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
        assert_eq!(failures(needs, None).unwrap(), ["plan: failure"]);
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
            assert!(failures(needs, None).is_err(), "{needs}");
        }
    }
}
