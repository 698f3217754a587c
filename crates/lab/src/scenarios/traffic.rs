//! Continuous requests, to see whether one fails during a roll-out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use devkit::http::get_text;

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// A client that sends requests all the time.
pub struct Traffic {
    done: Arc<AtomicBool>,
    worker: JoinHandle<Tally>,
}

#[derive(Default)]
struct Tally {
    answered: u32,
    failed: u32,
}

impl Traffic {
    /// Starts to send requests to a URL, with a new connection for each.
    pub fn start(url: String) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let worker = thread::spawn(move || {
            let mut tally = Tally::default();
            loop {
                match get_text(&url) {
                    Some(_) => tally.answered += 1,
                    None => tally.failed += 1,
                }
                if stop.load(Ordering::Relaxed) {
                    return tally;
                }
                thread::sleep(PAUSE);
            }
        });
        Self { done, worker }
    }

    /// Stops, and returns how many requests were answered.
    ///
    /// # Errors
    /// When a request failed.
    pub fn all_answered(self) -> Result<u32> {
        self.done.store(true, Ordering::Relaxed);
        let Ok(Tally { answered, failed }) = self.worker.join() else {
            bail!("the thread that sends requests panicked");
        };
        ensure!(
            failed == 0,
            "{failed} of {} requests failed",
            answered + failed
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
