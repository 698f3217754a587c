//! The code owners of the project, from `.github/CODEOWNERS`.
//!
//! Source: <https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners>.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

/// Where the project lists its code owners.
pub(super) const FILE: &str = ".github/CODEOWNERS";

/// Who owns which files.
#[derive(Debug, Default)]
pub(super) struct CodeOwners {
    /// The files of each team, as fnmatch patterns. A team is named without its organisation.
    pub(super) teams: BTreeMap<String, Vec<String>>,
    /// The files that have an owner, as fnmatch patterns.
    pub(super) files: BTreeSet<String>,
}

impl CodeOwners {
    /// Reads the file of a project; without one there are no owners.
    pub(super) fn read(root: &Path) -> Result<Self> {
        match std::fs::read_to_string(root.join(FILE)) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {FILE}")),
        }
    }

    fn parse(text: &str) -> Self {
        let mut owners = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(pattern) = words.next() else {
                continue;
            };
            for owner in words {
                owners.files.insert(fnmatch(pattern));
                if let Some((_, team)) = owner.split_once('/') {
                    let files = owners.teams.entry(team.to_owned()).or_default();
                    files.push(fnmatch(pattern));
                }
            }
        }
        owners
    }
}

/// A pattern of CODEOWNERS as one of fnmatch, which rulesets use: `/crates/` is `crates/**`.
fn fnmatch(pattern: &str) -> String {
    let from_top = pattern.strip_prefix('/');
    let path = from_top.unwrap_or(pattern);
    let below = match path.strip_suffix('/') {
        Some(folder) => format!("{folder}/**"),
        None => path.to_owned(),
    };
    // Like .gitignore, a name without a slash at its beginning or in it is meant in every folder.
    let anywhere = from_top.is_none() && !path.trim_end_matches('/').contains('/');
    match anywhere {
        true => format!("**/{below}"),
        false => below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_own_files_by_patterns_from_the_top() {
        let owners = CodeOwners::parse(
            "# These decide.\n/.github/ @acme/maintainers\n/Dockerfile @acme/maintainers @ann # both\n\n*.sql @acme/data\ndocs/api/ @acme/data\n",
        );
        assert_eq!(
            owners.teams["maintainers"],
            [".github/**".to_owned(), "Dockerfile".to_owned()]
        );
        assert_eq!(
            owners.teams["data"],
            ["**/*.sql".to_owned(), "docs/api/**".to_owned()]
        );
        assert_eq!(owners.teams.len(), 2);
        let all = [".github/**", "Dockerfile", "**/*.sql", "docs/api/**"];
        assert_eq!(owners.files, all.map(str::to_owned).into());
    }

    #[test]
    fn a_file_without_an_owner_has_no_rule() {
        assert!(CodeOwners::parse("# nothing\n/docs/\n").files.is_empty());
    }

    /// What runs with the bot's key, or decides what is checked and what production runs.
    const OWNED: [&str; 16] = [
        "/.github/",
        "/.cargo/",
        "/crates/",
        "/charts/",
        "/argocd/",
        "/nix/",
        "/nixos-vm/",
        "/delivery.toml",
        "/Dockerfile",
        "/Cargo.toml",
        "/Cargo.lock",
        "/flake.nix",
        "/flake.lock",
        "/deny.toml",
        "/quality.toml",
        "/rust-toolchain.toml",
    ];

    fn without_owner(text: &str) -> Vec<&'static str> {
        let files = CodeOwners::parse(text).files;
        let mut missing = OWNED.to_vec();
        missing.retain(|pattern| !files.contains(&fnmatch(pattern)));
        missing
    }

    #[test]
    fn what_delivers_has_an_owner_in_this_project() {
        let text = std::fs::read_to_string(Path::new("../..").join(FILE)).unwrap();
        assert_eq!(without_owner(&text), [""; 0]);
        for path in OWNED {
            let others = text.lines().filter(|line| !line.starts_with(path));
            let others: Vec<&str> = others.collect();
            assert_eq!(without_owner(&others.join("\n")), [path], "without {path}");
        }
    }
}
