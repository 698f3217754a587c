//! The forge: Gitea with its Actions, its registry and a runner.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::unistd::User;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cluster::environment;
use crate::command::{Run, command};
use crate::http::Client;
use crate::images;
use crate::layout::{INSIDE, INSIDE_CACHE, Layout};
use crate::machine::{FORGE, Host};
use crate::service::Service;
use crate::tools;

/// Owner and name of the repository, the same as on GitHub.
pub const REPOSITORY: &str = "waybill/waybill";

/// The person of the lab: administrator of the forge, and the one who opens and merges.
pub const PERSON: &str = "lab";

/// The team that makes version tags.
const MAINTAINERS: &str = "maintainers";

/// The delivery bot: writes tags back, and nothing else.
pub const BOT: &str = "waybill-bot";

/// Passwords and tokens, made for one lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// Password of [`PERSON`], on the forge.
    pub person: String,
    /// Password of [`BOT`].
    pub bot: String,
    /// The secret that the forge signs webhooks to Argo CD with.
    pub webhook: String,
    /// What the passwords of the environments' database users are made of.
    database: String,
    /// What the signing key is encrypted with.
    signing: String,
    forge_secret: String,
    forge_token: String,
}

impl Credentials {
    /// Reads them, making them first where there are none.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn ensure(layout: &Layout) -> Result<Self> {
        let path = layout.state("credentials.json");
        if let Ok(text) = fs::read_to_string(&path) {
            return serde_json::from_str(&text)
                .with_context(|| format!("could not read {}", path.display()));
        }
        let credentials = Self {
            person: random()?,
            bot: random()?,
            webhook: random()?,
            database: random()?,
            signing: random()?,
            forge_secret: random()?,
            forge_token: random()?,
        };
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| Ok(serde_json::to_writer_pretty(file, &credentials)?))
            .with_context(|| format!("could not write {}", path.display()))?;
        Ok(credentials)
    }

    /// The password of an environment's database user.
    pub fn database(&self, environment: &str) -> String {
        hex::encode(Sha256::digest(format!("{}/{environment}", self.database)))
    }
}

/// 192 random bits from the kernel, in hexadecimal digits.
///
/// # Errors
/// When the kernel gives none.
pub fn random() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("could not read /dev/urandom")?;
    Ok(hex::encode(bytes))
}

/// The forge, as [`PERSON`].
pub struct Forge {
    api: Client,
    credentials: Credentials,
}

impl Forge {
    /// Connects.
    ///
    /// # Errors
    /// When the lab's keys are not there.
    pub fn new(layout: &Layout) -> Result<Self> {
        let credentials = Credentials::ensure(layout)?;
        let api = api_of(layout, PERSON, &credentials.person)?;
        Ok(Self { api, credentials })
    }

    /// Approves a pull request as a member of [`MAINTAINERS`] besides [`PERSON`], who may not approve their own work.
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
        api_of(layout, name, &password)
    }

    /// Asks the forge's API (see its `/api/swagger`).
    ///
    /// # Errors
    /// When the forge refuses; with its words.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.api.request(method, path, body)
    }

    /// Asks the API about the repository itself.
    ///
    /// # Errors
    /// As [`Forge::request`].
    pub fn repository(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.request(method, &format!("/repos/{REPOSITORY}{path}"), body)
    }

    /// Creates something that may be there already.
    fn ensure(&self, path: &str, body: &Value) -> Result<()> {
        let (status, answer) = self.api.send("POST", path, Some(body))?;
        match status {
            200..300 | 409 => Ok(()),
            422 if answer.to_string().contains("already exist") => Ok(()),
            _ => bail!("POST {path} answered {status}: {answer}"),
        }
    }

    /// git with [`PERSON`]'s identity and right to push, in a folder.
    pub fn git(&self, folder: &Path) -> Command {
        let basic = STANDARD.encode(format!("{PERSON}:{}", self.credentials.person));
        let mut git = command("git", [] as [&str; 0]);
        git.current_dir(folder)
            .env("GIT_CONFIG_COUNT", "2")
            // Not an argument: those can be read by every process.
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
    /// When it is no repository, or an empty one.
    pub fn head(&self, checkout: &Path) -> Result<String> {
        let commit = self.git(checkout).args(["rev-parse", "HEAD"]).read()?;
        Ok(commit.trim().to_owned())
    }

    /// The tags of our image in the registry, without those that cosign keeps signatures under.
    ///
    /// # Errors
    /// When the forge can't be asked.
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

    /// `cargo pipeline` in a folder, with what it has to know of the forge and the rights of [`PERSON`].
    ///
    /// # Errors
    /// When the forge makes no token.
    pub fn pipeline(&self, folder: &Path) -> Result<Command> {
        let token = token(&self.api, PERSON, "pipeline", &["write:repository"])?;
        let mut pipeline = command(&format!("{INSIDE}/pipeline"), [] as [&str; 0]);
        pipeline
            .current_dir(folder)
            .env("GITHUB_API_URL", format!("https://{FORGE}/api/v1"))
            .env("GITHUB_REPOSITORY", REPOSITORY)
            .env("PROTECT_TOKEN", token)
            .env("BOT_USER", BOT);
        Ok(pipeline)
    }

    /// The address that git clones the repository from.
    pub fn url() -> String {
        format!("https://{FORGE}/{REPOSITORY}.git")
    }

    /// The commit at the tip of a branch, where the branch is.
    ///
    /// # Errors
    /// When the forge can't be asked.
    pub fn tip(&self, branch: &str) -> Result<Option<String>> {
        let found = self
            .api
            .find(&format!("/repos/{REPOSITORY}/branches/{branch}"))?;
        Ok(found.and_then(|branch| branch["commit"]["id"].as_str().map(str::to_owned)))
    }
}

