//! Git for tests: what a person has configured does not change a test.

use std::path::Path;
use std::process::Command;

/// Git in a folder, without the configuration, the attributes and the variables of the person who runs the tests.
#[must_use]
pub fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    isolate_git(git.current_dir(folder));
    git
}

/// Gives a command that starts Git the same.
pub fn isolate_git(git: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            git.env_remove(name);
        }
    }
    git.env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        // Without these, every commit starts a process that looks for work, and every repository gets samples of hooks.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "maintenance.auto")
        .env("GIT_CONFIG_VALUE_0", "false")
        .env("GIT_TEMPLATE_DIR", "")
        // Git looks for attributes and ignored files there, whatever its configuration is.
        .env("XDG_CONFIG_HOME", "/nonexistent");
}
