//! Runs other programs. Every error names the command line and shows what the program printed.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

/// Why a program did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is missing or may not be run.
    #[error("cannot start `{program}`: is it installed and on PATH?")]
    Start {
        /// The program's name, as it was looked up.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The program ended with another exit status than 0.
    #[error("`{line}` failed ({status}){}", after_colon(.output))]
    Failed {
        /// The command as a person would type it.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it printed; empty where they went to the terminal.
        output: String,
    },
    /// The program printed bytes where text was expected.
    #[error("`{line}` printed something that is not UTF-8")]
    NotUtf8 {
        /// The command as a person would type it.
        line: String,
    },
}

fn after_colon(output: &str) -> String {
    match output.trim() {
        "" => String::new(),
        text if text.contains('\n') => format!(":\n{text}"),
        text => format!(": {text}"),
    }
}

/// How many lines of a failed program's output an error shows.
const TAIL: usize = 15;

/// Folders that [`append_path`] put after PATH.
static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Puts folders after PATH for all commands that this process starts. Only the first call has an effect.
pub fn append_path(folders: Vec<PathBuf>) {
    let _ = FOLDERS.set(folders);
}

/// The PATH that commands get: this process's own, then the folders of [`append_path`].
pub fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match FOLDERS.get() {
        None => path,
        Some(folders) => {
            let folders = std::env::split_paths(&path).chain(folders.iter().cloned());
            std::env::join_paths(folders).unwrap_or(path)
        }
    }
}

/// Where `program` is, if [`search_path`] has it.
pub fn find(program: &str) -> Option<PathBuf> {
    which::which_in(program, Some(search_path()), "/").ok()
}

/// A command with its arguments and no input. It can be read by others on this machine: secrets belong in its
/// environment.
pub fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("PATH", search_path())
        .stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if names_this_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether `cargo run` set a variable to name the package it runs. A cargo that this program starts must not see it:
/// some build scripts (ring's) depend on it, and each new value rebuilds half of the dependencies.
fn names_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// How to run a [`Command`].
pub trait Run {
    /// Runs to the end; its output streams to the terminal.
    ///
    /// # Errors
    /// When it cannot be started, or fails.
    fn run(&mut self) -> Result<(), Error>;

    /// Runs to the end; its output is only shown in the error when it fails.
    ///
    /// # Errors
    /// As [`Run::run`].
    fn run_quietly(&mut self) -> Result<(), Error> {
        self.read_bytes().map(drop)
    }

    /// Runs to the end and returns its output and exit status, whatever they are.
    ///
    /// # Errors
    /// When it cannot be started.
    fn capture(&mut self) -> Result<Output, Error>;

    /// Runs to the end and returns its standard output, byte for byte.
    ///
    /// # Errors
    /// As [`Run::run`].
    fn read_bytes(&mut self) -> Result<Vec<u8>, Error>;

    /// Runs to the end and returns its standard output without the white space at the end.
    ///
    /// # Errors
    /// As [`Run::run`], and when the output is not UTF-8.
    fn read(&mut self) -> Result<String, Error>;

    /// As [`Run::read`], with `input` on standard input.
    ///
    /// # Errors
    /// As [`Run::read`].
    fn read_with(&mut self, input: &[u8]) -> Result<String, Error>;
}

impl Run for Command {
    fn run(&mut self) -> Result<(), Error> {
        let status = self.status().map_err(|source| cannot_start(self, source))?;
        match status.success() {
            true => Ok(()),
            false => Err(failed(self, status, String::new())),
        }
    }

    fn capture(&mut self) -> Result<Output, Error> {
        self.output().map_err(|source| cannot_start(self, source))
    }

    fn read_bytes(&mut self) -> Result<Vec<u8>, Error> {
        let output = self.capture()?;
        checked(self, output)
    }

    fn read(&mut self) -> Result<String, Error> {
        let bytes = self.read_bytes()?;
        text(self, bytes)
    }

    fn read_with(&mut self, input: &[u8]) -> Result<String, Error> {
        let mut child = self
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| cannot_start(self, source))?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // Beside the wait: a program that prints before it has read everything would otherwise block both. One
            // that ends early closes its input, and its exit status says why.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output()
        });
        let output = output.map_err(|source| cannot_start(self, source))?;
        let bytes = checked(self, output)?;
        text(self, bytes)
    }
}

fn checked(command: &Command, output: Output) -> Result<Vec<u8>, Error> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = match stderr.trim() {
        "" => String::from_utf8_lossy(&output.stdout),
        _ => stderr,
    };
    let lines: Vec<&str> = said.trim().lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    Err(failed(command, output.status, tail))
}

fn text(command: &Command, bytes: Vec<u8>) -> Result<String, Error> {
    let mut text = String::from_utf8(bytes).map_err(|_| Error::NotUtf8 {
        line: line(command),
    })?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

fn cannot_start(command: &Command, source: io::Error) -> Error {
    Error::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

fn failed(command: &Command, status: ExitStatus, output: String) -> Error {
    Error::Failed {
        line: line(command),
        status,
        output,
    }
}

/// The command as a person would type it, without its environment: that may hold secrets.
pub fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_shows_what_it_printed() {
        let error = command("sh", ["-c", "echo no such thing >&2; exit 3"])
            .read()
            .unwrap_err()
            .to_string();
        assert!(error.contains("`sh -c"), "{error}");
        assert!(error.contains("exit status: 3): no such thing"), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = command("no-such-program", [""; 0]).run().unwrap_err();
        assert!(error.to_string().contains("`no-such-program`"), "{error}");
        assert_eq!(find("no-such-program"), None);
    }

    #[test]
    fn more_input_and_output_than_a_pipe_holds_goes_through() {
        let long = "x".repeat(1 << 20);
        let read = command("cat", [""; 0]).read_with(long.as_bytes()).unwrap();
        assert_eq!(read.len(), long.len());
    }

    #[test]
    fn output_that_is_not_text_is_an_error_and_not_a_guess() {
        let error = command("printf", ["\\377"]).read().unwrap_err();
        assert!(matches!(error, Error::NotUtf8 { .. }), "{error}");
    }
}
