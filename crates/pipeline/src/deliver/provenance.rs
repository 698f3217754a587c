//! The provenance of an image: which workflow run built it from which commit, in the format of SLSA
//! (<https://slsa.dev/spec/v1.0/provenance>).

use crate::workflow::{self, Event};
use anyhow::Result;
use devkit::git::is_commit;
use serde::{Deserialize, Serialize};

/// The workflow that builds and signs images.
pub(super) const WORKFLOW: &str = ".github/workflows/ci.yaml";

/// GitHub's format of the parameters
/// (<https://github.com/actions/buildtypes/tree/main/workflow/v1>). It requires fields that only GitHub has.
const GITHUB_BUILD_TYPE: &str = "https://actions.github.io/buildtypes/workflow/v1";

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
        let github = EventParameters {
            event_name: event.name.clone(),
            repository_id: workflow::var("GITHUB_REPOSITORY_ID"),
            repository_owner_id: workflow::var("GITHUB_REPOSITORY_OWNER_ID"),
            runner_environment: workflow::var("RUNNER_ENVIRONMENT"),
        };
        // A build type is a name. Another forge's has the same fields, as far as the forge has them.
        let build_type = match github.is_complete() && workflow::is_github() {
            true => GITHUB_BUILD_TYPE.to_owned(),
            false => format!("{repository}/buildtypes/workflow/v1"),
        };
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
                build_type,
                internal_parameters: InternalParameters { github },
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

/// The event that started the run, and where it ran. GitHub's build type requires all fields.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct EventParameters {
    /// The name of the event.
    event_name: String,
    /// The number of the repository, which a new name does not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_id: Option<String>,
    /// The number of the repository's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_owner_id: Option<String>,
    /// `github-hosted` or `self-hosted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    runner_environment: Option<String>,
}

impl EventParameters {
    fn is_complete(&self) -> bool {
        let Self {
            repository_id,
            repository_owner_id,
            runner_environment,
            ..
        } = self;
        [repository_id, repository_owner_id, runner_environment]
            .iter()
            .all(|field| field.is_some())
    }
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
