//! `cargo pipeline promote` opens the pull request that promotes an image from one environment to the next.
//!
//! Its branch has the tip of the target branch, a merge of the source, and one commit that copies the tag and the
//! digest. Reviewers see the digest that they approve, and later pushes to the source do not change it.

use super::health::Reports;
use super::proposal::{Proposal, Proposed, after_merge};
use super::registry::Registry;
use super::remote::{HELD, with_remote};
use super::values_file::{SUBJECT_PREFIX, ValuesFile};
use super::verification;
use super::version::{is_prerelease, require_on_tip};
use crate::project::root;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use clap::builder::FalseyValueParser;
use devkit::delivery::{Delivery, Environment, Promotion};
use devkit::forge::Pull;
use devkit::git::{Git, short};
use devkit::reference::{Image, Tag};
use devkit::text::{Markdown, Plain, code};
use devkit::values::Hold;
use devkit::{markdown, plain};
use std::process::ExitCode;
use std::time::Duration;

/// How long to wait for Argo CD's report that the environment before is healthy. It comes within seconds after the roll-out.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many commits a description lists.
const COMMITS: usize = 50;

/// Promote an image: propose it to an environment by a pull request.
///
/// delivery.toml has the environments in order. An environment with `promotion = "pull-request"` gets the image that the
/// environment before it runs, by the pull request `promote/NAME`. The environment with `promotion = "tag"` gets the
/// image that `--version` names, by the pull request `release/VERSION`. An open pull request is not changed, so that its
/// approvals stay valid; `--refresh` replaces it, and its approvals are lost.
///
/// Proposes only images whose signature and provenance verify, and which Argo CD has reported healthy in the environment
/// before: the variable ARGOCD_ACCOUNT names the account of its commit statuses. If the values contain `hold`, nothing is proposed and
/// the exit code is 3. The author is the owner of DELIVERY_BOT_TOKEN, who cannot approve the pull request.
#[derive(clap::Args)]
pub(crate) struct Promote {
    /// Environment in delivery.toml that gets the image [default with --version: the one that version tags promote to]
    #[arg(long, value_name = "NAME", required_unless_present = "version")]
    to: Option<String>,
    /// Version tag whose image is promoted
    #[arg(long, value_name = "TAG")]
    version: Option<String>,
    /// Replace an open pull request
    #[arg(long, env = "PROMOTE_REFRESH", value_parser = FalseyValueParser::new())]
    refresh: bool,
    /// Show the pull request without opening it
    #[arg(long)]
    dry_run: bool,
    /// Git remote with the branches
    #[arg(long, default_value = "origin")]
    remote: String,
}

/// Between which environments an image is promoted.
struct Route<'a> {
    delivery: &'a Delivery,
    from: &'a Environment,
    to: &'a Environment,
    /// The version tag that names the image, where the target has `promotion = "tag"`.
    version: Option<Tag>,
}

impl<'a> Route<'a> {
    /// The way to an environment.
    ///
    /// # Errors
    /// When the environment is not promoted to, or a version is missing, wrong or has no meaning.
    fn new(delivery: &'a Delivery, to: &'a Environment, version: Option<&str>) -> Result<Self> {
        let Some(from) = delivery
            .previous(to)
            .filter(|_| to.promotion != Promotion::Build)
        else {
            bail!(
                "{to} gets each build of {} without a promotion: name another environment of delivery.toml",
                to.branch
            );
        };
        let version = match (to.promotion == Promotion::Tag, version) {
            (true, Some(version)) => {
                ensure!(
                    !is_prerelease(version)?,
                    "{version} is a prerelease: {to} gets only final versions"
                );
                Some(version.parse()?)
            }
            (true, None) => {
                bail!("{to} gets the image that a version tag names: add `--version vX.Y.Z`")
            }
            (false, Some(_)) => bail!(
                "`--version` is only for {}: {to} gets the image that {from} runs",
                delivery.last()
            ),
            (false, None) => None,
        };
        Ok(Self {
            delivery,
            from,
            to,
            version,
        })
    }

