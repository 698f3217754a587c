//! The limits of time that the requirements set for the steps of a scenario.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Measures steps, each of which starts when the one before ended.
pub struct Budget {
    start: Instant,
    last: Instant,
    exceeded: Vec<String>,
}

impl Budget {
    /// Starts the first step now.
    pub fn start() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            last: now,
            exceeded: Vec::new(),
        }
    }

    /// Ends a step now, and prints how long it took. A limit that is exceeded is an error only at the end, so that a run
    /// on a slow machine shows all steps.
    pub fn end(&mut self, step: &str, limit: Duration) {
        self.judge(step, self.last.elapsed(), limit);
        self.last = Instant::now();
    }

    /// Ends the last step.
    ///
    /// # Errors
    /// When a step or all of them together took longer than their limit.
    pub fn finish(mut self, limit: Duration) -> Result<()> {
        self.judge("all steps", self.start.elapsed(), limit);
        ensure!(self.exceeded.is_empty(), "{}", self.exceeded.join("; "));
        Ok(())
    }

    fn judge(&mut self, step: &str, took: Duration, limit: Duration) {
        let (took, limit) = (took.as_secs_f64(), limit.as_secs_f64());
        eprintln!("  {step:<28} {took:>7.1} s of {limit:.0} s");
        if took > limit {
            let late = format!("{step} took {took:.1} s; the limit is {limit:.0} s");
            self.exceeded.push(late);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_that_is_late_is_named() {
        let mut budget = Budget::start();
        budget.end("slow", Duration::ZERO);
        budget.end("quick", Duration::from_secs(60));
        let error = budget.finish(Duration::from_secs(60)).unwrap_err();
        assert!(error.to_string().starts_with("slow took "), "{error}");
        assert!(!error.to_string().contains("quick"), "{error}");
        Budget::start().finish(Duration::from_secs(60)).unwrap();
    }
}
