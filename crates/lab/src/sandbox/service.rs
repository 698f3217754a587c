//! Long-running programs inside the lab.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devkit::process::command;

use super::host::ids;
use super::layout::Layout;

/// A program that runs until the lab ends.
pub struct Service<'a> {
    /// Its name and the name of its log.
    pub name: &'a str,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// All of its environment variables.
    pub variables: Vec<(String, String)>,
    /// The user it runs as; root if none is given.
    pub user: Option<&'a str>,
}

impl<'a> Service<'a> {
    /// A program that runs as root.
    pub fn new(name: &'a str, variables: &[(String, String)], argv: &[&str]) -> Self {
        Self {
            name,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            variables: variables.to_vec(),
            user: None,
        }
    }

    /// Starts the program if it does not run yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn ensure(&self, layout: &Layout) -> Result<()> {
        if self.running() {
            return Ok(());
        }
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(layout))?;
        let mut argv = Vec::new();
        if let Some(user) = self.user {
            let (uid, gid) = ids(user)?;
            argv.extend([
                "setpriv".to_owned(),
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".into(),
                "--no-new-privs".into(),
            ]);
        }
        argv.extend(self.argv.iter().cloned());
        let child = command("setsid", &argv)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        fs::create_dir_all("/run/services")?;
        fs::write(self.pid_file(), child.id().to_string())
            .with_context(|| format!("cannot write the process id of {}", self.name))
    }

    /// Waits until `ready` returns true, and fails at once when the program ends.
    ///
    /// # Errors
    /// When the program ends or is not ready in time; the error shows the end of its log.
    pub fn wait(&self, layout: &Layout, limit: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if !self.running() {
                bail!("{} ended:\n{}", self.name, self.tail(layout));
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not ready after {} s:\n{}",
                    self.name,
                    limit.as_secs(),
                    self.tail(layout)
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn running(&self) -> bool {
        let Ok(pid) = fs::read_to_string(self.pid_file()) else {
            return false;
        };
        // The state follows the name, which is in parentheses. Source: proc(5).
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            !stat
                .rsplit(") ")
                .next()
                .unwrap_or("Z")
                .starts_with(['Z', 'X'])
        })
    }

    fn pid_file(&self) -> PathBuf {
        // On the namespace's own /run, which disappears together with the processes.
        PathBuf::from(format!("/run/services/{}.pid", self.name))
    }

    fn log(&self, layout: &Layout) -> PathBuf {
        layout.state(format!("log/{}.log", self.name))
    }

    /// The end of its log.
    pub fn tail(&self, layout: &Layout) -> String {
        let text = fs::read_to_string(self.log(layout)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}