    /// Fetches the commit to promote.
    fn source(&self, git: &Git, remote: &str) -> Result<Source> {
        let from = self.from;
        let tip = git.fetch(remote, &from.reference())?;
        let Some(version) = &self.version else {
            return Ok(Source {
                name: format!("{} ({})", from.branch, short(&tip)),
                commit: tip,
            });
        };
        let commit = git.fetch(remote, &format!("refs/tags/{version}"))?;
        require_on_tip(git, from, &tip, &commit)?;
        Ok(Source {
            name: version.to_string(),
            commit,
        })
    }

    /// The image of the environment before, with the version as its tag.
    fn image(&self, git: &Git, source: &Source) -> Result<Image> {
        let from = self.from;
        let image = ValuesFile::read(git, &source.commit, &from.values)?.image()?;
        let mut image = image.with_context(|| {
            format!("{from} has no image at {}: nothing to promote", source.name)
        })?;
        if let Some(version) = &self.version {
            image.tag.clone_from(version);
        }
        Ok(image)
    }

    /// The branch of the pull request.
    fn branch(&self) -> String {
        match &self.version {
            Some(version) => format!("release/{version}"),
            None => format!("promote/{}", self.to),
        }
    }
}

/// The commit whose values are promoted.
struct Source {
    commit: String,
    /// The name for people: `develop (0123abc)`, or the version tag.
    name: String,
}

impl Source {
    /// The tip of the target branch, with the source merged into it.
    fn merge_into(&self, git: &Git, tip: &str, route: &Route) -> Result<String> {
        if git.contains(tip, &self.commit)? {
            return Ok(tip.to_owned());
        }
        let branch = &route.to.branch;
        let message = plain!("Merge {} into {}", self.name, branch);
        git.merge(tip, &self.commit, &message).with_context(|| {
            format!(
                "{} cannot be promoted: merge {branch} into a branch of your own, resolve the conflict, and merge that branch to {} first",
                self.name,
                route.delivery.first().branch
            )
        })
    }
}

enum Prepared {
    /// A pull request that gives the environment an image.
    Proposal(Box<Proposal>, Image),
    /// The environment already has the image.
    Unchanged(Image),
    /// The values have a hold.
    Held(Hold),
}

