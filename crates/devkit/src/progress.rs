//! Progress of long work: a moving line on a terminal, plain lines in a log.

use crate::eprintln;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Where steps are shown. Everything goes to standard error, because standard output is for results.
#[derive(Clone, Copy)]
pub struct Progress {
    terminal: bool,
}

/// A step that has begun.
pub struct Step {
    text: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Default for Progress {
    fn default() -> Self {
        use std::io::IsTerminal;
        Self {
            terminal: std::io::stderr().is_terminal(),
        }
    }
}

impl Progress {
    /// Progress on standard error.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a step.
    pub fn step(self, text: impl Into<String>) -> Step {
        let text = text.into();
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
                bar.set_style(style);
            }
            bar.set_message(text.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if bar.is_none() {
            eprintln!("… {text}");
        }
        Step {
            text,
            started: Instant::now(),
            bar,
        }
    }

    /// Runs `work` as a step.
    ///
    /// # Errors
    /// What `work` returns.
    pub fn run<T, E>(
        self,
        text: impl Into<String>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let step = self.step(text);
        let value = work()?;
        step.done();
        Ok(value)
    }
}

impl Step {
    /// Prints a line above the step.
    pub fn line(&self, text: impl Display) {
        match &self.bar {
            Some(bar) => bar.println(format!("  {text}")),
            None => eprintln!("  {text}"),
        }
    }

    /// Shows a text beside the step, on a terminal only.
    pub fn show(&self, text: impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {text}", self.text));
        }
    }

    /// Shows what `say` returns until it returns `None`: at once on a terminal, every `period` in a log.
    pub fn every(&self, period: Duration, mut say: impl FnMut() -> Option<String>) {
        let mut last: Option<Instant> = None;
        while let Some(text) = say() {
            match &self.bar {
                Some(_) => self.show(text),
                None if last.is_none_or(|last| last.elapsed() >= period) => {
                    last = Some(Instant::now());
                    eprintln!("  {text}");
                }
                None => {}
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Marks the step as successful. A step that is dropped without this has failed.
    pub fn done(mut self) {
        self.finish("✓");
    }

    fn finish(&mut self, mark: &str) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return;
        }
        let line = format!(
            "{mark} {text} ({:.1} s)",
            self.started.elapsed().as_secs_f64()
        );
        match self.bar.take() {
            Some(bar) => {
                bar.finish_and_clear();
                eprintln!("{line}");
            }
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.finish("✗");
    }
}

/// The value behind a lock, even if a thread panicked while it held the lock.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shows_its_state_until_there_is_none() {
        let step = Progress::new().step("Counting");
        step.line("from two");
        let mut left = 2;
        step.every(Duration::ZERO, || {
            left -= 1;
            (left > 0).then(|| left.to_string())
        });
        step.done();
        assert_eq!(left, 0);
    }

    #[test]
    fn the_result_of_the_work_is_the_result_of_the_step() {
        assert_eq!(Progress::new().run("Working", || Ok::<_, String>(1)), Ok(1));
        let failed = Progress::new().run("Failing", || Err::<(), _>("no".to_owned()));
        assert_eq!(failed, Err("no".to_owned()));
    }
}
