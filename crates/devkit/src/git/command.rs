//! Git commands that do not depend on a person's configuration. From the system's and the user's files they get only
//! what reaches a remote (credentials, proxies, SSH, URL rewriting), variables such as `GIT_DIR` are removed, and
//! settings that change what a command does are fixed, even where a repository's own configuration has others.

use super::{Git, Identity};
use crate::process::{Run, command};
use std::process::Command;

/// Variables of the caller that reach Git: they are about transports and traces. Others, such as `GIT_DIR`,
/// `GIT_INDEX_FILE` or `GIT_DEFAULT_HASH`, would change which repository a command works on, or how.
const KEPT_VARIABLES: [&str; 11] = [
    "GIT_SSH",
    "GIT_SSL_",
    "GIT_ASKPASS",
    "GIT_PROXY_",
    "GIT_HTTP_",
    "GIT_TRACE",
    "GIT_CURL_",
    "GIT_ALLOW_PROTOCOL",
    "GIT_PROTOCOL",
    "GIT_EXEC_PATH",
    "GIT_TRANSFER_TRACE",
];

/// Sections and keys of the system's and the user's configuration that reach Git: what a remote may need.
const KEPT_SETTINGS: [&str; 10] = [
    "credential.",
    "http.",
    "https.",
    "url.",
    "ssh.",
    "safe.directory",
    "protocol.",
    "core.sshcommand",
    "core.gitproxy",
    "core.askpass",
];

/// Settings that no configuration overrides, a repository's own included.
const FIXED_SETTINGS: [(&str, &str); 45] = [
    ("advice.graftFileDeprecated", "false"),
    ("color.diff", "false"),
    ("color.ui", "false"),
    ("commit.gpgSign", "false"),
    ("core.abbrev", "auto"),
    ("core.attributesFile", "/dev/null"),
    ("core.commentChar", "#"),
    ("core.excludesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.quotePath", "true"),
    ("diff.dstPrefix", "b/"),
    ("diff.mnemonicPrefix", "false"),
    ("diff.noprefix", "false"),
    ("diff.orderFile", "/dev/null"),
    ("diff.srcPrefix", "a/"),
    ("diff.submodule", "short"),
    ("diff.suppressBlankEmpty", "false"),
    ("diff.wsErrorHighlight", "none"),
    ("fetch.prune", "false"),
    ("fetch.pruneTags", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("format.pretty", "medium"),
    ("gc.auto", "0"),
    ("grep.extendedRegexp", "false"),
    ("grep.patternType", "default"),
    ("i18n.commitEncoding", "UTF-8"),
    ("i18n.logOutputEncoding", "UTF-8"),
    ("log.date", "default"),
    ("log.follow", "false"),
    ("log.mailmap", "false"),
    ("log.showRoot", "true"),
    ("log.showSignature", "false"),
    ("maintenance.auto", "false"),
    ("merge.default", "text"),
    ("merge.renames", "true"),
    ("push.followTags", "false"),
    ("push.gpgSign", "false"),
    ("push.pushOption", ""),
    ("push.recurseSubmodules", "no"),
    ("submodule.recurse", "false"),
    ("tag.gpgSign", "false"),
    ("trailer.separators", ":"),
    ("user.useConfigOnly", "true"),
];

impl Git {
    /// A Git command in this repository.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut git = command("git", args);
        git.current_dir(&self.folder);
        self.isolate(&mut git);
        git
    }

    /// Gives a command, and every Git that it starts, the configuration and the variables of [`Git::command`].
    pub fn isolate(&self, git: &mut Command) {
        without_variables(git);
        git.env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_GRAFT_FILE", "/dev/null")
            // Reading must not keep an editor from using the index.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        let kept = self.kept.get_or_init(|| self.settings_of_caller());
        let fixed = FIXED_SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = kept.iter().chain(&fixed).chain(&self.settings);
        let mut count = 0;
        for (key, value) in settings {
            git.env(format!("GIT_CONFIG_KEY_{count}"), key)
                .env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        git.env("GIT_CONFIG_COUNT", count.to_string());
        if let Some(Identity { name, email }) = &self.identity {
            for role in ["AUTHOR", "COMMITTER"] {
                git.env(format!("GIT_{role}_NAME"), name)
                    .env(format!("GIT_{role}_EMAIL"), email);
            }
        }
    }

    /// What the system's, the user's and the command line's configuration say about remotes. Where Git cannot tell,
    /// the command that follows says why.
    fn settings_of_caller(&self) -> Vec<(String, String)> {
        let mut git = command("git", ["config", "--list", "--null", "--show-scope"]);
        git.current_dir(&self.folder);
        without_variables(&mut git);
        for (name, value) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_CONFIG") {
                git.env(name, value);
            }
        }
        let listed = git.read_bytes().unwrap_or_default();
        parse_settings(&String::from_utf8_lossy(&listed))
    }
}

/// Removes the variables that would change what a Git command works on.
pub fn without_variables(git: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let keep = KEPT_VARIABLES.iter().any(|kept| text.starts_with(kept));
        if text.starts_with("GIT_") && !keep {
            git.env_remove(&name);
        }
    }
}

/// The entries of `git config --list --null --show-scope` that reach a remote and are not a repository's own.
fn parse_settings(listed: &str) -> Vec<(String, String)> {
    let mut fields = listed.split('\0');
    let mut settings = Vec::new();
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        // A key without a value means true.
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        let caller = matches!(scope, "system" | "global" | "command");
        if caller && KEPT_SETTINGS.iter().any(|kept| key.starts_with(kept)) {
            settings.push((key.to_owned(), value.to_owned()));
        }
    }
    settings
}