impl Promote {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let to = match &self.to {
            Some(name) => delivery.environment(name)?,
            None => delivery.last(),
        };
        let route = Route::new(&delivery, to, self.version.as_deref())?;
        let git = with_remote(Git::new(&root), &self.remote)?;
        ensure!(
            !git.is_shallow()?,
            "this clone has only a part of the history: run `git fetch --unshallow`"
        );
        let source = route.source(&git, &self.remote)?;
        match self.prepare(&git, &route, &source)? {
            Prepared::Held(hold) => {
                report(
                    "held",
                    &plain!("{} is on hold and stays as it is: {}", to, hold),
                )?;
                return Ok(ExitCode::from(HELD));
            }
            Prepared::Unchanged(image) => {
                report("unchanged", &plain!("{} already has {}", to, image.tag))?;
            }
            Prepared::Proposal(proposal, _) if self.dry_run => {
                println!("{}\n\n{}", proposal.title.as_str(), proposal.body.as_str());
            }
            Prepared::Proposal(proposal, image) => {
                let proposed = proposal.submit(&git, &self.remote, self.refresh)?;
                report_proposed(&git, &route, &source, &image, &proposed)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn prepare(&self, git: &Git, route: &Route, source: &Source) -> Result<Prepared> {
        let to = route.to;
        let image = route.image(git, source)?;
        let tip = git.fetch(&self.remote, &to.reference())?;
        let merged = source.merge_into(git, &tip, route)?;
        let before = ValuesFile::read(git, &merged, &to.values)?;
        let after = before.with_image(&image)?;
        if merged == tip && before.text() == after.text() {
            return Ok(Prepared::Unchanged(image));
        }
        if let Some(hold) = before.hold()? {
            return Ok(Prepared::Held(hold));
        }
        let built = verification::verify(&Registry::from_env(route.delivery)?, &image.digest)?;
        verification::require_part_of(git, &built, &source.commit, &source.name)?;
        let patience = match workflow::in_workflow() {
            true => PATIENCE,
            false => Duration::ZERO,
        };
        if let Some(reports) = Reports::from_env(git, route.delivery, route.from)? {
            reports.require_healthy(&source.commit, &image, patience)?;
        }
        let message = before.message(to, &image, &git.describe(&built)?);
        let proposal = Proposal {
            head: after.commit(git, &merged, &message)?,
            known: vec![tip.clone(), source.commit.clone()],
            branch: route.branch(),
            base: to.branch.clone(),
            title: plain!("Promote {} to {}", image.tag, to),
            body: body(git, route, source, &image, &built, &tip)?,
        };
        Ok(Prepared::Proposal(Box::new(proposal), image))
    }
}

/// The description of the pull request, for the reviewers.
fn body(
    git: &Git,
    route: &Route,
    source: &Source,
    image: &Image,
    built: &str,
    tip: &str,
) -> Result<Markdown> {
    let Route { from, to, .. } = route;
    let after = after_merge(route.delivery, to);
    let mut body = markdown!(
        "{}, which {} runs, goes to {}.\n\n- digest: {}\n- built from: {}\n\n{}\n",
        code(image.tag.as_str()),
        from,
        to,
        code(image.digest.as_str()),
        built,
        after
    );
    let range = format!("{tip}..{}", source.commit);
    let log = git.read_lossy(&[
        "log",
        "--no-merges",
        "--invert-grep",
        &format!("--grep=^{SUBJECT_PREFIX}"),
        "--format=%h %s",
        &range,
    ])?;
    let commits: Vec<&str> = log.lines().collect();
    if !commits.is_empty() {
        body.push(&markdown!("\nNew in {}:\n\n", to));
        for commit in commits.iter().take(COMMITS) {
            body.push(&markdown!("- {}\n", commit));
        }
        if let Some(more @ 1..) = commits.len().checked_sub(COMMITS) {
            body.push(&markdown!("- and {} more\n", more));
        }
    }
    Ok(body)
}

/// Reports the pull request that gives the environment the image.
fn report_proposed(
    git: &Git,
    route: &Route,
    source: &Source,
    image: &Image,
    proposed: &Proposed,
) -> Result<()> {
    let to = route.to;
    let (result, pull) = match proposed {
        Proposed::Opened(pull) => ("proposed", pull),
        Proposed::Refreshed(pull) => ("refreshed", pull),
        Proposed::Open { pull, head } => {
            let proposed = ValuesFile::read(git, head, &to.values)?.image()?;
            return report_open(pull, proposed.as_ref(), image);
        }
    };
    workflow::output("number", &pull.number.to_string())?;
    report(
        result,
        &plain!(
            "pull request {} gives {} {} of {}: {}",
            pull.number,
            to,
            image.tag,
            source.name,
            pull.html_url
        ),
    )
}

/// Reports a pull request that is already open, and is not changed.
fn report_open(pull: &Pull, proposed: Option<&Image>, image: &Image) -> Result<()> {
    let number = pull.number;
    workflow::output("number", &number.to_string())?;
    let proposed = proposed.map_or("no image", |image| image.tag.as_str());
    let mut message = plain!("pull request {} is open and proposes {}", number, proposed);
    if proposed != image.tag.as_str() {
        message.push(&plain!(
            "; `--refresh` makes it {}, and its approvals are lost",
            image.tag
        ));
    }
    report("open", &message)
}

/// Prints the result, and sets the output `result`.
fn report(result: &str, message: &Plain) -> Result<()> {
    println!("{}", message.as_str());
    if result != "proposed" {
        workflow::annotate_notice(message.as_str());
    }
    workflow::output("result", result)?;
    workflow::summary(&markdown!("**Promote:** {}", message))
}
