//! C1, C11. A push to a branch that is none of the environments' is tested, its image is built, and nothing of it leaves
//! the run.

use anyhow::{Context, Result, ensure};

use super::World;
use crate::command::Run as _;
use crate::delivery::environment::short;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{Run, branch};

pub(super) fn run(world: &World) -> Result<()> {
    // Given a clone with a change of code,
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

    // When it is pushed to a branch of its own,
    let name = format!("feature/{}", short(&commit));
    let push = |reference: String| {
        let mut git = forge.git(&clone);
        git.args(["push", "--quiet", "origin", &reference]).run()
    };
    push(format!("HEAD:refs/heads/{name}"))?;

    // Then all its checks pass, its image is built, and nothing is published or written back.
    let run = Run::wait(forge, branch(&name), &commit, CI_LIMIT)
        .with_context(|| format!("branch {name}"))?;
    for job in [
        "lint",
        "security",
        "unit",
        "integration",
        "image",
        "required",
    ] {
        run.ensure(job, "success")?;
    }
    run.ensure("deliver", "skipped")?;
    run.ensure("retag", "skipped")?;
    ensure!(
        forge.image_tags()? == tags,
        "the push changed the registry's tags"
    );
    ensure!(forge.tip("develop")? == tip, "the push changed develop");
    push(format!(":refs/heads/{name}"))
}
