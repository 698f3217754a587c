//! Tells people how a run ended where that is news: when it failed, and when it is the first to succeed again.
//!
//! The addresses of webhooks are secrets, since whoever knows one may post there. They and what may hold them,
//! an HTTP client's errors, are never printed.

use crate::Outcome;
use crate::api::{self, Api};
use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, Event, require, short, var};
use anyhow::{Context, Result, anyhow, bail, ensure};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::SystemTime;
use ureq::http::Uri;

const SLACK: &str = "NOTIFY_SLACK_URL";
const WEBHOOK: &str = "NOTIFY_WEBHOOK_URL";
const SECRET: &str = "NOTIFY_WEBHOOK_SECRET";
const SIGNATURE: &str = "X-Waybill-Signature-256";
/// The longest piece of other people's text in a message. Chats refuse what is too long, and a commit's subject
/// must not be able to hush a failure up.
const LONGEST: usize = 200;

/// Tell chats and webhooks how a run ended, where that is news.
///
/// On failure, and on the first success after one; what the run before came to is asked of the forge (GITHUB_TOKEN).
/// NOTIFY_SLACK_URL gets a line of text, NOTIFY_WEBHOOK_URL a JSON object, signed where NOTIFY_WEBHOOK_SECRET is set
/// (docs/github.md). Without both it does nothing.
#[derive(clap::Args)]
pub(crate) struct Notify {
    /// How this run ended
    #[arg(long, env = "NOTIFY_RESULT", value_enum)]
    result: Ending,
    /// Fail where something can't be told; by default that is a warning
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Ending {
    Success,
    Failure,
    Cancelled,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// Of a run as the forge's API shows it; `None` where it says nothing about the code, or isn't there yet.
    fn of(run: &Value) -> Option<Self> {
        match run["conclusion"].as_str()? {
            "success" => Some(Self::Success),
            "failure" | "timed_out" | "startup_failure" => Some(Self::Failure),
            _ => None,
        }
    }
}

impl Notify {
    pub(crate) fn run(&self) -> Outcome {
        let slack = address(SLACK)?;
        let webhook = address(WEBHOOK)?;
        if slack.is_none() && webhook.is_none() {
            println!("neither {SLACK} nor {WEBHOOK} is set: nobody is told");
            return Ok(());
        }
        let event = Event::from_env()?;
        if event.is_pull_request() || self.result == Ending::Cancelled {
            println!("a pull request or a cancelled run is no news");
            return Ok(());
        }
        let run = Run::from_env(event)?;
        let mut problems = Vec::new();
        let before = run.previous().unwrap_or_else(|error| {
            problems.push(format!("how the run before ended is unknown: {error:#}"));
            None
        });
        match headline(before, self.result) {
            None => println!(
                "{} after {}: no news",
                self.result.name(),
                before.map_or("nothing", Ending::name)
            ),
            Some(headline) => {
                let told = [
                    slack.map(|url| {
                        let body = json!({ "text": run.text(headline) });
                        ("Slack", post(&url, &body, None))
                    }),
                    webhook.map(|url| {
                        let body = run.object(self.result, before);
                        ("the webhook", post(&url, &body, var(SECRET).as_deref()))
                    }),
                ];
                for (name, result) in told.into_iter().flatten() {
                    match result {
                        Ok(()) => println!("told {name}: {} {headline}", run.workflow),
                        Err(error) => problems.push(format!("{name} was not told: {error:#}")),
                    }
                }
            }
        }
        ensure!(!self.strict || problems.is_empty(), problems.join("; "));
        for problem in problems {
            eprintln!("warning: {problem}");
            workflow::annotate_warning(&problem);
        }
        Ok(())
    }
}

/// What there is to say; `None` where it isn't news.
fn headline(before: Option<Ending>, now: Ending) -> Option<&'static str> {
    match (before, now) {
        (Some(Ending::Failure), Ending::Failure) => Some("still fails"),
        (_, Ending::Failure) => Some("fails"),
        (Some(Ending::Failure), Ending::Success) => Some("works again"),
        _ => None,
    }
}

/// The run that this is a part of.
struct Run {
    repository: String,
    workflow: String,
    /// The name of the workflow's file, without its folder.
    file: String,
    event: Event,
    /// The branch or tag, as people write it.
    branch: String,
    number: u64,
    attempt: u64,
    id: String,
    url: String,
    actor: String,
}

