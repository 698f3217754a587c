//! The way of a commit, hop by hop, with times.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One stretch of the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hop {
    /// What was reached at the end of it.
    pub name: String,
    /// When the one before ended.
    pub start: Timestamp,
    /// When it was reached.
    pub end: Timestamp,
    /// How long it took.
    pub seconds: f64,
}

/// A commit that went all the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journey {
    /// The commit of the checkout.
    pub commit: String,
    /// The commit the image was built from: the same, or the merge of it.
    pub built_commit: String,
    /// Where the service answers on the host's loopback.
    pub url: String,
    /// The hops in the order they were reached.
    pub hops: Vec<Hop>,
}

/// Collects hops: each begins where the one before ended.
pub struct Clock {
    last: Timestamp,
    hops: Vec<Hop>,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self {
            last: Timestamp::now(),
            hops: Vec::new(),
        }
    }

    /// A hop that ended now.
    pub fn reached(&mut self, name: &str) {
        self.reached_at(name, Timestamp::now());
    }

    /// A hop that ended then. Clocks of services are read to the second, so one that seems to have
    /// ended before it began took no time.
    pub fn reached_at(&mut self, name: &str, end: Timestamp) {
        let end = end.max(self.last);
        let seconds = end.duration_since(self.last).as_secs_f64();
        self.hops.push(Hop {
            name: name.to_owned(),
            start: self.last,
            end,
            seconds,
        });
        self.last = end;
    }

    /// All hops.
    pub fn hops(self) -> Vec<Hop> {
        self.hops
    }
}

impl Journey {
    /// Seconds from the first hop's start to the last one's end.
    pub fn seconds(&self) -> f64 {
        self.hops.iter().map(|hop| hop.seconds).sum()
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for hop in &self.hops {
            table.push_str(&format!("  {:<18} {:>7.1} s\n", hop.name, hop.seconds));
        }
        table.push_str(&format!(
            "  {:<18} {:>7.1} s\n",
            "push to serving",
            self.seconds()
        ));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_join_and_never_run_backwards() {
        let mut clock = Clock::start();
        let start = clock.last;
        clock.reached_at("built", start + jiff::SignedDuration::from_secs(5));
        clock.reached_at("published", start + jiff::SignedDuration::from_secs(4));
        let journey = Journey {
            commit: String::new(),
            built_commit: String::new(),
            url: String::new(),
            hops: clock.hops(),
        };
        assert_eq!(journey.hops[1].start, journey.hops[0].end);
        assert!((journey.seconds() - 5.0).abs() < 1e-9);
    }
}
