//! `cargo pipeline rescan` scans the images that the environments run. An image that was clean when it was built may have
//! vulnerabilities that became known since.

use super::registry::Registry;
use super::values_file::ValuesFile;
use crate::build::scan;
use crate::project::root;
use anyhow::{Context, Result, ensure};
use devkit::delivery::Delivery;
use devkit::git::Git;
use devkit::process::Run;
use devkit::reference::Digest;
use std::collections::BTreeMap;

/// Scan the images that the environments run.
///
/// Reads the digest that the values of each environment pin, at the tip of its branch in this clone, and scans these images
/// in the registry. Fails on findings of high or critical severity that can be fixed. Writes
/// target/security/image-ENVIRONMENT.sarif. SCAN_DATABASE=none skips the search for vulnerabilities.
#[derive(clap::Args)]
pub(crate) struct Rescan {}

impl Rescan {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let registry = Registry::from_env(&delivery)?;
        let mut failed = Vec::new();
        for (digest, environments) in running(&Git::new(&root), &delivery)? {
            let names = environments.join(", ");
            println!("{digest} in {names}");
            let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
            let target = format!("oci:{}:image", folder.path().display());
            let source = format!("docker://{}", registry.image(&digest));
            let copied = registry
                .command("skopeo", &["copy", "--quiet", &source, &target])
                .run()
                .with_context(|| format!("cannot pull {digest}"));
            let name = format!("image-{}", environments[0]);
            let scanned = copied.and_then(|()| scan::scan(&root, folder.path(), &name));
            if let Err(error) = scanned {
                eprintln!("{names}: {error:#}");
                failed.push(names);
            }
        }
        ensure!(
            failed.is_empty(),
            "the images in {} have findings, or could not be scanned; build and promote a version without them",
            failed.join(", ")
        );
        Ok(())
    }
}

/// The images, with the names of the environments that run each.
fn running<'a>(git: &Git, delivery: &'a Delivery) -> Result<BTreeMap<Digest, Vec<&'a str>>> {
    let mut images: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
    for env in delivery.environments() {
        let tip = git.require_commit(&format!("refs/remotes/origin/{}", env.branch))?;
        match ValuesFile::read(git, &tip, &env.values)?.image()? {
            Some(image) => images.entry(image.digest).or_default().push(&env.name),
            None => println!("{env} has no image yet"),
        }
    }
    Ok(images)
}
