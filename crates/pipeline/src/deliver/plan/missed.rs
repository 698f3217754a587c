//! Earlier pushes whose image never reached the environment, because their run failed. Without them, a push that cannot
//! affect the image would leave the environment behind the branch until someone changes the service again.

use super::affected::{Affected, Packages};
use super::files::changed_files;
use crate::deliver::values_file::{ValuesFile, newest_source};
use crate::workflow;
use anyhow::Result;
use devkit::delivery::Delivery;
use devkit::git::{Git, short};

/// What the commits up to `tip` affect that were not delivered, and which they are, for the log. `None` if the image in
/// the values has all that affects it, or is on hold, or if the values are in another repository.
pub(super) fn missed(
    git: &Git,
    delivery: &Delivery,
    tip: &str,
    packages: &Packages,
) -> Result<Option<(Affected, String)>> {
    if workflow::var("GITOPS_REPOSITORY").is_some() {
        return Ok(None);
    }
    let env = delivery.first();
    let values = ValuesFile::read(git, tip, &env.values)?;
    if values.hold()?.is_some() {
        return Ok(None);
    }
    let source = match values.image()? {
        None => return Ok(Some((packages.all(), format!("{env} has no image yet")))),
        Some(_) => newest_source(git, tip, &env.values)?,
    };
    // An image that no commit explains was set by hand.
    let source = source.and_then(|source| git.commit(&source));
    let Some(source) = source.filter(|source| git.contains(tip, source).unwrap_or(false)) else {
        return Ok(None);
    };
    let files = changed_files(git, &source, tip)?;
    let code = files.iter().map(String::as_str);
    let affected = packages.affected(code.filter(|file| delivery.by_values(file).is_none()));
    Ok(affected.image.then(|| {
        let why = format!("{env} has only the image of {}", short(&source));
        (affected, why)
    }))
}
