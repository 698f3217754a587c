//! The rulesets of branches and tags.
//!
//! Who may bypass a ruleset bypasses all of it. So one ruleset has what the bot may bypass (pull request and check), and
//! another has what nobody may bypass (force-push, deletion). Creating and moving tags are separate for the same reason.
//!
//! Source: <https://docs.github.com/en/rest/repos/rules>.

use super::actor::Actor;
use super::maintainers::Maintainers;
use crate::protect::difference::{Difference, Request, Settings, settings};
use crate::protect::rules::{BranchRule, Rules, TagRule};
use anyhow::{Context, Result, ensure};
use devkit::forge::Forge;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The prefix of our rulesets' names.
const OURS: &str = "protection: ";

/// The number of the App of GitHub Actions. Without it, anyone with write access could report the required check.
const ACTIONS: u64 = 15368;

/// A ruleset in the list, which lacks its content.
#[derive(Deserialize)]
pub(super) struct Entry {
    id: u64,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Ruleset {
    name: String,
    target: String,
    enforcement: String,
    /// `None` if the token may not see it.
    bypass_actors: Option<Vec<Actor>>,
    conditions: Conditions,
    rules: Vec<Rule>,
}

#[derive(Serialize, Deserialize)]
struct Conditions {
    ref_name: Refs,
}

/// Full names of refs, which may be patterns.
#[derive(Serialize, Deserialize)]
struct Refs {
    include: Vec<String>,
    exclude: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    parameters: Settings,
}

impl Rule {
    fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            parameters: Settings::new(),
        }
    }

    fn with(kind: &str, parameters: &impl Serialize) -> Result<Self> {
        Ok(Self {
            kind: kind.to_owned(),
            parameters: settings(parameters)?,
        })
    }
}

/// The parameters of `pull_request`.
#[derive(Serialize)]
struct PullRequest {
    allowed_merge_methods: [&'static str; 1],
    required_approving_review_count: u32,
    dismiss_stale_reviews_on_push: bool,
    require_last_push_approval: bool,
    require_code_owner_review: bool,
    required_review_thread_resolution: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_reviewers: Vec<RequiredReviewer>,
}

/// A team that must approve changes of some files. GitHub calls this parameter a preview.
#[derive(Serialize, Deserialize)]
struct RequiredReviewer {
    file_patterns: Vec<String>,
    minimum_approvals: u32,
    reviewer: ReviewingTeam,
}

#[derive(Serialize, Deserialize)]
struct ReviewingTeam {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
}

impl RequiredReviewer {
    fn describe(&self) -> String {
        let ReviewingTeam { id, kind } = &self.reviewer;
        let (count, files) = (self.minimum_approvals, self.file_patterns.join(" "));
        format!("{count} of {kind} {id} for {files}")
    }
}

/// The parameters of `required_status_checks`.
#[derive(Serialize)]
struct StatusChecks {
    required_status_checks: [StatusCheck; 1],
    strict_required_status_checks_policy: bool,
    do_not_enforce_on_create: bool,
}

#[derive(Serialize, Deserialize)]
struct StatusCheck {
    context: String,
    /// The App that must report the check. Without one, anyone with write access may.
    integration_id: Option<u64>,
}

impl StatusCheck {
    fn describe(&self) -> String {
        match self.integration_id {
            None => format!("{} by anybody", self.context),
            Some(app) => format!("{} by App {app}", self.context),
        }
    }
}

/// The rulesets of a repository.
///
/// # Errors
/// When GitHub refuses, as it does in a private repository on a free plan.
pub(super) fn list(forge: &Forge) -> Result<Vec<Entry>, devkit::forge::Error> {
    forge.list("/rulesets?includes_parents=false")
}

/// What the rulesets follow from.
pub(super) struct Wanted<'a> {
    pub(super) rules: &'a Rules,
    /// The number of the delivery bot's App.
    pub(super) bot: Option<u64>,
    pub(super) maintainers: &'a Maintainers,
}

