//! Running programs, with errors that name the program and show what it said.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// A command with no inherited input.
pub fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    // `cargo lab` is `cargo run`, which says by variables which package it runs. A cargo that is started here must not
    // see them: build scripts look (ring's does), and would build half of our dependencies anew, here and afterwards.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a [`Command`] can be asked for here.
pub trait Run {
    /// Runs to the end and returns standard output.
    ///
    /// # Errors
    /// When it can't be started or fails; the message holds the command and the end of its output.
    fn read(&mut self) -> Result<String>;

    /// Runs to the end with `input` on standard input and returns standard output.
    ///
    /// # Errors
    /// As [`Run::read`].
    fn read_with(&mut self, input: &[u8]) -> Result<String>;

    /// Runs to the end; the output is only shown when it fails.
    ///
    /// # Errors
    /// As [`Run::read`].
    fn run(&mut self) -> Result<()> {
        self.read().map(drop)
    }
}

impl Run for Command {
    fn read(&mut self) -> Result<String> {
        let output = self
            .output()
            .with_context(|| format!("could not start {}", describe(self)))?;
        checked(self, &output)
    }

    fn read_with(&mut self, input: &[u8]) -> Result<String> {
        let mut child = self
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {}", describe(self)))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends early closes its input; its exit status says why.
            let _ = stdin.write_all(input);
        }
        let output = child
            .wait_with_output()
            .with_context(|| format!("could not wait for {}", describe(self)))?;
        checked(self, &output)
    }
}

fn checked(command: &Command, output: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = if stderr.trim().is_empty() {
        stdout.as_str()
    } else {
        &*stderr
    };
    let lines: Vec<&str> = said.trim_end().lines().collect();
    let tail = lines[lines.len().saturating_sub(15)..].join("\n");
    bail!("{} failed ({}):\n{tail}", describe(command), output.status)
}

/// The command as a person would type it. Environment variables are left out: they may hold secrets.
fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a program is on `PATH`.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_shows_its_words() {
        let error = command("sh", ["-c", "echo no such thing >&2; exit 3"])
            .read()
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c"), "{error}");
        assert!(error.contains("no such thing"), "{error}");
    }

    #[test]
    fn input_reaches_the_program() {
        let said = command("cat", [] as [&str; 0]).read_with(b"hello").unwrap();
        assert_eq!(said, "hello");
    }
}
