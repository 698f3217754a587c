//! The forge's REST API, with types for what GitHub and Gitea answer. Where the two differ, only this module knows.
//!
//! Sources: <https://docs.github.com/rest> and Gitea's `/api/swagger`.

mod actions;
mod comments;
mod commits;
mod packages;
mod pulls;
mod releases;
mod repository;

#[cfg(test)]
mod tests;

pub use actions::{Conclusion, Job, Progress, Run, RunFilter, Step};
pub use comments::Comment;
pub use commits::{
    Branch, Commit, MadeCommit, NewCommit, NewStatus, Status, StatusState, Verification,
};
pub use packages::{ImagePackage, ImageVersion};
pub use pulls::{
    ChangedFile, NewPull, Pull, PullEnd, PullState, PullText, RepositoryName, Review, ReviewState,
};
pub use releases::{Asset, NewRelease, Release};
pub use repository::RepositoryEdit;

use crate::env;
use crate::http::{self, Client, Tls, checked};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// How many entries a page of a list has; both forges allow it.
const PAGE: usize = 50;

/// Why a forge did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request failed.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A variable that names the forge is missing, or one with a token is not valid.
    #[error(transparent)]
    Variable(#[from] env::Error),
    /// The repository is unknown; forges answer the same to those who may not see it.
    #[error("{0} does not exist, or the token may not see it")]
    NoRepository(String),
    /// The answer lacks what its kind always has.
    #[error("{url} answered something unexpected: {reason}")]
    Unexpected {
        /// The URL.
        url: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// One kind of forge cannot do this by its API.
    #[error("{0} is only possible on Gitea")]
    OnlyGitea(&'static str),
    /// The other kind cannot do this by its API.
    #[error("{0} is only possible on GitHub")]
    OnlyGitHub(&'static str),
}

impl Error {
    /// The HTTP status, where the forge answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Http(error) => error.status(),
            _ => None,
        }
    }
}

/// The kinds of forges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// github.com, or GitHub Enterprise Server.
    GitHub,
    /// Gitea or Forgejo.
    Gitea,
}

impl Kind {
    /// The kind of a forge by the URL of its API: Gitea's has its version in the path, GitHub's in a header.
    pub fn of(api: &str) -> Self {
        match format!("{api}/").contains("/api/v1/") {
            true => Self::Gitea,
            false => Self::GitHub,
        }
    }
}

/// A repository on a forge, as the owner of a token sees it.
#[derive(Clone, Debug)]
pub struct Forge {
    api: Client,
    kind: Kind,
    repository: String,
}

impl Forge {
    /// The repository `owner/name` of the forge whose API a client reaches: `https://api.github.com`, or
    /// `https://<host>/api/v1` for Gitea.
    pub fn new(api: Client, repository: &str) -> Self {
        let kind = Kind::of(api.base());
        let api = match kind {
            Kind::GitHub => api.with_header("X-GitHub-Api-Version", "2022-11-28"),
            Kind::Gitea => api,
        };
        Self {
            api,
            kind,
            repository: repository.to_owned(),
        }
    }

    /// The repository that GITHUB_REPOSITORY names, on the forge of GITHUB_API_URL (default: api.github.com). Logs in
    /// with the first of `tokens`, names of variables, that is set; without one it sees what is public.
    ///
    /// # Errors
    /// When GITHUB_REPOSITORY is not set or wrong, or the token is not one line.
    pub fn from_env(tokens: &[&str]) -> Result<Self, Error> {
        let repository = env::repository()?;
        let url = env::var("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".to_owned());
        let mut api = Client::new(&url, Tls::platform());
        for name in tokens {
            if let Some(token) = env::secret(name)? {
                api = api.with_token(&token);
                break;
            }
        }
        Ok(Self::new(api, &repository))
    }

    /// Another repository of the same forge.
    #[must_use]
    pub fn with_repository(mut self, repository: &str) -> Self {
        repository.clone_into(&mut self.repository);
        self
    }

    /// The kind of the forge.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Owner and name of the repository.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Whether there is a login.
    pub fn is_logged_in(&self) -> bool {
        self.api.is_logged_in()
    }

    /// The whole API, outside the repository: users, organisations, packages.
    pub fn api(&self) -> &Client {
        &self.api
    }

    /// The path of something below the repository, for [`Forge::api`].
    pub fn path(&self, path: &str) -> String {
        format!("/repos/{}{path}", self.repository)
    }

