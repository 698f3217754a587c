//! `cargo pipeline notify` reports each failure of a run, and the first success after a failure.
//!
//! Webhook addresses are secrets, because everyone who knows one can post to it. This module never prints them, nor
//! errors of the HTTP client, which may contain them.

use crate::project::root;
use crate::workflow::{self, Event, require, var};
use anyhow::{Context, Result, anyhow, bail, ensure};
use devkit::env;
use devkit::forge::{self, Forge, RunFilter};
use devkit::git::Git;
use devkit::git::short;
use devkit::http::{Tls, agent};
use devkit::text::line;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Serialize;
use sha2::Sha256;
use std::cmp::Reverse;
use std::io::ErrorKind;
use std::time::Duration;
use ureq::http::Uri;

const SLACK: &str = "NOTIFY_SLACK_URL";
const WEBHOOK: &str = "NOTIFY_WEBHOOK_URL";
const SECRET: &str = "NOTIFY_WEBHOOK_SECRET";
const SIGNATURE: &str = "X-Hub-Signature-256";

/// How long a webhook may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Notify chats and webhooks when a run fails or succeeds again.
///
/// Reports each failure, and the first success after a failure. The conclusion of the previous run, or of the same job in
/// it, comes from the forge, with GITHUB_TOKEN. NOTIFY_SLACK_URL gets a line of text. NOTIFY_WEBHOOK_URL gets a JSON object, signed if
/// NOTIFY_WEBHOOK_SECRET is set (docs/github.md). Without these variables, the command does nothing.
#[derive(clap::Args)]
pub(crate) struct Notify {
    /// Conclusion of this run
    #[arg(long, env = "NOTIFY_RESULT", value_enum)]
    result: Conclusion,
    /// Name of the job that `--result` is the conclusion of. Its conclusion in the previous run counts, whatever the other
    /// jobs did there. By default, the conclusion of the previous run counts
    #[arg(long)]
    job: Option<String>,
    /// Fail if a notification fails; by default this is a warning
    #[arg(long)]
    strict: bool,
}

/// The conclusion of a workflow run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Conclusion {
    Success,
    Failure,
    Cancelled,
}

impl Conclusion {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// The conclusion of a run or job on the forge. `None` if it says nothing about the code, or does not exist yet.
    fn of(conclusion: Option<forge::Conclusion>) -> Option<Self> {
        match conclusion? {
            forge::Conclusion::Success => Some(Self::Success),
            conclusion if conclusion.is_failure() => Some(Self::Failure),
            _ => None,
        }
    }
}

