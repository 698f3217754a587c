//! The timeline of a delivery: when each step ended and how long it took.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One step of a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What was done at the end of the step.
    pub name: String,
    /// When the step before ended.
    pub start: Timestamp,
    /// When the step ended.
    pub end: Timestamp,
    /// How long the step took.
    pub seconds: f64,
}

/// The steps of a delivery, in order. Each starts when the one before ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline {
    steps: Vec<Step>,
}

/// Records a timeline.
pub struct Recorder {
    last: Timestamp,
    steps: Vec<Step>,
}

impl Recorder {
    /// Starts the first step now.
    pub fn start() -> Self {
        Self::since(Timestamp::now())
    }

    /// The first step began at `start`.
    pub fn since(start: Timestamp) -> Self {
        Self {
            last: start,
            steps: Vec::new(),
        }
    }

    /// Records a step that ended now.
    pub fn record(&mut self, name: &str) {
        self.record_at(name, Timestamp::now());
    }

    /// Records a step that ended at `end`. Other servers' clocks have a precision of seconds, so a step that seems to
    /// have ended before it started took no time.
    pub fn record_at(&mut self, name: &str, end: Timestamp) {
        let end = end.max(self.last);
        let seconds = end.duration_since(self.last).as_secs_f64();
        self.steps.push(Step {
            name: name.to_owned(),
            start: self.last,
            end,
            seconds,
        });
        self.last = end;
    }

    /// The recorded timeline.
    pub fn finish(self) -> Timeline {
        Timeline { steps: self.steps }
    }
}

impl Timeline {
    /// Seconds from the start of the first step to the end of the last.
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }

    /// A table with a line for each step.
    pub fn table(&self) -> String {
        let line = |name: &str, seconds: f64| format!("  {name:<18} {seconds:>7.1} s\n");
        let mut table: String = self
            .steps
            .iter()
            .map(|step| line(&step.name, step.seconds))
            .collect();
        table.push_str(&line("push to serving", self.seconds()));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_contiguous_and_never_run_backwards() {
        let mut recorder = Recorder::start();
        let start = recorder.last;
        recorder.record_at("built", start + jiff::SignedDuration::from_secs(5));
        recorder.record_at("published", start + jiff::SignedDuration::from_secs(4));
        let timeline = recorder.finish();
        assert_eq!(timeline.steps[1].start, timeline.steps[0].end);
        assert!((timeline.seconds() - 5.0).abs() < 1e-9);
    }
}
