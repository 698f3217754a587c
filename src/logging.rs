//! Structured logging to standard output.

use std::io::IsTerminal;

use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};

/// Starts logging for the whole process and warns about unknown settings.
pub fn init(config: &Config) {
    let lines = fmt().with_max_level(config.log_level);
    // This fails only if a logger is already set, which then remains.
    let _ = match config.log_format {
        LogFormat::Text => lines
            .with_ansi(std::io::stdout().is_terminal())
            .finish()
            .try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .try_init(),
    };
    for variable in &config.unknown {
        tracing::warn!(%variable, "ignored an unknown environment variable");
    }
}
