//! A client of the forge's API, and Git with its credentials.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use devkit::delivery::Environment;
use devkit::forge;
use devkit::git::{Git, Identity};
use devkit::http::{Client, Tls};
use devkit::process::command;
use devkit::reference::Image;
use devkit::values::Values;
use serde::Deserialize;
use serde_json::json;

use crate::sandbox::credentials::Credentials;
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::network::FORGE;

/// The user of the lab: administrator of the forge, and the author of pull requests.
pub const PERSON: &str = "lab";

/// The delivery bot. It writes image digests back to Git, and nothing else.
pub const BOT: &str = "delivery-bot";

/// The user of Argo CD, which sets commit statuses, and nothing else.
pub const REPORTER: &str = "argocd";

/// The project's repository on the lab's forge, as [`PERSON`].
pub struct Forge {
    repository: forge::Forge,
    authority: PathBuf,
    /// The teams that `delivery.toml` calls maintainers.
    pub(super) maintainers: Vec<String>,
    pub(super) credentials: Credentials,
}

impl Deref for Forge {
    type Target = forge::Forge;

    fn deref(&self) -> &forge::Forge {
        &self.repository
    }
}

impl Forge {
    /// Connects to the repository that the checkout's `delivery.toml` names.
    ///
    /// # Errors
    /// When `delivery.toml`, the lab's credentials or its certificates cannot be read.
    pub fn new(layout: &Layout) -> Result<Self> {
        let credentials = Credentials::ensure(layout)?;
        let authority = layout.state("pki/web-ca.crt");
        let delivery = layout.delivery()?;
        let api = client(&authority, PERSON, &credentials.person)?;
        Ok(Self {
            repository: forge::Forge::new(api, &delivery.repository()),
            authority,
            maintainers: delivery.protection.maintainers,
            credentials,
        })
    }

    /// The same repository, as another user.
    pub(super) fn log_in(&self, user: &str, password: &str) -> Result<forge::Forge> {
        let api = client(&self.authority, user, password)?;
        Ok(forge::Forge::new(api, self.repository()))
    }

    /// The account that owns the repository, and the repository's name.
    pub(super) fn owner_and_name(&self) -> (&str, &str) {
        self.repository().split_once('/').unwrap_or_default()
    }

    /// The URL that Git clones the repository from.
    pub fn url(&self) -> String {
        url(self.repository())
    }

    /// Git in a folder, with the identity of [`PERSON`] and the right to push.
    pub fn git(&self, folder: &Path) -> Git {
        git(folder, PERSON, &self.credentials.person)
    }

    /// Git in a folder as [`BOT`], which may push to the branch of the first environment.
    pub fn bot_git(&self, folder: &Path) -> Git {
        git(folder, BOT, &self.credentials.bot)
    }

    /// An environment's values at a branch or commit.
    ///
    /// # Errors
    /// When the forge does not answer, or the file is missing or not valid.
    pub fn values(&self, env: &Environment, reference: &str) -> Result<Values> {
        let text = self
            .find_file(&env.values, reference)?
            .with_context(|| format!("{reference} has no file {}", env.values))?;
        Values::parse(text).with_context(|| format!("{} at {reference}", env.values))
    }

    /// The image in an environment's values at a branch or commit.
    ///
    /// # Errors
    /// As [`Forge::values`], and when the values have no image yet.
    pub fn image(&self, env: &Environment, reference: &str) -> Result<Image> {
        let image = self.values(env, reference)?.image()?;
        image.with_context(|| format!("{env} has no image yet at {reference}"))
    }

    /// The `pipeline` program in a folder, with the variables that tell it about the forge and a token of [`PERSON`].
    ///
    /// # Errors
    /// When the forge creates no token.
    pub fn pipeline(&self, folder: &Path) -> Result<Command> {
        let token = create_token(self, PERSON, "pipeline", "write:repository")?;
        let mut pipeline = command(format!("{INSIDE}/pipeline"), [] as [&str; 0]);
        pipeline
            .current_dir(folder)
            .env("GITHUB_API_URL", self.api().base())
            .env("GITHUB_REPOSITORY", self.repository())
            .env("PROTECT_TOKEN", token)
            .env("DELIVERY_BOT_USER", BOT);
        Ok(pipeline)
    }

    /// As [`Forge::pipeline`], with a token of [`BOT`], as the jobs that deliver have it.
    ///
    /// # Errors
    /// When the forge creates no token.
    pub fn bot_pipeline(&self, folder: &Path) -> Result<Command> {
        let bot = self.as_bot()?;
        let token = create_token(&bot, BOT, "pipeline", "write:repository")?;
        let mut pipeline = self.pipeline(folder)?;
        pipeline.env("DELIVERY_BOT_TOKEN", token);
        Ok(pipeline)
    }
}

/// The URL that Git clones a repository of the forge from.
pub fn url(repository: &str) -> String {
    format!("https://{FORGE}/{repository}.git")
}

fn git(folder: &Path, user: &str, password: &str) -> Git {
    Git::new(folder)
        .with_identity(Identity {
            name: user.to_owned(),
            email: format!("{user}@{FORGE}"),
        })
        .with_password(&format!("https://{FORGE}/"), user, password)
        .with_setting("safe.directory", "*")
        // Over HTTP/2, curl 7.88 may wait for ever at the end of a push that is longer than a buffer.
        .with_setting("http.version", "HTTP/1.1")
}

/// A client of the forge's API that authenticates with a password.
fn client(authority: &Path, user: &str, password: &str) -> Result<Client> {
    let api = Client::new(
        &format!("https://{FORGE}/api/v1"),
        Tls::authority(authority)?,
    );
    Ok(api.with_password(user, password))
}

/// Gitea's answer to a new token, the only one that shows it.
#[derive(Deserialize)]
struct Token {
    sha1: String,
}

/// Creates an access token, in place of an earlier one with the same name.
pub(super) fn create_token(
    forge: &forge::Forge,
    user: &str,
    name: &str,
    scope: &str,
) -> Result<String> {
    let tokens = format!("/users/{user}/tokens");
    match forge.api().delete(&format!("{tokens}/{name}")) {
        Err(error) if error.status() != Some(404) => return Err(error.into()),
        _ => {}
    }
    let wanted = json!({"name": name, "scopes": [scope]});
    let token: Token = forge.api().send("POST", &tokens, &wanted)?;
    Ok(token.sha1)
}