impl Notify {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let secret = workflow::secret(SECRET)?;
        let slack = address(SLACK)?;
        let webhook = address(WEBHOOK)?;
        if slack.is_none() && webhook.is_none() {
            println!("neither {SLACK} nor {WEBHOOK} is set: no notifications are sent");
            return Ok(());
        }
        let event = Event::from_env()?;
        if event.is_pull_request() || self.result == Conclusion::Cancelled {
            println!("no notifications for pull requests and cancelled runs");
            return Ok(());
        }
        let run = WorkflowRun::from_env(event)?;
        let mut problems = Vec::new();
        let before = run.previous(self.job.as_deref()).unwrap_or_else(|error| {
            problems.push(format!(
                "cannot read the conclusion of the previous run: {error:#}"
            ));
            None
        });
        match headline(before, self.result) {
            None => println!(
                "{} after {}: no news",
                self.result.name(),
                before.map_or("nothing", Conclusion::name)
            ),
            Some(headline) => {
                let told = [
                    slack.map(|url| {
                        let subject = run.subject();
                        let body = SlackMessage {
                            text: run.text(headline, subject.as_deref()),
                        };
                        ("Slack", post(&url, &body, None))
                    }),
                    webhook.map(|url| {
                        let body = run.notification(self.result, before);
                        ("the webhook", post(&url, &body, secret.as_deref()))
                    }),
                ];
                for (name, result) in told.into_iter().flatten() {
                    match result {
                        Ok(()) => println!("notified {name}: {} {headline}", run.workflow),
                        Err(error) => problems.push(format!("cannot notify {name}: {error:#}")),
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

/// The conclusion of a run, or of a job of it. `jobs` reads its jobs: a run that succeeded has no job that failed.
fn conclusion(
    run: &forge::Run,
    job: Option<&str>,
    jobs: impl FnOnce() -> Result<Vec<forge::Job>>,
) -> Result<Option<Conclusion>> {
    let of_run = Conclusion::of(run.conclusion);
    let (Some(Conclusion::Failure), Some(name)) = (of_run, job) else {
        return Ok(of_run);
    };
    let jobs = jobs()?;
    let job = jobs.iter().find(|job| job.is(name));
    // Without the job, the run failed before it had jobs: its file is not valid.
    Ok(job.map_or(of_run, |job| Conclusion::of(job.conclusion)))
}

/// The headline of a notification. `None` if the conclusion is not news.
fn headline(before: Option<Conclusion>, now: Conclusion) -> Option<&'static str> {
    match (before, now) {
        (Some(Conclusion::Failure), Conclusion::Failure) => Some("still fails"),
        (_, Conclusion::Failure) => Some("fails"),
        (Some(Conclusion::Failure), Conclusion::Success) => Some("works again"),
        _ => None,
    }
}

/// The workflow run that this job belongs to.
struct WorkflowRun {
    repository: String,
    workflow: String,
    /// The name of the workflow's file, without the folder.
    file: String,
    event: Event,
    /// The branch or tag, without `refs/`.
    branch: String,
    number: u64,
    attempt: u64,
    id: u64,
    url: String,
    actor: String,
}

impl WorkflowRun {
    fn from_env(event: Event) -> Result<Self> {
        let number = |name: &str, text: String| -> Result<u64> {
            text.parse()
                .with_context(|| format!("{name} is `{text}`, not a number"))
        };
        let workflow = require("GITHUB_WORKFLOW")?;
        let id = number("GITHUB_RUN_ID", require("GITHUB_RUN_ID")?)?;
        Ok(Self {
            repository: env::repository()?,
            // Gitea does not set GITHUB_WORKFLOW_REF; its GITHUB_WORKFLOW is the name of the file.
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

    /// The previous conclusion: of the previous attempt of this run, or of the previous run of the same workflow on the same
    /// branch. Cancelled runs are ignored, so that a failure before them still counts.
    fn previous(&self, job: Option<&str>) -> Result<Option<Conclusion>> {
        let forge = Forge::from_env(&["GITHUB_TOKEN"])?;
        if self.attempt > 1 {
            let before = self.attempt - 1;
            if let Some(attempt) = forge.find_attempt(self.id, before)? {
                let jobs = || Ok(forge.jobs_of_attempt(self.id, before)?);
                if let Some(conclusion) = conclusion(&attempt, job, jobs)? {
                    return Ok(Some(conclusion));
                }
            }
        }
        let filter = RunFilter {
            branch: Some(&self.branch),
            event: Some(&self.event.name),
            status: Some("completed"),
            head_sha: None,
        };
        let mut runs = forge.runs(&filter)?;
        runs.retain(|run| run.run_number < self.number && self.is_of_workflow(run));
        runs.sort_by_key(|run| Reverse(run.run_number));
        for run in &runs {
            if let Some(conclusion) = conclusion(run, job, || Ok(forge.jobs(run.id)?))? {
                return Ok(Some(conclusion));
            }
        }
        Ok(None)
    }

    /// Compares files, because two workflows may have the same name.
    fn is_of_workflow(&self, run: &forge::Run) -> bool {
        match run.path.as_str() {
            "" => run.name == self.workflow,
            _ => run.file() == self.file,
        }
    }

    /// One line of text in Slack's format
    /// (<https://docs.slack.dev/messaging/formatting-message-text>).
    fn text(&self, headline: &str, subject: Option<&str>) -> String {
        let subject = match subject {
            Some(subject) => format!(" “{}”", escape(subject)),
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

    /// The subject of the commit, if this clone has it.
    fn subject(&self) -> Option<String> {
        let show = ["show", "--no-patch", "--no-show-signature", "--format=%s"];
        let git = Git::new(&root().ok()?);
        let subject = git.read_lossy(&[&show[..], &[&self.event.sha]].concat());
        Some(subject.ok()?.trim_end().to_owned())
    }

    fn notification(&self, result: Conclusion, before: Option<Conclusion>) -> Notification<'_> {
        Notification {
            repository: &self.repository,
            workflow: &self.workflow,
            branch: &self.branch,
            commit: &self.event.sha,
            result,
            previous_result: before,
            run_url: &self.url,
            actor: &self.actor,
            time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

/// The JSON object for NOTIFY_WEBHOOK_URL. docs/github.md documents it: fields may be added, but not changed or removed.
#[derive(Serialize)]
struct Notification<'a> {
    repository: &'a str,
    workflow: &'a str,
    branch: &'a str,
    commit: &'a str,
    result: Conclusion,
    previous_result: Option<Conclusion>,
    run_url: &'a str,
    actor: &'a str,
    time: String,
}

/// The JSON object for NOTIFY_SLACK_URL.
#[derive(Serialize)]
struct SlackMessage {
    text: String,
}

/// `ci.yaml` of `owner/name/.github/workflows/ci.yaml@refs/heads/develop`.
fn file(path: &str) -> String {
    let path = path.split_once('@').map_or(path, |(path, _)| path);
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// Text for Slack that is not trusted: one short line, because chats reject long messages, without characters that begin a
/// link or a mention. Mattermost reads `@all` as a mention too.
fn escape(text: &str) -> String {
    let text = line(text);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The address of a webhook in a variable, if the variable is set.
fn address(variable: &str) -> Result<Option<Uri>> {
    let Some(text) = var(variable) else {
        return Ok(None);
    };
    let is_http = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https"));
    let url = text.parse().ok().filter(is_http);
    url.map(Some).with_context(|| {
        format!("{variable} is not a URL that begins with https:// (it is secret and not shown here): set it again")
    })
}

/// Posts JSON. Errors do not contain the address.
fn post(url: &Uri, body: &impl Serialize, secret: Option<&str>) -> Result<()> {
    let body = serde_json::to_string(body)?;
    let mut request = agent(Tls::platform(), TIMEOUT)
        .post(url)
        .config()
        // The answer to a redirected POST would come from another page.
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
        // TLS errors arrive as this kind.
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            "no TLS connection: its certificate is not trusted here, or has expired".to_owned()
        }
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
            "no TLS connection: does this machine trust its certificate?".to_owned()
        }
        _ => "no connection, or no answer in HTTP".to_owned(),
    }
}

/// Signs as GitHub does
/// (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).
fn signature(secret: &str, body: &str) -> Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.map_err(|_| anyhow!("{SECRET} cannot be used as a key"))?;
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
            "&lt;!channel&gt; &amp;amp; x"
        );
        assert!(escape(&"<".repeat(70_000)).len() < 1100);
        assert!(!escape("@all @here").contains("@all"));
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use proptest::prelude::*;

    fn run(texts: Vec<String>, id: u64) -> WorkflowRun {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap();
        WorkflowRun {
            repository: next(),
            workflow: next(),
            file: next(),
            branch: next(),
            url: next(),
            actor: next(),
            event: Event {
                name: next(),
                reference: next(),
                sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            },
            number: id,
            attempt: id,
            id,
        }
    }

    #[test]
    fn a_notification_is_one_line_of_text_and_valid_json() {
        let text = r"([<>&|@!\n\r\t`*_]|https?://[a-z.|>]{0,9}|<!channel>|<@U1>|@all|\PC){0,12}";
        let texts = proptest::collection::vec(text, 8);
        let given = ["", "<!channel>", "<https://a|b>", "a\n> b", "&lt;@U1&gt;"];
        let given = given.map(|text| (vec![text.to_owned(); 8], 1));
        let input = (texts, any::<u64>());
        testkit::fuzz("src/fuzz.regressions", given, input, |(texts, id)| {
            let subject = texts.last().cloned();
            let run = run(texts, id);
            let said = run.text("fails", subject.as_deref());
            prop_assert!(!said.contains(char::is_control), "{}", said);
            // The link to the run has the only markup.
            prop_assert!(said.ends_with(&format!("|run {id}>")), "{}", said);
            let marks = |mark| said.matches(mark).count();
            prop_assert_eq!((marks('<'), marks('>')), (1, 1), "{}", said);
            prop_assert!(said.chars().count() < 20_000);
            let sent = serde_json::to_string(&run.notification(Conclusion::Failure, None)).unwrap();
            let read: serde_json::Value = serde_json::from_str(&sent).unwrap();
            prop_assert_eq!(read["repository"].as_str(), Some(run.repository.as_str()));
            prop_assert_eq!(read["run_url"].as_str(), Some(run.url.as_str()));
            Ok(())
        });
    }
}
