//! The replacements for third-party actions, whose steps are run as the runner runs them.

#![expect(clippy::expect_used, reason = "a test that can't go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use devkit::yaml::Node;

/// The script of a step of the replacement for rust-cache.
fn script(step: &str) -> String {
    let action = fs::read_to_string("actions/Swatinem/rust-cache/action.yml")
        .expect("the action can be read");
    let action = Node::parse(&action).expect("the action is valid YAML");
    let steps = action.at("runs.steps").expect("the action has steps");
    let is_meant = |found: &&Node| found.get("name").and_then(Node::text) == Some(step);
    let step = steps.items().iter().find(is_meant);
    let script = step.and_then(|step| step.get("run")?.text());
    script.expect("the step has a script").to_owned()
}

/// A runner's folder for the work of jobs.
struct Runner(tempfile::TempDir);

impl Runner {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("there is a folder for temporary files"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Begins a job with its checkout, a file that names the job.
    fn begin(&self, job: &str) {
        let checkout = self.path(&format!("work/{job}/hostexecutor"));
        fs::create_dir_all(&checkout).expect("the job gets a folder");
        fs::write(checkout.join("name"), job).expect("the job gets a checkout");
    }

    /// Starts the step that takes the target folder `unit`. A pause takes a hundredth of its time.
    fn take(&self, job: &str) -> Child {
        let script = script("Take a target folder and the path that belongs to it")
            .replace("sleep 0.5", "sleep 0.005");
        Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", &script])
            .current_dir(self.path(&format!("work/{job}/hostexecutor")))
            .env("KEY", "unit")
            .env("LAB_CACHE_DIR", self.path("cache"))
            .env("GITHUB_ENV", self.path("environment"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash can be started")
    }

    /// The name in the checkout that a step of the job sees.
    fn seen_by(&self, job: &str) -> Option<String> {
        fs::read_to_string(self.path(&format!("work/{job}/hostexecutor/name"))).ok()
    }
}

fn ended(mut step: Child) {
    assert!(step.wait().expect("the step ends").success());
}

/// A process in a folder. It ends with the test.
struct Running(Child);

impl Running {
    fn start(folder: &Path) -> Self {
        let mut sleep = Command::new("sleep");
        let process = sleep.arg("600").current_dir(folder).spawn();
        Self(process.expect("sleep can be started"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("the process can be ended");
        self.0.wait().expect("the process ends");
    }
}

#[test]
fn a_job_waits_until_the_one_before_has_ended() {
    let runner = Runner::new();
    runner.begin("one");
    ended(runner.take("one"));
    assert_eq!(runner.seen_by("one").as_deref(), Some("one"));
    let _running = Running::start(&runner.path("work/unit"));

    runner.begin("two");
    let mut waiting = runner.take("two");
    let output = waiting.stdout.take().expect("the step has an output");
    let mut lines = BufReader::new(output).lines();
    // Longer than a folder that a stop has left behind is kept.
    for _ in 0..40 {
        let line = lines.next().expect("the step waits");
        let line = line.expect("the output can be read");
        assert!(line.starts_with("waiting for the job in /"), "{line}");
    }
    assert_eq!(runner.seen_by("one").as_deref(), Some("one"));

    fs::remove_dir_all(runner.path("work/one")).expect("the runner removes the job's folder");
    ended(waiting);
    assert_eq!(runner.seen_by("two").as_deref(), Some("two"));
}

#[test]
fn a_folder_that_a_stop_of_the_lab_has_left_behind_is_taken() {
    let runner = Runner::new();
    for job in ["one", "two"] {
        runner.begin(job);
        ended(runner.take(job));
        assert_eq!(runner.seen_by(job).as_deref(), Some(job));
    }
    // If it was not left behind, its next step fails and tests no other checkout.
    assert_eq!(runner.seen_by("one"), None);
}

#[test]
fn the_checkouts_of_all_jobs_have_one_path() {
    let runner = Runner::new();
    let place = |job: &str| {
        runner.begin(job);
        ended(runner.take(job));
        let place = fs::canonicalize(runner.path(&format!("work/{job}/hostexecutor")));
        fs::remove_dir_all(runner.path(&format!("work/{job}"))).expect("the job ends");
        place.expect("the job has a checkout")
    };
    assert_eq!(place("one"), place("two"));
}
