//! A change to the values of an environment that a person asks for: `rollback`, `hold` and `release-hold`.
//!
//! The bot commits it to the branch of an environment that gets each build. The other environments change only by a
//! pull request under their usual approvals.

use super::branch::{Attempt, Branch};
use super::proposal::{Proposal, Proposed};
use super::remote::with_remote;
use super::values_file::ValuesFile;
use crate::project::root;
use crate::workflow;
use anyhow::{Context, Result, ensure};
use devkit::delivery::{Delivery, Environment, Promotion};
use devkit::git::{Git, short};
use devkit::reference::Image;
use devkit::text::{Markdown, Plain};
use devkit::values::Hold;
use devkit::{markdown, plain};
use jiff::Timestamp;

/// The options of the commands.
#[derive(clap::Args)]
pub(super) struct Change {
    /// Environment in delivery.toml to change
    #[arg(long, value_name = "NAME")]
    env: String,
    /// Replace an open pull request of the same command; its approvals are lost
    #[arg(long)]
    refresh: bool,
    /// Show the change without making it
    #[arg(long)]
    dry_run: bool,
    /// Git remote with the branch of the environment
    #[arg(long, default_value = "origin")]
    remote: String,
}

/// What a change is made to.
pub(super) struct Present<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) env: &'a Environment,
    pub(super) git: &'a Git,
    /// The tip of the environment's branch.
    pub(super) tip: &'a str,
    /// The values at the tip.
    pub(super) values: ValuesFile,
}

/// What a command decides.
pub(super) enum Decision {
    /// Nothing is to change, for this reason.
    Unchanged(Plain),
    /// The values are to change.
    Edit(Edit),
}

/// A change of the values.
pub(super) struct Edit {
    /// The new values.
    pub(super) values: ValuesFile,
    /// The message of the commit.
    pub(super) message: Plain,
    /// The change in a few words, which begin with a capital: the title of a pull request.
    pub(super) title: Plain,
    /// More about it: the description of a pull request.
    pub(super) body: Markdown,
}

/// What became of a change.
enum Outcome {
    Unchanged(Plain),
    Previewed,
    /// There is a commit, and nothing has it yet but this clone.
    Commit(String, Box<Edit>),
}

impl Change {
    /// Makes the change that `decide` derives from the present state, and reports it. `command` is the command's name,
    /// and the first part of the branch of a pull request.
    pub(super) fn run(
        &self,
        command: &str,
        decide: impl Fn(&Present) -> Result<Decision>,
    ) -> Result<()> {
        ensure!(
            workflow::var("GITOPS_REPOSITORY").is_none(),
            "the values are in a separate repository (GITOPS_REPOSITORY), which `{command}` does not change: edit the values file there"
        );
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let env = delivery.environment(&self.env)?;
        let branch = Branch {
            git: with_remote(Git::new(&root), &self.remote)?,
            remote: self.remote.clone(),
            name: env.branch.clone(),
        };
        let decide = |tip: &str| {
            let git = &branch.git;
            let values = ValuesFile::read(git, tip, &env.values)
                .with_context(|| format!("{env} cannot be changed on {}", env.branch))?;
            decide(&Present {
                delivery: &delivery,
                env,
                git,
                tip,
                values,
            })
        };
        if env.promotion == Promotion::Build {
            let outcome = branch.push(|tip| {
                Ok(match self.prepare(&branch, env, tip, decide(tip)?)? {
                    Outcome::Commit(commit, edit) => Attempt::Push {
                        commit,
                        result: Box::new(|id| Outcome::Commit(id, edit)),
                    },
                    outcome => Attempt::Done(outcome),
                })
            })?;
            return report_outcome(command, env, &outcome);
        }
        let tip = branch.tip()?;
        match self.prepare(&branch, env, &tip, decide(&tip)?)? {
            Outcome::Commit(id, edit) => {
                let commit = (id, tip);
                self.propose(command, env, &branch.git, commit, *edit)
            }
            outcome => report_outcome(command, env, &outcome),
        }
    }

