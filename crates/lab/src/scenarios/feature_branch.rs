//! C1, C11. A push to a branch that belongs to no environment is tested and its image is built, but nothing is published.

use anyhow::{Context, Result, ensure};
use devkit::forge::Conclusion;
use devkit::git::short;

use super::steps;
use super::world::World;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{WorkflowRun, push};

pub(super) fn run(world: &World) -> Result<()> {
    // Given a clone with a changed source file,
    let forge = &world.forge;
    let tags = forge.image_tags()?;
    let clone = world.clone("branch", world.trunk())?;
    world.edit(
        &clone,
        "src/main.rs",
        "fn main()",
        "// Another branch.\nfn main()",
    )?;
    let commit = world.commit(&clone, "Add a comment")?;

    // When it is pushed to a new branch,
    let name = format!("feature/{}", short(&commit));
    let (git, reference) = (forge.git(&clone), format!("refs/heads/{name}"));
    git.push("origin", &commit, &reference)?;

    // Then all its checks pass, its image is built, and nothing is published or written back.
    let run = WorkflowRun::wait(forge, &push(&name), &commit, CI_LIMIT)
        .with_context(|| format!("branch {name}"))?;
    for job in [
        "lint",
        "security",
        "unit",
        "integration",
        "image",
        "required",
    ] {
        run.ensure_conclusion(job, Conclusion::Success)?;
    }
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    run.ensure_conclusion("retag", Conclusion::Skipped)?;
    ensure!(
        forge.image_tags()? == tags,
        "the push changed the registry's tags"
    );
    let dev = world.dev();
    let deployed = steps::built_from(world, dev.entry, &dev.tip(forge)?)?;
    ensure!(deployed != commit, "the push changed {}", dev.name());
    git.read(&["push", "--quiet", "--delete", "origin", &reference])?;
    Ok(())
}