impl Wanted<'_> {
    /// The differences between the rulesets that exist and the rules.
    pub(super) fn compare(
        &self,
        forge: &Forge,
        mut existing: Vec<Entry>,
    ) -> Result<Vec<Difference>> {
        existing.retain(|entry| entry.name.starts_with(OURS));
        let mut differences = Vec::new();
        for want in self.rulesets()? {
            let known = existing.iter().position(|entry| entry.name == want.name);
            let entry = known.map(|at| existing.remove(at));
            differences.extend(compare_ruleset(forge, &want, entry)?);
        }
        differences.extend(existing.iter().map(|entry| {
            Difference::unmanaged(format!(
                "ruleset {:?} is not in the rules: remove it from the forge",
                entry.name
            ))
        }));
        Ok(differences)
    }

    /// The branches whose code owners GitHub does not ask: it asks them where an approval is required, and otherwise only
    /// teams.
    pub(super) fn unowned_branches(&self) -> impl Iterator<Item = String> {
        let rules = self.rules;
        let unowned =
            !rules.owners.files.is_empty() && !rules.solo && self.maintainers.is_personal();
        let branches = rules.branches.iter().filter(move |_| unowned);
        branches.filter(|branch| branch.approvals == 0).map(|branch| {
            format!(
                "branch {}: the review by code owners (on a personal account, GitHub requires it only where `approvals` is at least 1)",
                branch.name
            )
        })
    }

    fn rulesets(&self) -> Result<Vec<Ruleset>> {
        let mut rulesets = Vec::new();
        for branch in &self.rules.branches {
            rulesets.push(self.changes(branch)?);
        }
        let branches = self.rules.branches.iter();
        rulesets.push(ruleset(
            "history of branches".to_owned(),
            "branch",
            branches.map(|branch| reference(&branch.name)).collect(),
            Vec::new(),
            vec![Rule::new("deletion"), Rule::new("non_fast_forward")],
        ));
        let tags = &self.rules.tags;
        let creators = self.maintainers.tag_creators(&tags.creators);
        rulesets.extend(rulesets_of_tags(tags, creators));
        Ok(rulesets)
    }

    fn changes(&self, branch: &BranchRule) -> Result<Ruleset> {
        let bot = self.bot.filter(|_| branch.bot_may_push);
        let check = &self.rules.check;
        let pull_request = PullRequest {
            allowed_merge_methods: ["merge"],
            required_approving_review_count: branch.approvals,
            dismiss_stale_reviews_on_push: true,
            // This setting requires an approval, even if none are required otherwise.
            require_last_push_approval: branch.approvals > 0,
            require_code_owner_review: !self.rules.solo,
            required_review_thread_resolution: false,
            required_reviewers: self.owners(branch),
        };
        let checks = StatusChecks {
            required_status_checks: [StatusCheck {
                context: check.job.clone(),
                integration_id: Some(ACTIONS),
            }],
            strict_required_status_checks_policy: branch.up_to_date,
            do_not_enforce_on_create: false,
        };
        Ok(ruleset(
            format!("changes of {}", branch.name),
            "branch",
            vec![reference(&branch.name)],
            bot.map(|id| Actor::always("Integration", id))
                .into_iter()
                .collect(),
            vec![
                Rule::with("pull_request", &pull_request)?,
                Rule::with("required_status_checks", &checks)?,
            ],
        ))
    }

    /// The teams that own code, for a branch that requires no approval. There, GitHub does not ask code owners.
    fn owners(&self, branch: &BranchRule) -> Vec<RequiredReviewer> {
        if branch.approvals > 0 || self.rules.solo {
            return Vec::new();
        }
        let teams = self.rules.owners.teams.iter();
        let reviewer = |(team, files): (&String, &Vec<String>)| {
            Some(RequiredReviewer {
                file_patterns: files.clone(),
                minimum_approvals: 1,
                reviewer: ReviewingTeam {
                    id: self.maintainers.team(team)?,
                    kind: "Team".to_owned(),
                },
            })
        };
        teams.filter_map(reviewer).collect()
    }
}

fn compare_ruleset(
    forge: &Forge,
    want: &Ruleset,
    entry: Option<Entry>,
) -> Result<Option<Difference>> {
    let what = format!("ruleset {:?}", want.name);
    let Some(entry) = entry else {
        let request = Request::new("POST", "/rulesets", want)?;
        return Ok(Difference::between(&what, &view(want)?, None, request));
    };
    let path = format!("/rulesets/{}", entry.id);
    let have: Ruleset = forge
        .find(&path)?
        .with_context(|| format!("{what} was deleted in the meantime"))?;
    ensure!(
        have.bypass_actors.is_some(),
        "this token cannot see who may bypass {what}: use the token of an administrator"
    );
    let request = Request::new("PUT", &path, want)?;
    let have = view(&have)?;
    Ok(Difference::between(
        &what,
        &view(want)?,
        Some(&have),
        request,
    ))
}

fn rulesets_of_tags(tags: &TagRule, creators: Vec<Actor>) -> [Ruleset; 2] {
    let refs = vec![format!("refs/tags/{}", tags.pattern)];
    [
        ruleset(
            format!("making of tags {}", tags.pattern),
            "tag",
            refs.clone(),
            creators,
            vec![Rule::new("creation")],
        ),
        ruleset(
            format!("history of tags {}", tags.pattern),
            "tag",
            refs,
            Vec::new(),
            vec![Rule::new("deletion"), Rule::new("update")],
        ),
    ]
}

fn ruleset(
    name: String,
    target: &str,
    refs: Vec<String>,
    bypass: Vec<Actor>,
    rules: Vec<Rule>,
) -> Ruleset {
    Ruleset {
        name: format!("{OURS}{name}"),
        target: target.to_owned(),
        enforcement: "active".to_owned(),
        bypass_actors: Some(bypass),
        conditions: Conditions {
            ref_name: Refs {
                include: refs,
                exclude: Vec::new(),
            },
        },
        rules,
    }
}

fn reference(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// A ruleset without its structure, for readable differences.
#[derive(Serialize)]
struct View<'a> {
    target: &'a str,
    enforcement: &'a str,
    bypass: Vec<String>,
    refs: &'a [String],
    #[serde(rename = "refs left out")]
    excluded: &'a [String],
    rules: Vec<&'a str>,
}

fn view(ruleset: &Ruleset) -> Result<Settings> {
    let actors = ruleset.bypass_actors.iter().flatten();
    let refs = &ruleset.conditions.ref_name;
    let mut view = settings(&View {
        target: &ruleset.target,
        enforcement: &ruleset.enforcement,
        bypass: actors.map(Actor::describe).collect(),
        refs: &refs.include,
        excluded: &refs.exclude,
        rules: ruleset.rules.iter().map(|r| r.kind.as_str()).collect(),
    })?;
    for (key, value) in ruleset.rules.iter().flat_map(|rule| &rule.parameters) {
        let value = match key.as_str() {
            "required_status_checks" => describe(value, StatusCheck::describe)?,
            "required_reviewers" => describe(value, RequiredReviewer::describe)?,
            _ => value.clone(),
        };
        view.insert(key.clone(), value);
    }
    Ok(view)
}

/// The entries of a list in words.
fn describe<T: DeserializeOwned>(list: &Value, entry: fn(&T) -> String) -> Result<Value> {
    let entries =
        Vec::<T>::deserialize(list).context("the forge describes a rule in an unknown way")?;
    Ok(entries.iter().map(entry).collect())
}
