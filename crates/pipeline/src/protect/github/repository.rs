//! The repository itself: its owner, its merge options, and what the plan offers.
//!
//! Source: <https://docs.github.com/en/rest/repos/repos>.

use crate::protect::difference::Settings;
use devkit::forge::Forge;
use serde::{Deserialize, Serialize};

/// Only merge commits: a promotion must contain the tested commits unchanged.
#[derive(Serialize)]
pub(super) struct MergeSettings {
    allow_merge_commit: bool,
    allow_squash_merge: bool,
    allow_rebase_merge: bool,
}

pub(super) const MERGE_COMMITS: MergeSettings = MergeSettings {
    allow_merge_commit: true,
    allow_squash_merge: false,
    allow_rebase_merge: false,
};

/// The repository, as an administrator sees it.
#[derive(Deserialize)]
pub(super) struct Repository {
    pub(super) owner: Account,
    pub(super) private: bool,
    #[serde(default)]
    security_and_analysis: Option<Security>,
    #[serde(flatten)]
    pub(super) settings: Settings,
}

/// A user or an organisation.
#[derive(Clone, Deserialize)]
pub(super) struct Account {
    pub(super) login: String,
    pub(super) id: u64,
    #[serde(rename = "type")]
    pub(super) kind: AccountKind,
}

/// The kinds of accounts.
#[derive(Clone, Copy, PartialEq, Deserialize)]
pub(super) enum AccountKind {
    User,
    /// An organisation, or a kind that this program does not know.
    #[serde(other)]
    Organization,
}

/// The paid features of private repositories.
#[derive(Deserialize)]
struct Security {
    advanced_security: Option<Feature>,
    code_security: Option<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    status: Option<FeatureStatus>,
}

#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FeatureStatus {
    Enabled,
    #[serde(other)]
    Disabled,
}

impl Repository {
    /// Whether code scanning takes results: always in a public repository, and with a licence in a private one.
    pub(super) fn has_code_scanning(&self) -> bool {
        let security = self.security_and_analysis.as_ref();
        let features = security
            .into_iter()
            .flat_map(|s| [&s.code_security, &s.advanced_security]);
        let enabled = |feature: &Feature| feature.status == Some(FeatureStatus::Enabled);
        !self.private || features.flatten().any(enabled)
    }
}

/// A mistake in CODEOWNERS, which GitHub ignores together with its line.
#[derive(Deserialize)]
struct OwnersError {
    path: String,
    line: u64,
    kind: String,
}

#[derive(Deserialize)]
struct OwnersErrors {
    errors: Vec<OwnersError>,
}

/// The mistakes in CODEOWNERS on the default branch, as far as the token may see them.
pub(super) fn owners_errors(forge: &Forge) -> Result<Vec<String>, devkit::forge::Error> {
    let found: Option<OwnersErrors> = match forge.find("/codeowners/errors") {
        Err(error) if error.status() == Some(403) => None,
        other => other?,
    };
    let errors = found.into_iter().flat_map(|found| found.errors);
    let describe = |error: OwnersError| {
        let OwnersError { path, line, kind } = error;
        format!("{path}, line {line}: {kind}. GitHub ignores this line: correct it")
    };
    Ok(errors.map(describe).collect())
}
