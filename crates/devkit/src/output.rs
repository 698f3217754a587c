//! What the tools print. The macros replace those of the standard library, which panic if a stream cannot be written.
//!
//! A reader that ends early, such as `head`, stops nothing: a deployment goes on. Any other error, such as that of a full
//! disk, is reported at the end.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Why standard output could not be written, the first time.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints text to standard output.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::output::stdout(::std::format_args!($($text)*)) };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($text:tt)*) => { $crate::print!("{}\n", ::std::format_args!($($text)*)) };
}

/// Prints text to standard error.
#[macro_export]
macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::stderr(::std::format_args!($($text)*)) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($($text:tt)*) => { $crate::eprint!("{}\n", ::std::format_args!($($text)*)) };
}

/// Writes to standard output. [`finish`] reports a failure.
pub fn stdout(text: fmt::Arguments<'_>) {
    note(io::stdout().lock().write_fmt(text));
}

/// Writes to standard error, all at once: lines of several processes do not mix. A failure has no place where it could be
/// reported.
pub fn stderr(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
}

/// How the process ends: with an error if something that was printed is missing.
pub fn finish(code: ExitCode) -> ExitCode {
    note(io::stdout().lock().flush());
    match FAILURE.get() {
        None => code,
        Some(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = FAILURE.set(error);
    }
}
