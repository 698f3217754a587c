//! The provenance of an image: which workflow run built it from which commit, in the format of SLSA
//! (<https://slsa.dev/spec/v1.0/provenance>).

use crate::workflow::{self, Event};
use anyhow::Result;
use devkit::git::is_commit;
use serde::{Deserialize, Serialize};

/// The workflow that builds and signs images.
pub(super) const WORKFLOW: &str = ".github/workflows/ci.yaml";

/// The predicate of a provenance attestation.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Provenance {
    /// What was built, and from what.
    build_definition: BuildDefinition,
    /// Which run built it.
    #[serde(default)]
    run_details: RunDetails,
}

impl Provenance {
    /// The provenance of an image that this run built.
    pub(super) fn of(event: &Event) -> Result<Self> {
        let repository = workflow::require_repository_url()?;
        let run = workflow::var("GITHUB_RUN_ID").unwrap_or_default();
        let attempt = workflow::var("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned());
        let reference = &event.reference;
        Ok(Self {
            run_details: RunDetails {
                builder: BuilderId {
                    id: format!("{repository}/{WORKFLOW}@{reference}"),
                },
                metadata: RunMetadata {
                    invocation_id: format!("{repository}/actions/runs/{run}/attempts/{attempt}"),
                },
            },
            build_definition: BuildDefinition {
                build_type: "https://actions.github.io/buildtypes/workflow/v1".to_owned(),
                internal_parameters: InternalParameters {
                    github: EventParameters {
                        event_name: event.name.clone(),
                    },
                },
                resolved_dependencies: vec![ResolvedDependency {
                    uri: format!("git+{repository}@{reference}"),
                    digest: CommitDigest {
                        git_commit: event.sha.clone(),
                    },
                }],
                external_parameters: ExternalParameters {
                    workflow: WorkflowReference {
                        repository,
                        path: WORKFLOW.to_owned(),
                        reference: reference.clone(),
                    },
                },
            },
        })
    }

    /// The commit that the image was built from, if the provenance names one.
    pub(super) fn commit(self) -> Option<String> {
        let source = self
            .build_definition
            .resolved_dependencies
            .into_iter()
            .next()?;
        Some(source.digest.git_commit).filter(|commit| is_commit(commit))
    }
}

/// What was built, and from what.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct BuildDefinition {
    /// The format of the parameters.
    build_type: String,
    /// The parameters that came from outside.
    external_parameters: ExternalParameters,
    /// The parameters that the forge set.
    internal_parameters: InternalParameters,
    /// The sources.
    resolved_dependencies: Vec<ResolvedDependency>,
}

/// The workflow of the build.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct ExternalParameters {
    /// The workflow of the build.
    workflow: WorkflowReference,
}

/// A workflow file in a repository.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct WorkflowReference {
    /// The web address of the repository.
    repository: String,
    /// The path of the file.
    path: String,
    /// The full ref.
    #[serde(rename = "ref")]
    reference: String,
}

/// The parameters that the forge set.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct InternalParameters {
    /// The parameters that GitHub or Gitea set.
    github: EventParameters,
}

/// The event that started the run.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct EventParameters {
    /// Its name.
    event_name: String,
}

/// A source of the build.
#[derive(Deserialize, Serialize)]
struct ResolvedDependency {
    /// Its address.
    #[serde(default)]
    uri: String,
    /// Its content.
    digest: CommitDigest,
}

/// A commit as a digest.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitDigest {
    /// The full commit ID.
    git_commit: String,
}

/// Which run built the image.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct RunDetails {
    /// The trusted builder.
    builder: BuilderId,
    /// The run.
    metadata: RunMetadata,
}

/// The trusted builder.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct BuilderId {
    /// The address of the workflow, with its ref.
    id: String,
}

/// The run of a build.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct RunMetadata {
    /// The web address of the run.
    invocation_id: String,
}
