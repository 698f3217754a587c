//! Waiting for an expectation that is met, not met yet, or can never be met.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The result of one check.
#[derive(Debug)]
pub enum Verdict<T> {
    /// The expectation is met.
    Met(T),
    /// It is not met yet, with what is missing.
    Pending(String),
    /// It can never be met, with the reason.
    Failed(String),
}

/// Checks repeatedly, first every 10 ms and later every second, until the expectation is met.
///
/// # Errors
/// When it can never be met, or is not met in time; the error has the result of the last check.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> Result<Verdict<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(10);
    loop {
        let missing = match check() {
            Ok(Verdict::Met(value)) => return Ok(value),
            Ok(Verdict::Failed(reason)) => bail!("{what}: {reason}"),
            Ok(Verdict::Pending(missing)) => missing,
            // The server that answers may be restarting.
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("{what}: not within {} s: {missing}", limit.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ends_the_wait_at_once() {
        let started = Instant::now();
        let error = eventually::<()>("the pod runs", Duration::from_secs(60), || {
            Ok(Verdict::Failed("ImagePullBackOff".into()))
        })
        .unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(error.to_string(), "the pod runs: ImagePullBackOff");
    }

    #[test]
    fn the_deadline_says_what_was_missing() {
        let error = eventually::<()>("the pod runs", Duration::ZERO, || {
            Ok(Verdict::Pending("0 of 1 ready".into()))
        })
        .unwrap_err();
        assert!(error.to_string().contains("0 of 1 ready"), "{error}");
    }
}
