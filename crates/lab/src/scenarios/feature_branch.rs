//! C1, C11. A push to a branch that belongs to no environment is tested and its image is built, but nothing is published.

use anyhow::{Context, Result, ensure};
use devkit::process::Run;

use super::world::World;
use crate::commit::short;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{WorkflowRun, branch};

pub(super) fn run(world: &World) -> Result<()> {
    // Given a clone with a changed source file,
    let forge = &world.forge;
    let tags = forge.image_tags()?;
    let tip = forge.tip("develop")?;
    let clone = world.clone("branch", "develop")?;
    world.edit(
        &clone,
        "src/main.rs",
        "fn main()",
        "// Another branch.\nfn main()",
    )?;
    world.commit(&clone, "Add a comment")?;
    let commit = forge.head(&clone)?;

    // When it is pushed to a new branch,
    let name = format!("feature/{}", short(&commit));
    let push = |reference: String| {
        let mut git = forge.git(&clone);
        git.args(["push", "--quiet", "origin", &reference])
            .run_quietly()
    };
    push(format!("HEAD:refs/heads/{name}"))?;

    // Then all its checks pass, its image is built, and nothing is published or written back.
    let run = WorkflowRun::wait(forge, branch(&name), &commit, CI_LIMIT)
        .with_context(|| format!("branch {name}"))?;
    for job in [
        "lint",
        "security",
        "unit",
        "integration",
        "image",
        "required",
    ] {
        run.ensure_conclusion(job, "success")?;
    }
    run.ensure_conclusion("deliver", "skipped")?;
    run.ensure_conclusion("retag", "skipped")?;
    ensure!(
        forge.image_tags()? == tags,
        "the push changed the registry's tags"
    );
    ensure!(forge.tip("develop")? == tip, "the push changed develop");
    push(format!(":refs/heads/{name}"))?;
    Ok(())
}