    /// Makes the commit on top of `tip`, unless there is nothing to change.
    fn prepare(
        &self,
        branch: &Branch,
        env: &Environment,
        tip: &str,
        decision: Decision,
    ) -> Result<Outcome> {
        let edit = match decision {
            Decision::Unchanged(why) => return Ok(Outcome::Unchanged(why)),
            Decision::Edit(edit) => edit,
        };
        let git = &branch.git;
        let commit = edit.values.commit(git, tip, &edit.message)?;
        if self.dry_run {
            let change = git.difference(tip, &commit, &env.values)?;
            let name = &branch.name;
            let (title, message) = (edit.title.as_str(), edit.message.as_str());
            println!("{title}, on top of {name} ({})", short(tip));
            println!("\n{message}\n{change}");
            return Ok(Outcome::Previewed);
        }
        Ok(Outcome::Commit(commit, Box::new(edit)))
    }

    fn propose(
        &self,
        command: &str,
        env: &Environment,
        git: &Git,
        (head, tip): (String, String),
        edit: Edit,
    ) -> Result<()> {
        let proposal = Proposal {
            head,
            known: vec![tip],
            branch: format!("{command}/{env}"),
            base: env.branch.clone(),
            title: edit.title,
            body: edit.body,
        };
        let proposed = proposal.submit(git, &self.remote, self.refresh)?;
        let (result, pull) = match &proposed {
            Proposed::Opened(pull) => ("proposed", pull),
            Proposed::Refreshed(pull) => ("refreshed", pull),
            Proposed::Open { pull, .. } => ("open", pull),
        };
        let (number, url, title) = (pull.number, &pull.html_url, &proposal.title);
        let message = match &proposed {
            Proposed::Open { head, .. } => {
                let open = ValuesFile::read(git, head, &env.values)?;
                let state = match purpose(&open)? == purpose(&edit.values)? {
                    true => "proposes this",
                    false => {
                        "proposes something else; `--refresh` replaces it, and its approvals are lost"
                    }
                };
                plain!("pull request {} is open and {}: {}", number, state, url)
            }
            _ => plain!("{}: pull request {}, {}", title, number, url),
        };
        workflow::output("number", &number.to_string())?;
        report(command, result, &message)
    }
}

impl Present<'_> {
    /// The short name of the branch.
    pub(super) fn branch(&self) -> &str {
        &self.env.branch
    }
}

/// What a pull request is about: the image, and why and by whom it is held. The date of the hold does not count, nor do
/// other values that have changed since.
fn purpose(values: &ValuesFile) -> Result<(Option<Image>, Option<Hold>)> {
    let undated = |hold| Hold {
        since: None,
        ..hold
    };
    Ok((values.image()?, values.hold()?.map(undated)))
}

/// A hold that begins today (UTC).
pub(super) fn hold_by(person: Option<&str>, reason: &str) -> Result<Hold> {
    let person = person
        .map(str::to_owned)
        .or_else(|| workflow::var("GITHUB_ACTOR"))
        .or_else(|| workflow::var("USER"));
    let person = person.context("it is not known who holds the environment: add `--by NAME`")?;
    Ok(Hold {
        reason: Some(one_line(reason)?),
        by: Some(one_line(&person)?),
        since: Some(Timestamp::now().strftime("%Y-%m-%d").to_string()),
    })
}

/// A text that is one line, for the values and the title of a pull request.
fn one_line(text: &str) -> Result<String> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let text = text.trim();
    ensure!(
        !text.is_empty() && !text.contains(breaks),
        "`{}` must be one line of text: leave out line breaks and control characters",
        text.escape_debug()
    );
    Ok(text.to_owned())
}

fn report_outcome(command: &str, env: &Environment, outcome: &Outcome) -> Result<()> {
    match outcome {
        Outcome::Unchanged(why) => report(command, "unchanged", why),
        Outcome::Commit(id, edit) => {
            let (title, branch) = (&edit.title, &env.branch);
            let message = plain!("{}: commit {} on {}", title, short(id), branch);
            report(command, "written", &message)
        }
        Outcome::Previewed => Ok(()),
    }
}

/// Prints the result, and sets the output `result`.
fn report(command: &str, result: &str, message: &Plain) -> Result<()> {
    println!("{}", message.as_str());
    if matches!(result, "unchanged" | "open") {
        workflow::annotate_notice(message.as_str());
    }
    workflow::output("result", result)?;
    workflow::summary(&markdown!("**{}:** {}", command, message))
}
