//! The forge's users and the team that may approve.

use anyhow::{Context, Result, bail};
use devkit::process::Run;
use serde_json::json;

use super::api::{BOT, Forge, PERSON, REPOSITORY, client, owner_and_name};
use super::server::{gitea, printed};
use crate::http::Client;
use crate::sandbox::credentials::{Credentials, random};
use crate::sandbox::host::Host;
use crate::sandbox::layout::Layout;
use crate::sandbox::network::FORGE;

/// The team that approves pull requests and pushes version tags.
const MAINTAINERS: &str = "maintainers";

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

/// Creates the team that the branch protection names, with [`PERSON`] in it.
///
/// # Errors
/// When the forge refuses.
pub(super) fn create_maintainers(forge: &Forge) -> Result<()> {
    let (owner, _) = owner_and_name()?;
    let teams = format!("/orgs/{owner}/teams");
    forge.ensure(
        &teams,
        &json!({
            "name": MAINTAINERS,
            "permission": "write",
            "includes_all_repositories": true,
            "units": ["repo.code", "repo.pulls"],
        }),
    )?;
    join_maintainers(forge, PERSON)
}

fn join_maintainers(forge: &Forge, name: &str) -> Result<()> {
    let (owner, _) = owner_and_name()?;
    let listed = forge.request("GET", &format!("/orgs/{owner}/teams"), None)?;
    let mut teams = listed.as_array().into_iter().flatten();
    let id = teams
        .find(|team| team["name"] == MAINTAINERS)
        .and_then(|team| team["id"].as_i64())
        .with_context(|| format!("the forge has no team {MAINTAINERS}"))?;
    forge
        .request("PUT", &format!("/teams/{id}/members/{name}"), None)
        .map(drop)
}

impl Forge {
    /// Approves a pull request as another member of [`MAINTAINERS`] than [`PERSON`], who may not approve their own work.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn review(&self, layout: &Layout, name: &str, number: i64) -> Result<()> {
        let path = format!("/repos/{REPOSITORY}/pulls/{number}/reviews");
        let approval = json!({"event": "APPROVED", "body": "Seen."});
        let reviewer = self.reviewer(layout, name)?;
        reviewer.request("POST", &path, Some(&approval)).map(drop)
    }

    fn reviewer(&self, layout: &Layout, name: &str) -> Result<Client> {
        let password = random()?;
        let mut user = json!({
            "username": name,
            "login_name": name,
            "email": format!("{name}@{FORGE}"),
            "password": password,
            "must_change_password": false,
        });
        if self.api.find(&format!("/users/{name}"))?.is_none() {
            self.request("POST", "/admin/users", Some(&user))?;
        } else {
            user["source_id"] = 0.into();
            self.request("PATCH", &format!("/admin/users/{name}"), Some(&user))?;
        }
        join_maintainers(self, name)?;
        client(layout, name, &password)
    }
}