fn owner_and_name() -> Result<(&'static str, &'static str)> {
    REPOSITORY
        .split_once('/')
        .context("the repository's name has no owner")
}

/// Starts Gitea and sets it up: people, repository, secrets, actions, runner.
///
/// # Errors
/// When a part of it fails.
pub fn ensure(layout: &Layout, host: &Host, checkout: &Path) -> Result<()> {
    let credentials = Credentials::ensure(layout)?;
    let gitea = start(layout, host, &credentials)?;
    let folder = layout.state("forge");
    if !folder.join("ready").exists() {
        people(host, &credentials)?;
        let forge = Forge::new(layout)?;
        publish_actions(&forge, layout, checkout)?;
        repository(&forge, layout, host)?;
        fs::write(folder.join("ready"), "")?;
    } else {
        publish_actions(&Forge::new(layout)?, layout, checkout)?;
    }
    maintainers(&Forge::new(layout)?)?;
    drop(gitea);
    runner(layout, host)
}

fn start<'a>(layout: &Layout, host: &Host, credentials: &Credentials) -> Result<Service<'a>> {
    let folder = layout.state("forge");
    let (uid, gid) = ids("nobody")?;
    if !folder.join("app.ini").exists() {
        fs::create_dir_all(&folder)?;
        let share = tools::shared_file(&Layout::inside().cache, "gitea", "templates")?;
        let share = share.parent().context("the templates have no folder")?;
        let text = include_str!("../platform/forge.ini")
            .replace("@STATIC@", &share.display().to_string())
            .replace("@SECRET@", &credentials.forge_secret)
            .replace("@TOKEN@", &credentials.forge_token);
        for (file, text) in [
            ("app.ini", text),
            (
                "tls.crt",
                fs::read_to_string(layout.state("pki/forge.crt"))?,
            ),
            (
                "tls.key",
                fs::read_to_string(layout.state("pki/forge.key"))?,
            ),
        ] {
            let path = folder.join(file);
            fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))?;
            chown(&path, Some(uid), Some(gid))?;
        }
        chown(&folder, Some(uid), Some(gid))?;
    }
    let mut environment = environment(host);
    environment.retain(|(name, _)| name != "HOME" && name != "KUBECONFIG");
    environment.push(("HOME".into(), format!("{INSIDE}/forge")));
    environment.push(("USER".into(), "nobody".into()));
    let gitea = Service {
        name: "gitea",
        argv: [
            "gitea",
            "web",
            "--config",
            &format!("{INSIDE}/forge/app.ini"),
        ]
        .map(str::to_owned)
        .to_vec(),
        environment,
        user: Some("nobody"),
    };
    gitea.ensure(layout)?;
    let probe = Client::new(
        &format!("https://{FORGE}"),
        &layout.state("pki/web-ca.crt"),
        None,
    )?;
    gitea.wait(layout, Duration::from_secs(60), || {
        probe
            .send("GET", "/api/healthz", None)
            .is_ok_and(|(status, _)| status == 200)
    })?;
    Ok(gitea)
}

/// A user's and group's number.
pub fn ids(user: &str) -> Result<(u32, u32)> {
    let user =
        User::from_name(user)?.with_context(|| format!("this machine has no user {user}"))?;
    Ok((user.uid.as_raw(), user.gid.as_raw()))
}

