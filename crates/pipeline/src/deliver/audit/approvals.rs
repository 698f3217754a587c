//! Who approved and merged a pull request, from the forge.

use super::history::Change;
use super::{Action, Event};
use anyhow::Result;
use devkit::delivery::Environment;
use devkit::forge::{Forge, Pull, ReviewState};
use jiff::Timestamp;

/// The approvals and the merge of the pull request that brought a change; nothing for a commit of the bot.
pub(super) fn of(forge: &Forge, env: &Environment, change: &Change) -> Result<Vec<Event>> {
    let Some(pull) = pull(forge, change)? else {
        return Ok(Vec::new());
    };
    let number = pull.number;
    let what = format!("#{number} {}", pull.title);
    let event = |time: Option<&str>, action, who: &str| Event {
        time: time.and_then(|time| time.parse::<Timestamp>().ok()),
        environment: env.name.clone(),
        action,
        who: who.to_owned(),
        what: what.clone(),
    };
    let mut events = Vec::new();
    for review in forge.reviews(number)? {
        if review.state == ReviewState::Approved {
            let time = review.submitted_at.as_deref();
            events.push(event(time, Action::Approved, &review.user.login));
        }
    }
    if let Some(person) = &pull.merged_by {
        events.push(event(
            pull.merged_at.as_deref(),
            Action::Merged,
            &person.login,
        ));
    }
    Ok(events)
}

/// The pull request whose merge is the commit. Forges name it in the subject; only a number that the forge confirms counts.
fn pull(forge: &Forge, change: &Change) -> Result<Option<Pull>> {
    let numbers = change.commit.subject.split('#').skip(1);
    let numbers = numbers.filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse::<u64>().ok()
    });
    for number in numbers {
        if let Some(pull) = forge.find_pull(number)?
            && pull.merge_commit() == Some(&change.commit.sha)
        {
            return Ok(Some(pull));
        }
    }
    Ok(None)
}
