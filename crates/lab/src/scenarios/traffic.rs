//! Continuous requests, to see whether one fails during a roll-out.

use std::fmt;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use devkit::http::{Client, Tls};
use jiff::Timestamp;

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many failures an error shows.
const SHOWN: usize = 10;

/// A client that sends requests all the time.
pub struct Traffic {
    done: Arc<AtomicBool>,
    worker: JoinHandle<Tally>,
}

/// The requests that were answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    count: usize,
    slowest: Duration,
}

impl Add for Answers {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            slowest: self.slowest.max(other.slowest),
        }
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, slowest) = (self.count, self.slowest.as_millis());
        write!(
            f,
            "{count} requests, all answered; the slowest in {slowest} ms"
        )
    }
}

#[derive(Default)]
struct Tally {
    answered: Answers,
    /// When a request failed, and why.
    failed: Vec<String>,
}

impl Traffic {
    /// Starts to send requests to a URL, with a new connection for each.
    pub fn start(url: String) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let worker = thread::spawn(move || {
            let mut tally = Tally::default();
            loop {
                let start = Instant::now();
                // A new client has no open connection.
                let answer = Client::with_timeout(&url, Tls::none(), TIMEOUT).text("");
                let slowest = start.elapsed();
                match answer {
                    Ok(_) => tally.answered = tally.answered + Answers { count: 1, slowest },
                    Err(error) => {
                        let (now, took) = (Timestamp::now(), slowest.as_millis());
                        tally
                            .failed
                            .push(format!("{now}, after {took} ms: {error}"));
                    }
                }
                if stop.load(Ordering::Relaxed) {
                    return tally;
                }
                thread::sleep(PAUSE);
            }
        });
        Self { done, worker }
    }

    /// Stops, and returns the answers.
    ///
    /// # Errors
    /// When a request failed; with the time and the reason of the first ones.
    pub fn all_answered(self) -> Result<Answers> {
        self.done.store(true, Ordering::Relaxed);
        let Ok(Tally { answered, failed }) = self.worker.join() else {
            bail!("the thread that sends requests panicked");
        };
        ensure!(
            failed.is_empty(),
            "{} of {} requests failed:\n{}",
            failed.len(),
            answered.count + failed.len(),
            failed[..failed.len().min(SHOWN)].join("\n")
        );
        Ok(answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_an_answer_is_an_error() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", closed.local_addr().unwrap());
        drop(closed);
        let error = Traffic::start(url).all_answered().unwrap_err();
        assert!(error.to_string().contains("requests failed"), "{error}");
    }
}
