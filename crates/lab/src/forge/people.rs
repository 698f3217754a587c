//! The forge's users and the team that may approve.

use anyhow::{Context, Result, bail};
use devkit::forge;
use devkit::markdown;
use devkit::process::Run;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{BOT, Forge, PERSON, REPORTER, create_token};
use super::server::{gitea, printed};
use crate::sandbox::credentials::{Credentials, random};
use crate::sandbox::host::Host;
use crate::sandbox::network::FORGE;

/// Creates the forge's users.
///
/// # Errors
/// When the forge refuses.
pub(super) fn create_users(host: &Host, credentials: &Credentials) -> Result<()> {
    for (name, password, admin) in [
        (PERSON, &credentials.person, true),
        (BOT, &credentials.bot, false),
    ] {
        let email = format!("{name}@{FORGE}");
        let mut args = vec![
            "admin",
            "user",
            "create",
            "--username",
            name,
            "--password",
            password,
            "--email",
            &email,
            "--must-change-password=false",
        ];
        if admin {
            args.push("--admin");
        }
        if let Err(error) = gitea(host, &args)?.run_quietly()
            && !printed(&error).contains("already exists")
        {
            bail!(
                "the forge's user {name} could not be created: {}",
                printed(&error)
            );
        }
    }
    Ok(())
}

/// A team of an organisation, as Gitea lists it.
#[derive(Deserialize)]
struct Team {
    id: u64,
    name: String,
}

/// Creates the teams that the branch protection names, with [`PERSON`] in them.
///
/// # Errors
/// When the forge refuses.
pub(super) fn create_maintainers(forge: &Forge) -> Result<()> {
    for name in &forge.maintainers {
        let team = json!({
            "name": name,
            "permission": "write",
            "includes_all_repositories": true,
            "units": ["repo.code", "repo.pulls"],
        });
        forge.create_if_missing(&teams(forge), &team)?;
    }
    join_maintainers(forge, PERSON)
}

fn teams(forge: &Forge) -> String {
    let (owner, _) = forge.owner_and_name();
    format!("/orgs/{owner}/teams")
}

fn join_maintainers(forge: &Forge, user: &str) -> Result<()> {
    let listed: Vec<Team> = forge.api().get(&teams(forge))?;
    for name in &forge.maintainers {
        let team = listed.iter().find(|team| team.name == *name);
        let team = team.with_context(|| format!("the forge has no team {name}"))?;
        let member = format!("/teams/{}/members/{user}", team.id);
        forge.api().execute("PUT", &member, &json!({}))?;
    }
    Ok(())
}

/// A user, as Gitea's administrators create or change one.
#[derive(Serialize)]
struct User<'a> {
    username: &'a str,
    login_name: &'a str,
    /// Where the password is checked: 0 is Gitea itself.
    source_id: u64,
    email: String,
    password: &'a str,
    must_change_password: bool,
}

impl Forge {
    /// Approves a pull request as another maintainer than [`PERSON`], who may not approve their own work.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn review(&self, name: &str, number: u64) -> Result<()> {
        Ok(self
            .reviewer(name)?
            .approve_pull(number, &markdown!("Approved."))?)
    }

    /// A token of [`REPORTER`].
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn reporter_token(&self) -> Result<String> {
        let reporter = self.user(REPORTER)?;
        self.add_writer(REPORTER)?;
        create_token(&reporter, REPORTER, "commit-status", "write:repository")
    }

    /// The same repository, as the delivery bot.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn as_bot(&self) -> Result<forge::Forge> {
        self.log_in(BOT, &self.credentials.bot)
    }

    fn reviewer(&self, name: &str) -> Result<forge::Forge> {
        let reviewer = self.user(name)?;
        join_maintainers(self, name)?;
        Ok(reviewer)
    }

    /// The repository as a user, who is created if missing and gets a new password.
    fn user(&self, name: &str) -> Result<forge::Forge> {
        let password = random()?;
        let user = User {
            username: name,
            login_name: name,
            source_id: 0,
            email: format!("{name}@{FORGE}"),
            password: &password,
            must_change_password: false,
        };
        let found: Option<IgnoredAny> = self.api().find(&format!("/users/{name}"))?;
        let (method, path) = match found {
            None => ("POST", "/admin/users".to_owned()),
            Some(_) => ("PATCH", format!("/admin/users/{name}")),
        };
        self.api().execute(method, &path, &user)?;
        self.log_in(name, &password)
    }
}
