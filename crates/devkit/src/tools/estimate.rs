//! How long the builds of Go programs still take.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::progress;

/// The progress of several builds.
pub(super) struct Bar {
    pub(super) step: progress::Step,
    started: Instant,
    /// Estimated minutes of the builds that have not ended.
    left: Cell<f64>,
    /// Estimated minutes of the builds that have ended, and how many they really took.
    built: Cell<f64>,
    took: Cell<f64>,
}

impl Bar {
    /// Begins builds that take so many minutes together, as estimated.
    pub(super) fn new(step: progress::Step, minutes: f64) -> Self {
        Self {
            step,
            started: Instant::now(),
            left: Cell::new(minutes),
            built: Cell::new(0.0),
            took: Cell::new(0.0),
        }
    }

    fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64() / 60.0
    }

    /// Notes that a build has ended which was estimated at so many minutes.
    pub(super) fn ended(&self, minutes: f64) {
        self.left.set(self.left.get() - minutes);
        self.built.set(self.built.get() + minutes);
        self.took.set(self.elapsed());
    }

    /// What the current build has done, from the log of `go build -v`, and how long all take.
    pub(super) fn status(&self, name: &str, log: &Path) -> String {
        let text = fs::read_to_string(log).unwrap_or_default();
        let packages = text.lines().filter(|line| !line.contains(' ')).count();
        let now = self.elapsed();
        let more = remaining(self.left.get(), self.built.get(), self.took.get(), now);
        format!("{name}: {packages} packages compiled, about {more:.0} min left in all")
    }
}

/// Minutes until the remaining builds end, which are estimated at `left`, when those estimated at `built` ended at
/// `took` and it is `now`. Builds that have ended show how fast this machine is.
fn remaining(left: f64, built: f64, took: f64, now: f64) -> f64 {
    let pace = if built > 0.0 { took / built } else { 1.0 };
    let whole = left * pace;
    // A build that is slower than estimated is not nearly done all the time.
    (whole - (now - took)).max(whole * 0.2).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_that_ended_show_how_long_the_others_take() {
        // None has ended: the estimate without the time that has passed.
        assert_eq!(remaining(30.0, 0.0, 0.0, 10.0), 20.0);
        // Half of it took twice as long as estimated.
        assert_eq!(remaining(15.0, 15.0, 30.0, 30.0), 30.0);
        assert_eq!(remaining(15.0, 15.0, 30.0, 40.0), 20.0);
        // A build takes longer than estimated.
        assert_eq!(remaining(15.0, 15.0, 30.0, 90.0), 6.0);
        assert_eq!(remaining(0.3, 29.7, 25.0, 25.1), 1.0);
    }
}