/// Gitea's own command, as the user it runs as.
fn gitea(host: &Host, args: &[&str]) -> Result<Command> {
    let (uid, gid) = ids("nobody")?;
    let mut gitea = command(
        "setpriv",
        [
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".into(),
            "gitea".into(),
        ],
    );
    gitea
        .args(args)
        .args(["--config", &format!("{INSIDE}/forge/app.ini")])
        .env("PATH", host.search_path())
        .env("HOME", format!("{INSIDE}/forge"))
        .env("USER", "nobody")
        .current_dir(format!("{INSIDE}/forge"));
    Ok(gitea)
}

fn people(host: &Host, credentials: &Credentials) -> Result<()> {
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
        if let Err(error) = gitea(host, &args)?.run()
            && !error.to_string().contains("already exists")
        {
            // The command line holds a password: only what Gitea said goes on.
            bail!(
                "the forge's user {name} could not be made: {}",
                said(&error)
            );
        }
    }
    Ok(())
}

fn said(error: &anyhow::Error) -> String {
    error
        .to_string()
        .lines()
        .skip(1)
        .collect::<Vec<_>>()
        .join("\n")
}

fn repository(forge: &Forge, layout: &Layout, host: &Host) -> Result<()> {
    let (owner, name) = owner_and_name()?;
    forge.ensure("/orgs", &json!({"username": owner, "visibility": "public"}))?;
    forge.ensure(
        &format!("/orgs/{owner}/repos"),
        &json!({"name": name, "default_branch": "main", "auto_init": false}),
    )?;
    // Actions come on when there is something to ship.
    forge.repository("PATCH", "", Some(&json!({"has_actions": false})))?;
    forge.repository(
        "PUT",
        &format!("/collaborators/{BOT}"),
        Some(&json!({"permission": "write"})),
    )?;

    let bot = bot_token(
        layout,
        &forge.credentials,
        "delivery",
        &["write:repository"],
    )?;
    let registry = registry_token(forge)?;
    let keys = Keys::ensure(layout, host, &forge.credentials)?;
    for (secret, value) in [
        ("DELIVERY_BOT_TOKEN", &bot),
        ("REGISTRY_TOKEN", &registry),
        ("COSIGN_PRIVATE_KEY", &keys.private),
        ("COSIGN_PASSWORD", &forge.credentials.signing),
    ] {
        forge.repository(
            "PUT",
            &format!("/actions/secrets/{secret}"),
            Some(&json!({"data": value})),
        )?;
    }
    for (variable, value) in [
        ("REGISTRY", FORGE),
        ("REGISTRY_USERNAME", PERSON),
        ("COSIGN_PUBLIC_KEY", &keys.public),
    ] {
        forge.ensure(
            &format!("/repos/{REPOSITORY}/actions/variables/{variable}"),
            &json!({"value": value}),
        )?;
    }
    Ok(())
}

/// What images are signed with here, where no authority vouches for a workflow.
struct Keys {
    private: String,
    public: String,
}

impl Keys {
    fn ensure(layout: &Layout, host: &Host, credentials: &Credentials) -> Result<Self> {
        let folder = layout.state("signing");
        fs::create_dir_all(&folder)?;
        if !folder.join("cosign.pub").exists() {
            command("cosign", ["generate-key-pair"])
                .current_dir(&folder)
                .env("PATH", host.search_path())
                .env("COSIGN_PASSWORD", &credentials.signing)
                .run()?;
        }
        let read = |file: &str| {
            fs::read_to_string(folder.join(file))
                .with_context(|| format!("could not read the lab's {file}"))
        };
        Ok(Self {
            private: read("cosign.key")?,
            public: read("cosign.pub")?,
        })
    }
}

