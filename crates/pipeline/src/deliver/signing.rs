//! Commits that GitHub signs for the delivery bot.
//!
//! GitHub signs the commits that an App makes by its API, and names the App as the author, with its number in the address.
//! Of its two APIs, `createCommitOnBranch` cannot make the merges that promotions have. So the Git database API makes each
//! commit again, from the tree and the message of ours
//! (<https://docs.github.com/en/authentication/managing-commit-signature-verification/about-commit-signature-verification>).
//! The signed commit is then stored here and pushed like any other. On other forges the bot's own commits are pushed.

use crate::workflow;
use anyhow::{Context, Result, ensure};
use devkit::forge::{Forge, Kind, MadeCommit, NewCommit};
use devkit::git::Git;
use std::collections::HashMap;

/// The token of the bot. Without it, a person pushes their own commits.
const TOKEN: &str = "DELIVERY_BOT_TOKEN";

/// Signs the commits on top of those that the remote has (`known`), and returns the signed one. Returns the commit as it
/// is where the forge does not sign, or refuses to.
pub(super) fn signed(git: &Git, remote: &str, commit: &str, known: &[&str]) -> Result<String> {
    let url = git.remote_url(remote).unwrap_or_else(|_| remote.to_owned());
    let Some(forge) = signer(&url)? else {
        return Ok(commit.to_owned());
    };
    // GitHub needs the trees. Names outside of branches and tags start no workflow.
    let reference = format!("refs/signing/{commit}");
    git.push(remote, commit, &reference)?;
    let made = sign(git, &forge, commit, known);
    // Pushing nothing deletes it.
    if let Err(error) = git.push(remote, "", &reference) {
        workflow::annotate_notice(&format!("cannot delete {reference}: {error}"));
    }
    made.or_else(|error| {
        let message = format!("the commit is not signed: {error:#}");
        println!("{message}");
        workflow::annotate_warning(&message);
        Ok(commit.to_owned())
    })
}

/// The repository at a URL, if it is on GitHub and the bot pushes to it.
fn signer(url: &str) -> Result<Option<Forge>> {
    if workflow::var(TOKEN).is_none() {
        return Ok(None);
    }
    let server = workflow::var("GITHUB_SERVER_URL");
    let server = server.as_deref().unwrap_or("https://github.com");
    let Some(path) = url.strip_prefix(server.trim_end_matches('/')) else {
        return Ok(None);
    };
    let path = path.trim_matches('/');
    let repository = path.strip_suffix(".git").unwrap_or(path);
    let forge = Forge::from_env(&[TOKEN])?.with_repository(repository);
    Ok(Some(forge).filter(|forge| forge.kind() == Kind::GitHub))
}

fn sign(git: &Git, forge: &Forge, commit: &str, known: &[&str]) -> Result<String> {
    let range = [
        &["rev-list", "--reverse", "--topo-order", commit, "--not"],
        known,
    ];
    let ours = git.read(&range.concat())?;
    let mut signed: HashMap<String, String> = HashMap::new();
    for id in ours.lines() {
        let parents = git.read(&["show", "--no-patch", "--format=%P", id])?;
        let parents: Vec<String> = parents
            .split_whitespace()
            .map(|parent| signed.get(parent).map_or(parent, String::as_str).to_owned())
            .collect();
        let made = forge.make_commit(&NewCommit {
            message: &git.own_message(id)?,
            tree: &git.read(&["rev-parse", &format!("{id}^{{tree}}")])?,
            parents: &parents,
        })?;
        let content = content(&made)?;
        let stored = git.store_commit(content.as_bytes())?;
        ensure!(
            stored == made.sha,
            "GitHub made {}, which is not what it says",
            made.sha
        );
        signed.insert(id.to_owned(), stored);
    }
    signed
        .remove(commit)
        .with_context(|| format!("{commit} is not new"))
}

/// The commit byte for byte: the signature is a header between the others and the message.
fn content(made: &MadeCommit) -> Result<String> {
    let verification = &made.verification;
    let parts = verification
        .signature
        .as_ref()
        .zip(verification.payload.as_ref())
        .filter(|_| verification.verified);
    let (signature, payload) =
        parts.context("GitHub signs only what an App makes, and this token is not an App's")?;
    let (headers, message) = payload
        .split_once("\n\n")
        .context("GitHub signed something that is not a commit")?;
    let signature = signature.trim_end().replace('\n', "\n ");
    Ok(format!("{headers}\ngpgsig {signature}\n\n{message}"))
}
