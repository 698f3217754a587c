//! C21. An administrator weakens the protection of one branch and deletes that of another. `protect --check` reports both,
//! and `protect` restores them.

use anyhow::{Context, Result, ensure};
use devkit::delivery::Environment;
use serde_json::json;

use super::world::World;

pub(super) fn run(world: &World) -> Result<()> {
    // Given the branches are protected by the checkout's rules,
    let forge = &world.forge;
    let (good, report) = check(world)?;
    ensure!(
        good,
        "the protection already differs before the scenario:\n{report}"
    );

    // When one branch needs fewer approvals, and another has no protection,
    let none = json!({"required_approvals": 0});
    let (last, before) = (world.delivery.last(), world.delivery.tagged());
    let rule = |env: &Environment| format!("/branch_protections/{}", env.branch);
    forge.execute("PATCH", &rule(last), &none)?;
    forge.delete(&rule(before))?;

    // Then the check fails and names both,
    let (good, report) = check(world)?;
    ensure!(!good, "the check succeeds:\n{report}");
    for branch in [&last.branch, &before.branch] {
        ensure!(
            report.contains(branch),
            "the report lacks {branch}:\n{report}"
        );
    }
    let unchanged = world.trunk();
    ensure!(
        !report.contains(unchanged),
        "the report names {unchanged}:\n{report}"
    );

    // And applying the rules restores the protection.
    protect(world, &[])?;
    let (good, report) = check(world)?;
    ensure!(good, "the protection still differs:\n{report}");
    Ok(())
}

fn check(world: &World) -> Result<(bool, String)> {
    protect(world, &["--check"])
}

/// Runs `pipeline protect`; returns whether it succeeded, and its output.
fn protect(world: &World, options: &[&str]) -> Result<(bool, String)> {
    let mut pipeline = world.forge.pipeline(&world.layout.state("checkout"))?;
    let output = pipeline
        .arg("protect")
        .args(options)
        .output()
        .context("cannot start the pipeline")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((output.status.success(), said))
}