    /// Reads what is at a path below the repository.
    ///
    /// # Errors
    /// When the forge refuses, or answers other JSON than expected.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        Ok(self.api.get(&self.path(path))?)
    }

    /// As [`Forge::get`]; `None` where there is nothing.
    ///
    /// # Errors
    /// As [`Forge::get`].
    pub fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        Ok(self.api.find(&self.path(path))?)
    }

    /// Reads the repository itself.
    ///
    /// # Errors
    /// As [`Forge::get`], and when there is no such repository.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.find("")?
            .ok_or_else(|| Error::NoRepository(self.api.url(&self.path(""))))
    }

    /// Sends JSON to a path below the repository and reads the answer.
    ///
    /// # Errors
    /// As [`Forge::get`].
    pub fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        Ok(self.api.send(method, &self.path(path), body)?)
    }

    /// Sends JSON to a path below the repository; the answer only has to be a success.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn execute(&self, method: &str, path: &str, body: &impl Serialize) -> Result<(), Error> {
        Ok(self.api.execute(method, &self.path(path), body)?)
    }

    /// Deletes what is at a path below the repository.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn delete(&self, path: &str) -> Result<(), Error> {
        Ok(self.api.delete(&self.path(path))?)
    }

    /// All entries of a list below the repository, page by page.
    ///
    /// # Errors
    /// As [`Forge::get`]; a list that does not exist is an error.
    pub fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        self.pages(&self.path(path), None)
    }

    /// As [`Forge::list`], where the answer is an object that has the list under a key.
    ///
    /// # Errors
    /// As [`Forge::list`].
    pub fn list_in<T: DeserializeOwned>(&self, path: &str, key: &str) -> Result<Vec<T>, Error> {
        self.pages(&self.path(path), Some(key))
    }

    /// As [`Forge::list`]; `None` where there is no such list.
    ///
    /// # Errors
    /// As [`Forge::get`].
    pub fn find_list<T: DeserializeOwned>(&self, path: &str) -> Result<Option<Vec<T>>, Error> {
        match self.list(path) {
            Err(error) if error.status() == Some(404) => Ok(None),
            other => other.map(Some),
        }
    }

    /// All entries of a list at a path of the API.
    fn pages<T: DeserializeOwned>(&self, path: &str, key: Option<&str>) -> Result<Vec<T>, Error> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all: Vec<Value> = Vec::new();
        for page in 1.. {
            let path = format!("{path}{joint}{}&page={page}", self.page_size());
            let answer = checked(
                "GET",
                &self.api.url(&path),
                self.api.exchange("GET", &path, None)?,
            )?;
            let mut value: Value = self.api.json("GET", &path, &answer.text)?;
            if let Some(key) = key {
                value = value[key].take();
            }
            let entries = match value {
                Value::Array(entries) => entries,
                // Gitea writes some empty lists so.
                Value::Null => break,
                _ => {
                    return Err(Error::Unexpected {
                        url: self.api.url(&path),
                        reason: "it is not a list".to_owned(),
                    });
                }
            };
            // Some of Gitea's lists have no pages: they are whole each time.
            if entries.is_empty() || (page > 1 && entries.first() == all.first()) {
                break;
            }
            let more = match &answer.link {
                Some(link) => link.contains("rel=\"next\""),
                None => entries.len() >= PAGE,
            };
            all.extend(entries);
            if !more {
                break;
            }
        }
        serde_json::from_value(Value::Array(all)).map_err(|error| Error::Unexpected {
            url: self.api.url(path),
            reason: error.to_string(),
        })
    }

    /// The query for the number of entries on a page.
    fn page_size(&self) -> String {
        match self.kind {
            Kind::GitHub => format!("per_page={PAGE}"),
            Kind::Gitea => format!("limit={PAGE}"),
        }
    }

    /// Creates something by POST to a path of the API, unless it exists.
    ///
    /// # Errors
    /// When the forge refuses for another reason.
    pub fn create_if_missing(&self, path: &str, body: &impl Serialize) -> Result<(), Error> {
        match self.api.execute("POST", path, body) {
            Err(http::Error::Status { status: 409, .. }) => Ok(()),
            Err(http::Error::Status {
                status: 422,
                message,
                ..
            }) if message.contains("already exist") => Ok(()),
            other => Ok(other?),
        }
    }
}

/// What a query's value or a part of a path keeps as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same with slashes.
const PATH: &AsciiSet = &PLAIN.remove(b'/');

/// A text as a query's value, or as one part of a path.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A text with slashes, as a path.
fn encoded_path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// Reads null as the default: Gitea writes it for empty lists and texts.
fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The account that did something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// The name it logs in with.
    #[serde(default)]
    pub login: String,
}
