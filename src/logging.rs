//! Structured logging to standard output. It never blocks and never fails.

mod queue;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};
use queue::Queue;

/// The lines on their way to standard output.
static QUEUE: Queue = Queue::new();

/// The time that the end of the process waits for a reader of its output.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes the remaining lines when it is dropped.
#[must_use]
pub struct Flush(());

impl Drop for Flush {
    fn drop(&mut self) {
        QUEUE.flush(PATIENCE);
    }
}

/// Starts logging for the whole process and warns about unknown settings. Fails if the process cannot start a thread.
pub fn init(config: &Config) -> anyhow::Result<Flush> {
    // The standard library's handle for standard output has a lock and a buffer, which the end of the process waits for.
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            QUEUE.write_to(output, |lines| {
                tracing::warn!(
                    lines,
                    "dropped log lines that standard output did not accept"
                );
            });
        })
        .context("cannot start the thread that writes the log")?;

    let lines = fmt()
        .with_max_level(config.log_level)
        .with_writer(|| &QUEUE);
    // This fails only if a logger is already set, which then remains.
    let _ = match config.log_format {
        LogFormat::Text => lines
            .with_ansi(io::stdout().is_terminal())
            .finish()
            .try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .try_init(),
    };
    // The default hook writes to standard error, which may block.
    panic::set_hook(Box::new(
        |panic| tracing::error!(%panic, "a thread panicked"),
    ));
    for variable in &config.unknown {
        tracing::warn!(%variable, "ignored an unknown environment variable");
    }
    Ok(Flush(()))
}

/// The number of log lines that were dropped because nothing read them in time.
pub fn dropped_lines() -> u64 {
    QUEUE.dropped()
}

/// Writes a message as lines to standard error. It gives up if nothing reads them.
pub fn print_error(message: impl Display) {
    let line = format!("{}\n", message.to_string().trim_end());
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = done.send(());
    });
    let _ = finished.recv_timeout(PATIENCE);
}
