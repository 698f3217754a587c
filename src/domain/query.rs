use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Actor, Commit, Deployment, ImageDigest, Invalid, Name, Status, Version};

/// Which deployments to list. A field that is absent doesn't restrict.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[expect(missing_docs, reason = "the others are the fields of `Deployment`")]
pub struct Query {
    pub application: Option<Name>,
    pub environment: Option<Name>,
    pub version: Option<Version>,
    pub commit: Option<Commit>,
    pub image_digest: Option<ImageDigest>,
    pub status: Option<Status>,
    pub actor: Option<Actor>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<Uuid>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 100, default = 50)]
    pub limit: Limit,
}

/// The size of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit(u32);

impl Limit {
    /// The most items of a page.
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

/// Some of the deployments asked for, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page {
    /// The deployments.
    pub items: Vec<Deployment>,
    /// Where the next page begins; `null` on the last one.
    pub next_cursor: Option<Uuid>,
}