/// The team that the rules of protection name, with [`PERSON`] in it.
fn maintainers(forge: &Forge) -> Result<()> {
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

/// The forge's API as somebody.
fn api_of(layout: &Layout, name: &str, password: &str) -> Result<Client> {
    let basic = STANDARD.encode(format!("{name}:{password}"));
    let authority = layout.state("pki/web-ca.crt");
    let api = Client::new(&format!("https://{FORGE}/api/v1"), &authority, None)?;
    Ok(api.authorized(format!("Basic {basic}")))
}

fn bot_token(
    layout: &Layout,
    credentials: &Credentials,
    name: &str,
    scopes: &[&str],
) -> Result<String> {
    let api = api_of(layout, BOT, &credentials.bot)?;
    token(&api, BOT, name, scopes)
}

fn registry_token(forge: &Forge) -> Result<String> {
    token(&forge.api, PERSON, "registry", &["write:package"])
}

fn token(api: &Client, user: &str, name: &str, scopes: &[&str]) -> Result<String> {
    // A token's value is only told when it is made.
    api.send("DELETE", &format!("/users/{user}/tokens/{name}"), None)?;
    let answer = api.request(
        "POST",
        &format!("/users/{user}/tokens"),
        Some(&json!({"name": name, "scopes": scopes})),
    )?;
    answer["sha1"]
        .as_str()
        .map(str::to_owned)
        .context("the forge made a token and did not tell it")
}

/// Publishes a stand-in for each third-party action that the checkout's workflows use, on a branch
/// that is named like the commit they pin, so that the workflow files run as they are.
fn publish_actions(forge: &Forge, layout: &Layout, checkout: &Path) -> Result<()> {
    let mut uses = BTreeSet::new();
    collect_uses(&checkout.join(".github"), &mut uses)?;
    for (action, commit) in uses {
        let (owner, name) = action
            .split_once('/')
            .with_context(|| format!("`uses: {action}` names no repository"))?;
        let source = checkout.join("crates/lab/actions").join(&action);
        if !source.is_dir() {
            bail!(
                "the workflows use {action}, for which the lab has no stand-in; add one as {}",
                source.display()
            );
        }
        let files = command("tar", ["--create", "--sort=name", "--mtime=@0", "."])
            .current_dir(&source)
            .read()
            .with_context(|| format!("could not read {}", source.display()))?;
        let key = images::key([files.as_str(), commit.as_str()]);
        let done = layout.state(format!("forge/action-{owner}-{name}-{key}"));
        if done.exists() {
            continue;
        }
        forge.ensure("/orgs", &json!({"username": owner, "visibility": "public"}))?;
        forge.ensure(
            &format!("/orgs/{owner}/repos"),
            &json!({"name": name, "auto_init": false}),
        )?;
        let work = layout.state(format!("tmp/action-{owner}-{name}"));
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work)?;
        forge
            .git(&work)
            .args(["init", "--quiet", "--initial-branch=stand-in"])
            .run()?;
        command("cp", ["-r"])
            .arg(source.join("."))
            .arg(&work)
            .run()?;
        forge.git(&work).args(["add", "--all"]).run()?;
        forge
            .git(&work)
            .args(["commit", "--quiet", "--message", "Stand in for the action"])
            .run()?;
        forge
            .git(&work)
            .args(["push", "--quiet", "--force"])
            .arg(format!("https://{FORGE}/{action}.git"))
            .arg(format!("HEAD:refs/heads/{commit}"))
            .run()?;
        fs::remove_dir_all(&work)?;
        fs::write(done, "")?;
    }
    Ok(())
}

fn collect_uses(folder: &Path, uses: &mut BTreeSet<(String, String)>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_uses(&path, uses)?;
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
        {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("could not read {}", path.display()))?;
            uses.extend(text.lines().filter_map(pinned_action));
        }
    }
    Ok(())
}

/// Repository and commit of a `uses:` line that names another repository.
fn pinned_action(line: &str) -> Option<(String, String)> {
    let used = line
        .trim()
        .trim_start_matches("- ")
        .strip_prefix("uses:")?
        .split('#')
        .next()?
        .trim();
    let (action, commit) = used.split_once('@')?;
    let mut parts = action.split('/');
    let repository = format!("{}/{}", parts.next()?, parts.next()?);
    (!action.starts_with('.')).then(|| (repository, commit.to_owned()))
}

/// Starts the runner: jobs run as processes inside, two at a time.
fn runner(layout: &Layout, host: &Host) -> Result<()> {
    let folder = layout.state("runner");
    fs::create_dir_all(folder.join("work"))?;
    containers(layout, host)?;
    let envs: Vec<String> = job_environment(host)
        .iter()
        .map(|(name, value)| format!("    {name}: {}", json!(value)))
        .collect();
    let config =
        include_str!("../platform/runner.yaml").replace("    ENVIRONMENT", &envs.join("\n"));
    fs::write(folder.join("config.yaml"), config)?;
    let config = format!("{INSIDE}/runner/config.yaml");
    if !folder.join(".runner").exists() {
        let token = gitea(host, &["actions", "generate-runner-token"])?.read()?;
        command(
            "gitea-runner",
            [
                "register",
                "--no-interactive",
                "--config",
                &config,
                "--instance",
            ],
        )
        .arg(format!("https://{FORGE}"))
        .args([
            "--name",
            "lab",
            "--labels",
            "ubuntu-latest:host,ubuntu-24.04:host",
            "--token",
            token.trim(),
        ])
        .env("PATH", host.search_path())
        .current_dir(&folder)
        .run()
        .map_err(|error| anyhow::anyhow!("the runner could not be registered: {}", said(&error)))?;
    }
    Service {
        name: "runner",
        argv: ["gitea-runner", "daemon", "--config", &config]
            .map(str::to_owned)
            .to_vec(),
        environment: job_environment(host),
        user: None,
    }
    .ensure(layout)
}

