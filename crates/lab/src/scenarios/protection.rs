//! C21. Somebody with the right to do so weakens a rule of protection on the forge, and deletes another. `protect
//! --check` says which, and `protect` puts them back.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::World;

pub(super) fn run(world: &World) -> Result<()> {
    // Given the branches are protected as the checkout says,
    let forge = &world.forge;
    let (good, report) = check(world)?;
    ensure!(
        good,
        "protection differs before anything was done:\n{report}"
    );

    // When one rule asks for less, and another is gone,
    let none = json!({"required_approvals": 0});
    forge.repository("PATCH", "/branch_protections/main", Some(&none))?;
    forge.repository("DELETE", "/branch_protections/staging", None)?;

    // Then the check fails and names both,
    let (good, report) = check(world)?;
    ensure!(!good, "nobody noticed:\n{report}");
    for branch in ["main", "staging"] {
        ensure!(report.contains(branch), "{branch} is not named:\n{report}");
    }
    ensure!(!report.contains("develop"), "develop is named:\n{report}");

    // And applying the rules makes it good again.
    protect(world, &[])?;
    let (good, report) = check(world)?;
    ensure!(good, "protection still differs:\n{report}");
    Ok(())
}

fn check(world: &World) -> Result<(bool, String)> {
    protect(world, &["--check"])
}

/// Whether it did well, and what it said.
fn protect(world: &World, options: &[&str]) -> Result<(bool, String)> {
    let mut pipeline = world.forge.pipeline(&world.layout.state("checkout"))?;
    let output = pipeline
        .arg("protect")
        .args(options)
        .output()
        .context("could not start the pipeline")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((output.status.success(), said))
}