impl Run {
    fn from_env(event: Event) -> Result<Self> {
        let number = |name: &str, text: String| {
            text.parse()
                .with_context(|| format!("{name} is `{text}`, not a number"))
        };
        let workflow = require("GITHUB_WORKFLOW")?;
        let id = require("GITHUB_RUN_ID")?;
        Ok(Self {
            repository: require("GITHUB_REPOSITORY")?,
            // Gitea has no such variable; its GITHUB_WORKFLOW is the name of the file.
            file: file(&var("GITHUB_WORKFLOW_REF").unwrap_or_else(|| workflow.clone())),
            workflow,
            event,
            branch: require("GITHUB_REF_NAME")?,
            number: number("GITHUB_RUN_NUMBER", require("GITHUB_RUN_NUMBER")?)?,
            attempt: number(
                "GITHUB_RUN_ATTEMPT",
                var("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned()),
            )?,
            url: format!("{}/actions/runs/{id}", workflow::require_repository_url()?),
            id,
            actor: require("GITHUB_ACTOR")?,
        })
    }

    /// How it ended last before this: this run's attempt before, or the last run before of the same workflow on
    /// the same branch. Cancelled ones are passed over, so that a failure before them isn't forgotten.
    fn previous(&self) -> Result<Option<Ending>> {
        let api = Api::from_env(&["GITHUB_TOKEN"])?;
        if self.attempt > 1 {
            let path = format!("/actions/runs/{}/attempts/{}", self.id, self.attempt - 1);
            // Gitea doesn't keep attempts.
            if let Some(ending) = api.get(&path)?.as_ref().and_then(Ending::of) {
                return Ok(Some(ending));
            }
        }
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        // `limit` is Gitea's `per_page`. The newest come first, so one page is enough.
        let path = format!(
            "/actions/runs?branch={}&event={}&status=completed&per_page=50&limit=50",
            encoded(&self.branch),
            encoded(&self.event.name)
        );
        let mut answer = api.get(&path)?.unwrap_or_default();
        let Value::Array(runs) = answer["workflow_runs"].take() else {
            return Ok(None);
        };
        let earlier = runs.iter().filter_map(|run| {
            let number = run["run_number"].as_u64()?;
            let this = self.is_of_workflow(run) && number < self.number;
            Some((number, Ending::of(run)?)).filter(|_| this)
        });
        let last = earlier.max_by_key(|(number, _)| *number);
        Ok(last.map(|(_, ending)| ending))
    }

    /// The file decides: names are free text, and two workflows may have the same.
    fn is_of_workflow(&self, run: &Value) -> bool {
        match run["path"].as_str() {
            Some(path) => file(path) == self.file,
            None => run["name"] == json!(self.workflow),
        }
    }

    /// One line in Slack's format.
    fn text(&self, headline: &str) -> String {
        let subject = match self.subject() {
            Some(subject) => format!(" “{}”", escape(&subject)),
            None => String::new(),
        };
        format!(
            "{}: {} {headline} on {}, at {}{subject} by {}: <{}|run {}>",
            escape(&self.repository),
            escape(&self.workflow),
            escape(&self.branch),
            short(&self.event.sha),
            escape(&self.actor),
            escape(&self.url),
            self.number
        )
    }

    /// The commit's first line, where this clone has the commit.
    fn subject(&self) -> Option<String> {
        let show = ["show", "--no-patch", "--no-show-signature", "--format=%s"];
        let git = Git::new(&root().ok()?);
        git.read(&[&show[..], &[&self.event.sha]].concat()).ok()
    }

    /// What a generic webhook gets. Documented in docs/github.md: add to it, but keep what is there.
    fn object(&self, result: Ending, before: Option<Ending>) -> Value {
        json!({
            "repository": self.repository,
            "workflow": self.workflow,
            "branch": self.branch,
            "commit": self.event.sha,
            "result": result.name(),
            "previous_result": before.map(Ending::name),
            "run_url": self.url,
            "actor": self.actor,
            "time": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        })
    }
}

/// `ci.yaml` of `owner/name/.github/workflows/ci.yaml@refs/heads/develop`.
fn file(path: &str) -> String {
    let path = path.split_once('@').map_or(path, |(path, _)| path);
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// As Slack wants other people's text: on one line, and with none of the characters that begin a link or a mention.
fn escape(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(LONGEST).map(plain).collect();
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The webhook's address that a variable holds, if it holds one.
fn address(variable: &str) -> Result<Option<Uri>> {
    let Some(text) = var(variable) else {
        return Ok(None);
    };
    let whole = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https"));
    let url = text.trim().parse().ok().filter(whole);
    url.map(Some).with_context(|| {
        format!("{variable} is not a URL that begins with https:// (it is a secret and not shown here): set it again")
    })
}

/// Posts JSON. What goes wrong is said without the address.
fn post(url: &Uri, body: &Value, secret: Option<&str>) -> Result<()> {
    let body = body.to_string();
    let mut request = api::agent()
        .post(url)
        .config()
        // The answer to a redirected POST would be another page's.
        .max_redirects(0)
        .build()
        .header("Content-Type", "application/json")
        .header("User-Agent", "pipeline");
    if let Some(secret) = secret {
        request = request.header(SIGNATURE, signature(secret, &body)?);
    }
    let status = match request.send(&body) {
        Ok(answer) => answer.status(),
        Err(error) => bail!(reason(&error)),
    };
    ensure!(status.is_success(), "it answered {}", status.as_u16());
    Ok(())
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "its host is unknown".to_owned(),
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
            "no TLS connection: does this machine trust its certificate?".to_owned()
        }
        _ => "no connection, or no answer in HTTP".to_owned(),
    }
}

/// As GitHub signs its own webhooks.
fn signature(secret: &str, body: &str) -> Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.map_err(|_| anyhow!("{SECRET} can't be a key"))?;
    mac.update(body.as_bytes());
    Ok(format!(
        "sha256={}",
        hex::encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_agrees_with_rfc_4231() {
        assert_eq!(
            signature("Jefe", "what do ya want for nothing?").unwrap(),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_workflow_is_known_by_its_file() {
        for path in [
            "ci.yaml",
            "ci.yaml@refs/heads/a/b",
            ".github/workflows/ci.yaml",
            "owner/name/.github/workflows/ci.yaml@refs/heads/develop",
        ] {
            assert_eq!(file(path), "ci.yaml", "{path}");
        }
    }

    #[test]
    fn escaped_text_is_one_short_line_without_mentions() {
        assert_eq!(
            escape("<!channel>\n&amp;\r\u{1b}x"),
            "&lt;!channel&gt; &amp;amp;  x"
        );
        assert_eq!(escape(&"<".repeat(1000)), "&lt;".repeat(LONGEST));
    }
}