/// What a job finds in its environment, beside what the workflow gives it.
fn job_environment(host: &Host) -> Vec<(String, String)> {
    let mut environment = environment(host);
    // A job is no administrator of the cluster.
    environment.retain(|(name, _)| name != "KUBECONFIG");
    let mut add = |name: &str, value: String| environment.push((name.to_owned(), value));
    add("CARGO_HOME", format!("{INSIDE}/cargo"));
    add("CARGO_NET_OFFLINE", "true".into());
    add("CARGO_TERM_COLOR", "never".into());
    if let Some(rustup) = &host.rustup_home {
        add("RUSTUP_HOME", rustup.display().to_string());
    }
    add("BUILDAH_ISOLATION", "chroot".into());
    add(
        "CONTAINERS_CONF",
        format!("{INSIDE}/runner/containers.conf"),
    );
    add(
        "CONTAINERS_STORAGE_CONF",
        format!("{INSIDE}/runner/storage.conf"),
    );
    add("IMAGE_BUILD_ARGS", format!("RUST_IMAGE={}", images::RUST));
    add("LAB_CACHE_DIR", format!("{INSIDE_CACHE}/jobs"));
    // The database of vulnerabilities is only on the network.
    add("SCAN_DATABASE", "none".into());
    if let Some(advisories) = &host.advisories {
        add("ADVISORY_DB", advisories.display().to_string());
    }
    // Scanners take long to build; where a scenario wants them, they are there.
    add("PIPELINE_OPTIONAL_TOOLS", tools::SCANNERS.join(" "));
    environment
}

/// Lets jobs build images: storage that outlives the lab, the machine's toolchain and crates in
/// every build, and the stand-in for the Rust image.
fn containers(layout: &Layout, host: &Host) -> Result<()> {
    let auditable = host.program("cargo-auditable")?;
    let auditable = auditable.parent().unwrap_or(Path::new("/"));
    let volumes = [
        format!("{}:/usr/local/toolchain:ro", host.sysroot.display()),
        format!("{}:/usr/local/auditable:ro", auditable.display()),
        format!("{INSIDE}/cargo/registry/index:/usr/local/cargo/registry/index"),
        format!("{INSIDE}/cargo/registry/cache:/usr/local/cargo/registry/cache"),
    ];
    let folder = layout.state("runner");
    fs::write(
        folder.join("containers.conf"),
        format!("[containers]\nvolumes = {}\n", json!(volumes)),
    )?;
    fs::write(
        folder.join("storage.conf"),
        format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{INSIDE_CACHE}/jobs/containers\"\nrunroot = \"/run/containers\"\n"
        ),
    )?;
    let environment = job_environment(host);
    let buildah = |args: &[&str]| {
        let mut buildah = command("buildah", args);
        buildah.env_clear().envs(environment.iter().cloned());
        buildah
    };
    let archive = images::archive(&Layout::inside(), "rust")?;
    let mark = Layout::inside().cache(format!(
        "jobs/{}.loaded",
        archive.file_stem().unwrap_or_default().to_string_lossy()
    ));
    if !mark.exists() {
        buildah(&[
            "pull",
            "--quiet",
            &format!("docker-archive:{}", archive.display()),
        ])
        .run()?;
        fs::write(mark, "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_party_actions_are_found_and_local_ones_are_not() {
        let pinned =
            |line| pinned_action(line).map(|(action, commit)| format!("{action}@{commit}"));
        assert_eq!(
            pinned("      - uses: actions/checkout@3d3c42e5 # v7.0.1").as_deref(),
            Some("actions/checkout@3d3c42e5")
        );
        assert_eq!(
            pinned("        uses: github/codeql-action/init@ff2f1c62").as_deref(),
            Some("github/codeql-action@ff2f1c62")
        );
        assert_eq!(pinned("      - uses: ./.github/actions/setup"), None);
        assert_eq!(pinned("      - run: echo uses"), None);
    }
}
