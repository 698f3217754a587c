//! The rulesets of branches and tags.
//!
//! Who may bypass a ruleset bypasses all of it. So one ruleset has what the bot may bypass (pull request and check), and
//! another has what nobody may bypass (force-push, deletion). Creating and moving tags are separate for the same reason.
//!
//! Source: <https://docs.github.com/en/rest/repos/rules>.

use super::Teams;
use crate::protect::difference::{Difference, Request, Settings, settings};
use crate::protect::rules::{BranchRule, Rules, TagRule};
use anyhow::{Context, Result, ensure};
use devkit::delivery::Check;
use devkit::forge::Forge;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The prefix of our rulesets' names.
const OURS: &str = "protection: ";

/// The number of the App of GitHub Actions. Without it, anyone with write access could report the required check.
const ACTIONS: u64 = 15368;

/// A ruleset in the list, which lacks its content.
#[derive(Deserialize)]
struct Entry {
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

/// Who may bypass a ruleset.
#[derive(Serialize, Deserialize)]
struct Actor {
    actor_type: String,
    /// `None` for kinds of which there is only one, such as deploy keys.
    actor_id: Option<u64>,
    bypass_mode: String,
}

impl Actor {
    fn always(kind: &str, id: u64) -> Self {
        Self {
            actor_type: kind.to_owned(),
            actor_id: Some(id),
            bypass_mode: "always".to_owned(),
        }
    }

    fn describe(&self) -> String {
        let id = self.actor_id.map(|id| format!(" {id}"));
        format!(
            "{}{} ({})",
            self.actor_type,
            id.unwrap_or_default(),
            self.bypass_mode
        )
    }
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

/// The differences between the rulesets of a repository and the rules.
pub(super) fn compare(
    forge: &Forge,
    rules: &Rules,
    bot: Option<u64>,
    teams: &Teams,
) -> Result<Vec<Difference>> {
    let mut listed: Vec<Entry> = forge.list("/rulesets?includes_parents=false")?;
    listed.retain(|entry| entry.name.starts_with(OURS));
    let mut differences = Vec::new();
    for want in wanted(rules, bot, teams)? {
        let known = listed.iter().position(|entry| entry.name == want.name);
        let entry = known.map(|at| listed.remove(at));
        differences.extend(compare_ruleset(forge, &want, entry)?);
    }
    differences.extend(listed.iter().map(|entry| {
        Difference::unmanaged(format!(
            "ruleset {:?} is not in the rules: remove it from the forge",
            entry.name
        ))
    }));
    Ok(differences)
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

fn wanted(rules: &Rules, bot: Option<u64>, teams: &Teams) -> Result<Vec<Ruleset>> {
    let mut rulesets = Vec::new();
    for branch in &rules.branches {
        rulesets.push(changes(branch, &rules.check, bot)?);
    }
    let branches = rules.branches.iter().map(|branch| reference(&branch.name));
    rulesets.push(ruleset(
        "history of branches".to_owned(),
        "branch",
        branches.collect(),
        Vec::new(),
        vec![Rule::new("deletion"), Rule::new("non_fast_forward")],
    ));
    rulesets.extend(tags(&rules.tags, teams));
    Ok(rulesets)
}

fn changes(branch: &BranchRule, check: &Check, bot: Option<u64>) -> Result<Ruleset> {
    let bot = bot.filter(|_| branch.bot_may_push);
    let pull_request = PullRequest {
        allowed_merge_methods: ["merge"],
        required_approving_review_count: branch.approvals,
        dismiss_stale_reviews_on_push: true,
        // This setting requires an approval, even if none are required otherwise.
        require_last_push_approval: branch.approvals > 0,
        require_code_owner_review: false,
        required_review_thread_resolution: false,
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

fn tags(tags: &TagRule, teams: &Teams) -> [Ruleset; 2] {
    let refs = vec![format!("refs/tags/{}", tags.pattern)];
    let creators = tags.creators.iter().filter_map(|team| teams.get(team));
    [
        ruleset(
            format!("making of tags {}", tags.pattern),
            "tag",
            refs.clone(),
            creators.map(|id| Actor::always("Team", *id)).collect(),
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
            "required_status_checks" => describe_checks(value)?,
            _ => value.clone(),
        };
        view.insert(key.clone(), value);
    }
    Ok(view)
}

fn describe_checks(checks: &Value) -> Result<Value> {
    let checks = Vec::<StatusCheck>::deserialize(checks)
        .context("the forge describes required checks in an unknown way")?;
    Ok(checks.iter().map(StatusCheck::describe).collect())
}
