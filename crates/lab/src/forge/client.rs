//! A client of the forge's API, and git with its credentials.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devkit::process::{Run, command};
use serde_json::{Value, json};

use crate::http::Client;
use crate::sandbox::credentials::Credentials;
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::network::FORGE;

/// Owner and name of the repository, the same as on GitHub.
pub const REPOSITORY: &str = "waybill/waybill";

/// The user of the lab: administrator of the forge, and the author of pull requests.
pub const PERSON: &str = "lab";

/// The delivery bot. It writes image digests back to git, and nothing else.
pub const BOT: &str = "delivery-bot";

/// The forge, as [`PERSON`].
pub struct Forge {
    pub(super) api: Client,
    pub(super) credentials: Credentials,
}

impl Forge {
    /// Connects.
    ///
    /// # Errors
    /// When the lab's credentials or certificates cannot be read.
    pub fn new(layout: &Layout) -> Result<Self> {
        let credentials = Credentials::ensure(layout)?;
        let api = client(layout, PERSON, &credentials.person)?;
        Ok(Self { api, credentials })
    }

    /// Sends a request to the forge's API (see its `/api/swagger`).
    ///
    /// # Errors
    /// When the forge refuses; the error has its message.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.api.request(method, path, body)
    }

    /// Sends a request about the repository itself.
    ///
    /// # Errors
    /// As [`Forge::request`].
    pub fn repository(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.request(method, &format!("/repos/{REPOSITORY}{path}"), body)
    }

    /// Creates something that may exist already.
    ///
    /// # Errors
    /// When the forge refuses for another reason.
    pub(super) fn ensure(&self, path: &str, body: &Value) -> Result<()> {
        let (status, answer) = self.api.send("POST", path, Some(body))?;
        match status {
            200..300 | 409 => Ok(()),
            422 if answer.to_string().contains("already exist") => Ok(()),
            _ => bail!("POST {path} answered {status}: {answer}"),
        }
    }

    /// git in a folder, with the identity of [`PERSON`] and the right to push.
    pub fn git(&self, folder: &Path) -> Command {
        let basic = STANDARD.encode(format!("{PERSON}:{}", self.credentials.person));
        let mut git = command("git", [] as [&str; 0]);
        git.current_dir(folder)
            .env("GIT_CONFIG_COUNT", "2")
            // Not an argument: every process can read those.
            .env(
                "GIT_CONFIG_KEY_0",
                format!("http.https://{FORGE}/.extraHeader"),
            )
            .env(
                "GIT_CONFIG_VALUE_0",
                format!("Authorization: Basic {basic}"),
            )
            .env("GIT_CONFIG_KEY_1", "safe.directory")
            .env("GIT_CONFIG_VALUE_1", "*")
            .env("GIT_TERMINAL_PROMPT", "0");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), PERSON)
                .env(format!("GIT_{role}_EMAIL"), format!("{PERSON}@{FORGE}"));
        }
        git
    }

    /// The commit that is checked out in a folder.
    ///
    /// # Errors
    /// When the folder is not a repository, or has no commit.
    pub fn head(&self, checkout: &Path) -> Result<String> {
        Ok(self.git(checkout).args(["rev-parse", "HEAD"]).read()?)
    }

    /// The tags of the service's image in the registry, without those that cosign stores signatures under.
    ///
    /// # Errors
    /// When the forge does not answer.
    pub fn image_tags(&self) -> Result<BTreeSet<String>> {
        let (owner, name) = owner_and_name()?;
        let mut tags = BTreeSet::new();
        for page in 1.. {
            let path = format!("/packages/{owner}?type=container&limit=50&page={page}");
            let answer = self.request("GET", &path, None)?;
            let entries = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            let ours = entries.iter().filter(|entry| entry["name"] == name);
            tags.extend(ours.filter_map(|entry| entry["version"].as_str().map(str::to_owned)));
            if entries.len() < 50 {
                break;
            }
        }
        tags.retain(|tag| !tag.starts_with("sha256"));
        Ok(tags)
    }

    /// The `pipeline` program in a folder, with the variables that tell it about the forge and a token of [`PERSON`].
    ///
    /// # Errors
    /// When the forge creates no token.
    pub fn pipeline(&self, folder: &Path) -> Result<Command> {
        let token = token(&self.api, PERSON, "pipeline", &["write:repository"])?;
        let mut pipeline = command(format!("{INSIDE}/pipeline"), [] as [&str; 0]);
        pipeline
            .current_dir(folder)
            .env("GITHUB_API_URL", format!("https://{FORGE}/api/v1"))
            .env("GITHUB_REPOSITORY", REPOSITORY)
            .env("PROTECT_TOKEN", token)
            .env("DELIVERY_BOT_USER", BOT);
        Ok(pipeline)
    }

    /// A file's text on a branch, tag or commit.
    ///
    /// # Errors
    /// When the forge does not have it.
    pub fn file(&self, path: &str, reference: &str) -> Result<String> {
        let text = self.repository("GET", &format!("/raw/{path}?ref={reference}"), None)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Whether the repository has a tag.
    ///
    /// # Errors
    /// When the forge does not answer.
    pub fn has_tag(&self, name: &str) -> Result<bool> {
        let path = format!("/repos/{REPOSITORY}/tags/{name}");
        Ok(self.api.find(&path)?.is_some())
    }

    /// The URL that git clones the repository from.
    pub fn url() -> String {
        format!("https://{FORGE}/{REPOSITORY}.git")
    }

    /// The commit at the tip of a branch; `None` if the branch does not exist.
    ///
    /// # Errors
    /// When the forge does not answer.
    pub fn tip(&self, branch: &str) -> Result<Option<String>> {
        let found = self
            .api
            .find(&format!("/repos/{REPOSITORY}/branches/{branch}"))?;
        Ok(found.and_then(|branch| branch["commit"]["id"].as_str().map(str::to_owned)))
    }
}

/// The owner and the name of [`REPOSITORY`].
pub(super) fn owner_and_name() -> Result<(&'static str, &'static str)> {
    REPOSITORY
        .split_once('/')
        .context("the repository's name has no owner")
}

/// A client of the forge's API that authenticates with a password.
pub(super) fn client(layout: &Layout, name: &str, password: &str) -> Result<Client> {
    let basic = STANDARD.encode(format!("{name}:{password}"));
    let authority = layout.state("pki/web-ca.crt");
    let api = Client::new(&format!("https://{FORGE}/api/v1"), &authority, None)?;
    Ok(api.authorized(format!("Basic {basic}")))
}

/// Creates an access token, in place of an earlier one with the same name.
pub(super) fn token(api: &Client, user: &str, name: &str, scopes: &[&str]) -> Result<String> {
    // The forge shows a token only when it is created.
    api.send("DELETE", &format!("/users/{user}/tokens/{name}"), None)?;
    let answer = api.request(
        "POST",
        &format!("/users/{user}/tokens"),
        Some(&json!({"name": name, "scopes": scopes})),
    )?;
    answer["sha1"]
        .as_str()
        .map(str::to_owned)
        .context("the forge created a token and did not show it")
}
