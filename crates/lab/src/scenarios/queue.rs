//! Which scenarios run next, and which of them at the same time.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

use devkit::progress::locked;

use super::needs::Need;
use super::part::Part;
use super::registry::Scenario;

/// Scenarios that wait for their turn, and what the running ones use.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<Waiting>,
    running: Vec<Use>,
}

struct Waiting {
    scenario: &'static Scenario,
    uses: Use,
}

/// The turn of a scenario. It ends when this is dropped.
pub struct Turn<'a> {
    /// The scenario.
    pub scenario: &'static Scenario,
    uses: Use,
    queue: &'a Queue,
}

/// What a scenario reads and changes.
#[derive(Clone, Debug, PartialEq)]
struct Use {
    reads: BTreeSet<Part>,
    changes: BTreeSet<Part>,
    /// The states that it needs and does not reach itself.
    needs: BTreeSet<Need>,
    /// The states that it reaches, and that stay.
    reaches: BTreeSet<Need>,
}

impl Use {
    fn disturbs(&self, other: &Self) -> bool {
        let uses = |part| other.reads.contains(part) || other.changes.contains(part);
        self.changes.iter().any(uses)
            || self.reads.iter().any(|part| other.changes.contains(part))
            || !self.needs.is_disjoint(&other.reaches)
    }
}

impl Queue {
    /// Scenarios in their order. The first that needs a state may have to reach it, which changes more than the scenario
    /// does. The others that need it wait for that.
    pub fn new(scenarios: &[&'static Scenario]) -> Self {
        let mut reached = BTreeSet::new();
        let waiting = scenarios.iter().map(|scenario| {
            let all = scenario.needs.iter().copied();
            let (needs, missing): (BTreeSet<Need>, BTreeSet<Need>) =
                all.partition(|need| reached.contains(need));
            let needed = missing.iter().flat_map(|need| need.changes());
            let reaches: BTreeSet<Need> = missing
                .iter()
                .flat_map(|need| need.lasting())
                .copied()
                .filter(|need| !reached.contains(need))
                .collect();
            reached.extend(reaches.iter().copied());
            let uses = Use {
                reads: scenario.reads.iter().copied().collect(),
                changes: scenario.changes.iter().chain(needed).copied().collect(),
                needs,
                reaches,
            };
            Waiting { scenario, uses }
        });
        let waiting = waiting.collect();
        Self {
            state: Mutex::new(State {
                waiting,
                running: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for the next scenario that disturbs neither those that run nor those that wait for a longer time. `None`
    /// if none is left.
    pub fn next(&self) -> Option<Turn<'_>> {
        let mut state = locked(&self.state);
        while !state.waiting.is_empty() {
            if let Some(Waiting { scenario, uses }) = state.take() {
                return Some(Turn {
                    scenario,
                    uses,
                    queue: self,
                });
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.queue.state);
        if let Some(index) = state.running.iter().position(|uses| *uses == self.uses) {
            state.running.remove(index);
        }
        self.queue.changed.notify_all();
    }
}

impl State {
    /// Moves the next scenario to those that run.
    fn take(&mut self) -> Option<Waiting> {
        let next = (0..self.waiting.len()).find(|&index| {
            let mut earlier = self.waiting.iter().take(index).map(|turn| &turn.uses);
            let uses = &self.waiting[index].uses;
            let disturbs = |other: &Use| uses.disturbs(other);
            !self.running.iter().any(disturbs) && !earlier.any(disturbs)
        })?;
        let next = self.waiting.remove(next);
        self.running.push(next.uses.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry;
    use super::*;

    fn queue(names: &[&str]) -> Queue {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Queue::new(&registry::named(&names).unwrap())
    }

    /// The next scenario, without waiting for others to end.
    fn next(queue: &Queue) -> Option<Turn<'_>> {
        let Waiting { scenario, uses } = locked(&queue.state).take()?;
        Some(Turn {
            scenario,
            uses,
            queue,
        })
    }

    fn name(turn: &Option<Turn<'_>>) -> Option<&'static str> {
        turn.as_ref().map(|turn| turn.scenario.name)
    }

    #[test]
    fn scenarios_that_use_other_parts_run_at_the_same_time() {
        let queue = queue(&["egress", "protection", "manifests"]);
        let running = [next(&queue), next(&queue), next(&queue)];
        let names = running.each_ref().map(name);
        assert_eq!(
            names,
            [Some("egress"), Some("protection"), Some("manifests")]
        );
    }

    #[test]
    fn a_scenario_waits_for_those_that_change_what_it_uses() {
        let queue = queue(&["config", "no-retrigger", "resource-tree"]);
        let first = next(&queue);
        assert_eq!(name(&first), Some("config"));
        assert!(next(&queue).is_none(), "config changes dev");
        drop(first);
        assert_eq!(name(&next(&queue)), Some("no-retrigger"));
    }

    #[test]
    fn no_scenario_overtakes_one_that_it_would_disturb() {
        let queue = queue(&["config", "protection", "feature-branch"]);
        let first = next(&queue);
        assert_eq!(name(&first), Some("config"));
        // Otherwise `protection` could wait for ever.
        assert!(next(&queue).is_none());
    }

    #[test]
    fn scenarios_that_only_read_run_at_the_same_time() {
        let queue = queue(&["config", "monitoring", "notifications", "isolation"]);
        let first = next(&queue);
        assert!(next(&queue).is_none(), "config changes what they read");
        drop(first);
        let running = [next(&queue), next(&queue)];
        let names = running.each_ref().map(name);
        assert_eq!(names, [Some("monitoring"), Some("notifications")]);
        assert!(next(&queue).is_none(), "isolation changes what they read");
    }

    #[test]
    fn a_scenario_waits_for_the_one_that_reaches_what_it_needs() {
        let queue = queue(&["rollback", "environments", "config"]);
        let first = next(&queue);
        assert_eq!(name(&first), Some("rollback"));
        assert!(
            next(&queue).is_none(),
            "rollback brings two images to staging"
        );
        drop(first);
        let running = [next(&queue), next(&queue)];
        let names = running.each_ref().map(name);
        assert_eq!(names, [Some("environments"), Some("config")]);
    }

    #[test]
    fn the_first_that_needs_a_state_may_have_to_reach_it() {
        // `environments` needs staging, which gets its image from dev.
        let alone = queue(&["environments", "config"]);
        let first = next(&alone);
        assert_eq!(name(&first), Some("environments"));
        assert!(next(&alone).is_none());
        let later = queue(&["drift", "environments", "config"]);
        drop(next(&later));
        let running = [next(&later), next(&later)];
        let names = running.each_ref().map(name);
        assert_eq!(names, [Some("environments"), Some("config")]);
    }

    #[test]
    fn every_scenario_gets_its_turn() {
        let all = registry::named(&[]).unwrap();
        let queue = Queue::new(&all);
        let turns = std::iter::from_fn(|| queue.next());
        assert_eq!(turns.count(), all.len());
    }
}
