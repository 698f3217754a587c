use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Actor, Commit, Deployment, ImageDigest, Invalid, Name, Status, Version};

/// The filters of a list of deployments. All filters must match; a filter that is absent matches every deployment.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Lists only deployments of this application.
    pub application: Option<Name>,
    /// Lists only deployments to this environment.
    pub environment: Option<Name>,
    /// Lists only deployments of this version.
    pub version: Option<Version>,
    /// Lists only deployments of images that were built from this Git commit.
    pub commit: Option<Commit>,
    /// Lists only deployments of the container image with this digest.
    pub image_digest: Option<ImageDigest>,
    /// Lists only deployments that currently have this status.
    pub status: Option<Status>,
    /// Lists only deployments by this person or program.
    pub actor: Option<Actor>,
    /// The `next_cursor` of the previous page. Omit it to read the first page.
    pub cursor: Option<Uuid>,
    /// The maximum number of deployments on the page.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 100, default = 50)]
    pub limit: Limit,
}

/// The maximum number of items on a page, from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit(u32);

impl Limit {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = Invalid;

    fn try_from(limit: u32) -> Result<Self, Invalid> {
        if (1..=100).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(Invalid("a number from 1 to 100"))
        }
    }
}

/// One page of a list of deployments, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page {
    /// The deployments on this page.
    pub items: Vec<Deployment>,
    /// The `cursor` of the next page, or `null` on the last page.
    #[schema(required)]
    pub next_cursor: Option<Uuid>,
}
