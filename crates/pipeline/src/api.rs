//! The forge's REST API. Only this module knows that there is more than one kind of forge; where GitHub and Gitea
//! differ in what they call a thing, the step asks [`Api::kind`].

use crate::workflow;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};

/// How many entries a page of a list has; both forges allow it.
const PAGE: usize = 50;

/// The forges whose words differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// GitHub.
    GitHub,
    /// Gitea or Forgejo.
    Gitea,
}

/// A repository on the forge, as the owner of a token sees it.
pub(crate) struct Api {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Api {
    /// The repository that GITHUB_REPOSITORY names, on the forge of GITHUB_API_URL (api.github.com).
    ///
    /// Logs in with the first of `tokens`, names of variables, that is set; with none it sees what everybody sees.
    pub(crate) fn from_env(tokens: &[&str]) -> Result<Self> {
        let repository = workflow::require("GITHUB_REPOSITORY")?;
        let url =
            workflow::var("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".into());
        Ok(Self {
            agent: agent(),
            base: format!("{}/repos/{repository}", url.trim_end_matches('/')),
            token: tokens.iter().find_map(|name| workflow::var(name)),
        })
    }

    /// Gitea's API is versioned by its path, GitHub's by a header.
    pub(crate) fn kind(&self) -> Kind {
        match self.base.contains("/api/v1/") {
            true => Kind::Gitea,
            false => Kind::GitHub,
        }
    }

    /// The address of a path below the repository's.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What is at a path below the repository's; `None` where there is nothing.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Value>> {
        let (status, value) = self.exchange("GET", path, None)?;
        match status {
            404 => Ok(None),
            _ => self.success("GET", path, status, value).map(Some),
        }
    }

    /// All entries of a list, page by page. `field` names the list where the answer is an object.
    pub(crate) fn list(&self, path: &str, field: Option<&str>) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        for page in 1.. {
            let path = format!("{path}{joint}per_page={PAGE}&limit={PAGE}&page={page}");
            let mut answer = self.get(&path)?.unwrap_or_default();
            if let Some(field) = field {
                answer = answer[field].take();
            }
            let Value::Array(entries) = answer else { break };
            // Some of Gitea's lists have no pages: each time they come whole.
            if page > 1 && entries.first() == all.first() {
                break;
            }
            let full = entries.len() >= PAGE;
            all.extend(entries);
            if !full {
                break;
            }
        }
        Ok(all)
    }

    /// Sends a request and returns what the forge answers; a refusal is an error in the forge's words.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let (status, value) = self.exchange(method, path, Some(body))?;
        self.success(method, path, status, value)
    }

    fn success(&self, method: &str, path: &str, status: u16, value: Value) -> Result<Value> {
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let words = value["message"].as_str().map(str::to_owned);
        let words = words.unwrap_or_else(|| value.to_string());
        bail!("{method} {} answered {status}: {words}", self.url(path))
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let url = self.url(path);
        let request = self
            .request(method, &url)
            .header("Content-Type", "application/json");
        let answer = match body {
            Some(body) => self.agent.run(request.body(body.to_string())?),
            None => self.agent.run(request.body(())?),
        };
        let mut answer = answer.with_context(|| format!("cannot reach {url}"))?;
        let text = answer.body_mut().read_to_string()?;
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((answer.status().as_u16(), value))
    }

    fn request(&self, method: &str, url: &str) -> ureq::http::request::Builder {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("Accept", "application/json")
            .header("User-Agent", "pipeline");
        if self.kind() == Kind::GitHub {
            request = request.header("X-GitHub-Api-Version", "2022-11-28");
        }
        if let Some(token) = &self.token {
            // Gitea takes GitHub's scheme too.
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request
    }
}

/// A client that trusts what the machine trusts, and takes every status as an answer.
pub(crate) fn agent() -> ureq::Agent {
    let trust = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    ureq::Agent::config_builder()
        .tls_config(trust.build())
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .build()
        .new_agent()
}
