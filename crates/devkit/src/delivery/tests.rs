use super::*;
use std::sync::LazyLock;

/// The example, with an owner and a name that do not change when the project is renamed.
static OURS: LazyLock<String> = LazyLock::new(|| {
    let mut keys = ["owner", "name"].into_iter().peekable();
    let lines = testkit::DELIVERY.lines().map(|line| {
        match keys.next_if(|key| line.starts_with(&format!("{key} = "))) {
            Some(key) => format!("{key} = \"parcel\"\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
});
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn problems(from: &str, to: &str) -> String {
    assert!(OURS.contains(from), "{from}");
    let error = Delivery::parse(&OURS.replace(from, to)).unwrap_err();
    error.to_string()
}

#[test]
fn our_own_file_fills_in_what_it_leaves_out() {
    let delivery = Delivery::parse(&OURS).unwrap();
    assert_eq!(delivery.repository(), "parcel/parcel");
    assert_eq!(
        delivery.image_repository().as_str(),
        "ghcr.io/parcel/parcel"
    );
    let elsewhere = delivery.image_repository_in("localhost:5000").unwrap();
    assert_eq!(elsewhere.as_str(), "localhost:5000/parcel/parcel");
    for registry in [
        "https://ghcr.io",
        "ghcr.io/",
        "ghcr.io/acme",
        "ghcr.io:",
        "",
    ] {
        let error = delivery.image_repository_in(registry).unwrap_err();
        assert!(error.to_string().contains("is not a host"), "{error}");
    }
    assert_eq!(delivery.chart, "charts/parcel");
    let staging = delivery.environment("staging").unwrap();
    assert_eq!(staging.namespace, "parcel-staging");
    assert_eq!(staging.values, "charts/parcel/values-staging.yaml");
    assert_eq!(delivery.application(staging), "parcel-staging");
    assert_eq!(delivery.previous(staging), Some(delivery.first()));
    assert_eq!(delivery.next(staging), Some(delivery.last()));
    assert_eq!(delivery.previous(delivery.first()), None);
    assert_eq!(delivery.next(delivery.last()), None);
    assert_eq!(delivery.tagged(), staging);
}

/// Some editors put a byte order mark before a text, and end lines as Windows does.
#[test]
fn a_file_that_an_editor_wrote_its_own_way_is_read() {
    let text = format!("\u{feff}{}", OURS.replace('\n', "\r\n"));
    let delivery = Delivery::parse(&text).unwrap();
    assert_eq!(delivery.repository(), "parcel/parcel");
}

#[test]
fn the_host_of_the_registry_is_written_in_small_letters() {
    let text = OURS.replace("registry = \"ghcr.io\"", "registry = \"GHCR.IO\"");
    let delivery = Delivery::parse(&text).unwrap();
    assert_eq!(delivery.registry, "ghcr.io");
    let image = delivery.image_repository_in("LocalHost:5000").unwrap();
    assert_eq!(image.as_str(), "localhost:5000/parcel/parcel");
    let text = "registry = \"ghcr.io\"\nimage-repository = \"GHCR.io/a/b\"";
    let text = OURS.replace("registry = \"ghcr.io\"", text);
    let delivery = Delivery::parse(&text).unwrap();
    assert_eq!(delivery.image_repository().as_str(), "ghcr.io/a/b");
}

#[test]
fn an_image_repository_has_no_tag() {
    let image = "registry = \"ghcr.io\"\nimage-repository = \"ghcr.io/a/b:v1\"";
    let said = problems("registry = \"ghcr.io\"", image);
    let expected =
        "image-repository: `ghcr.io/a/b:v1` is not an image repository: leave out the tag";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn branches_find_their_environment() {
    let delivery = Delivery::parse(&OURS).unwrap();
    assert_eq!(delivery.by_branch("main"), Some(delivery.last()));
    assert!(delivery.by_branch("develop").is_some());
    assert!(delivery.by_branch("feature/develop").is_none());
    assert!(delivery.is_built("develop") && delivery.is_built("feature/x"));
    assert!(!delivery.is_built("staging") && !delivery.is_built("main"));
    let values = "charts/parcel/values-prod.yaml";
    assert_eq!(delivery.by_values(values), Some(delivery.last()));
    assert_eq!(delivery.by_values("charts/parcel/values.yaml"), None);
}

#[test]
fn tags_follow_the_templates() {
    let delivery = Delivery::parse(&OURS).unwrap();
    let of = |name: &str| delivery.environment(name).unwrap().image_tags(COMMIT);
    assert_eq!(of("dev"), ["sha-0123456", "develop", "develop-0123456"]);
    assert!(of("staging").is_empty());
    assert_eq!(of("prod"), ["main", "sha-0123456"]);
    assert_eq!(
        delivery.release_image_tags("v1.0.0", false, COMMIT),
        ["sha-0123456", "latest", "v1.0.0"]
    );
    assert_eq!(
        delivery.release_image_tags("v1.0.0-rc.1", true, COMMIT),
        ["sha-0123456", "v1.0.0-rc.1"]
    );
}

#[test]
fn another_environment_is_only_an_entry() {
    let qa = "[[environment]]\nname = \"qa\"\nbranch = \"qa\"\npromotion = \"pull-request\"\nsync = \"manual\"\napprovals = 1\n\n[[environment]]\nname = \"prod\"";
    let text = OURS.replace("[[environment]]\nname = \"prod\"", qa);
    let delivery = Delivery::parse(&text).unwrap();
    let names: Vec<&str> = delivery.names().collect();
    assert_eq!(names, ["dev", "staging", "qa", "prod"]);
    assert_eq!(delivery.previous(delivery.last()).unwrap().name, "qa");
    assert_eq!(delivery.tagged().name, "qa");
    assert!(!delivery.is_built("qa"));
}

#[test]
fn an_owner_with_capitals_has_an_image_without() {
    let text = OURS.replace("owner = \"parcel\"", "owner = \"Acme\"");
    let delivery = Delivery::parse(&text).unwrap();
    assert_eq!(delivery.repository(), "Acme/parcel");
    assert_eq!(delivery.image_repository().path(), "acme/parcel");
}

#[test]
fn what_contradicts_itself_is_refused_with_the_reason() {
    for (from, to, reason) in [
        (
            "name = \"staging\"",
            "name = \"dev\"",
            "two environments have the name `dev`",
        ),
        (
            "branch = \"staging\"",
            "branch = \"main\"",
            "two environments have the branch `main`",
        ),
        (
            "name = \"staging\"",
            "name = \"Staging\"",
            "its name is not a DNS label",
        ),
        (
            "branch = \"staging\"",
            "branch = \"a b\"",
            "`a b` is not the name of a branch",
        ),
        (
            "branch = \"staging\"",
            "branch = \"staging\"\nvalues = \"../x.yaml\"",
            "must be a path within the repository",
        ),
        (
            "branch = \"staging\"",
            "branch = \"staging\"\nnamespace = \"parcel-dev\"",
            "two environments have the namespace",
        ),
        (
            "promotion = \"build\"",
            "promotion = \"pull-request\"",
            "`dev` is first, so it needs promotion = \"build\"",
        ),
        (
            "promotion = \"pull-request\"",
            "promotion = \"tag\"",
            "`staging` is between the first and the last",
        ),
        (
            "promotion = \"tag\"",
            "promotion = \"pull-request\"",
            "`prod` is last, so it needs promotion = \"tag\"",
        ),
        (
            "registry = \"ghcr.io\"",
            "registry = \"https://ghcr.io\"",
            "is not a host",
        ),
        (
            "registry = \"ghcr.io\"",
            "registry = \"ghcr.io/\"",
            "is not a host",
        ),
        (
            "owner = \"parcel\"",
            "owner = \"way bill\"",
            "is not an account",
        ),
        (
            "\"{branch}\", \"{branch}-{commit}\"",
            "\"latest\"",
            "only a release is `latest`",
        ),
        (
            "\"{branch}-{commit}\"",
            "\"{branch}-{sha}\"",
            "gives `develop-{sha}`, which is not an image tag",
        ),
        (
            "\"latest\", \"{version}\"",
            "\"{version}\", \"latest\"",
            "must end with `{version}`",
        ),
    ] {
        let error = problems(from, to);
        assert!(error.contains(reason), "{to}: {error}");
    }
}

#[test]
fn an_environment_may_say_where_people_reach_it() {
    let with = |url: &str| {
        let text = format!("approvals = 1\nurl = \"{url}\"");
        Delivery::parse(&OURS.replace("approvals = 1", &text))
    };
    let delivery = with("https://staging.example.org/parcel").unwrap();
    let urls: Vec<Option<&str>> = delivery
        .environments()
        .iter()
        .map(|env| env.url.as_deref())
        .collect();
    assert_eq!(
        urls,
        [None, Some("https://staging.example.org/parcel"), None]
    );
    for url in [
        "",
        "staging.example.org",
        "/parcel",
        "https://",
        "ssh://staging.example.org",
        "https://staging.example.org/a b",
        "https://staging.example.org/\\nx",
    ] {
        let error = with(url).unwrap_err().to_string();
        let expected = "environment `staging`: url `";
        assert!(error.contains(expected), "{url}: {error}");
    }
}

#[test]
fn an_image_has_one_platform_or_several() {
    let with = |platforms: &str| {
        let text = format!("registry = \"ghcr.io\"\nplatforms = {platforms}");
        Delivery::parse(&OURS.replace("registry = \"ghcr.io\"", &text))
    };
    let (amd64, arm64) = (Platform::Amd64, Platform::Arm64);
    assert_eq!(Delivery::parse(&OURS).unwrap().platforms, [amd64]);
    let both = r#"["linux/amd64", "linux/arm64"]"#;
    assert_eq!(with(both).unwrap().platforms, [amd64, arm64]);
    for wrong in [
        "[]",
        r#"["linux/arm64"]"#,
        r#"["linux/arm64", "linux/amd64"]"#,
        r#"["linux/amd64", "linux/amd64"]"#,
    ] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(
            error.contains("begin with `linux/amd64`"),
            "{wrong}: {error}"
        );
    }
    let error = with(r#"["linux/riscv64"]"#).unwrap_err().to_string();
    assert!(error.contains("unknown variant `linux/riscv64`"), "{error}");
}

#[test]
fn an_application_has_a_name_that_helm_takes() {
    let long = "name = \"a-name-that-has-itself-more-than-fifty-characters-in-it\"";
    let error = problems("name = \"staging\"", long);
    assert!(error.contains("has at most 53 characters"), "{error}");
}

#[test]
fn protection_names_a_job_and_teams() {
    let protection = Delivery::parse(&OURS).unwrap().protection;
    assert_eq!(protection.check.workflow, "ci");
    assert_eq!(protection.check.job, "required");
    assert_eq!(protection.maintainers, ["maintainers"]);
    for (from, to, reason) in [
        (
            "approvals = 2",
            "approvals = 7",
            "environment `prod`: approvals is 7, and forges support at most 6",
        ),
        (
            "\"ci / required\"",
            "\"required\"",
            "`required` is not a check: write `WORKFLOW / JOB`",
        ),
        ("\"ci / required\"", "\"ci / \"", "`ci / ` is not a check"),
        (
            "[\"maintainers\"]",
            "[]",
            "protection.maintainers names no team",
        ),
        (
            "[\"maintainers\"]",
            "[\"acme/maintainers\"]",
            "`acme/maintainers` is not a team",
        ),
        (
            "[protection]",
            "[protection]\nsolo = true",
            "environment `prod`: approvals is 2, and with `protection.solo` it can be at most 1",
        ),
    ] {
        let error = problems(from, to);
        assert!(error.contains(reason), "{to}: {error}");
    }
}

#[test]
fn an_unknown_key_or_word_is_refused() {
    for (from, to, reason) in [
        (
            "approvals = 2",
            "approvals = \"two\"",
            "approvals = \"two\"",
        ),
        (
            "[\"maintainers\"]",
            "\"maintainers\"",
            "expected a sequence",
        ),
        ("[protection]", "[protected]", "unknown field `protected`"),
        ("check = \"ci / required\"\n", "", "missing field `check`"),
        (
            "maintainers = [",
            "up-to-date = true\nmaintainers = [",
            "unknown field `up-to-date`",
        ),
        ("approvals = 2", "aprovals = 2", "unknown field `aprovals`"),
        (
            "sync = \"automatic\"",
            "sync = \"auto\"",
            "unknown variant `auto`",
        ),
        ("approvals = 2\n", "", "missing field `approvals`"),
        ("approvals = 2", "approvals = -1", "approvals = -1"),
    ] {
        let error = problems(from, to);
        assert!(error.contains(reason), "{to}: {error}");
    }
}

#[test]
fn fewer_than_two_environments_are_refused() {
    let text = "owner = \"a\"\nname = \"b\"\nregistry = \"ghcr.io\"\n[protection]\ncheck = \"ci / required\"\nmaintainers = [\"maintainers\"]\n[release]\nimage-tags = [\"{version}\"]\nprerelease-image-tags = [\"{version}\"]\n";
    let error = Delivery::parse(text).unwrap_err().to_string();
    assert!(error.contains("at least two"), "{error}");
}

#[test]
fn an_environment_that_is_missing_is_named_with_those_that_exist() {
    let error = Delivery::parse(&OURS)
        .unwrap()
        .environment("qa")
        .unwrap_err();
    let expected = "there is no environment `qa` in delivery.toml; it has dev, staging, prod";
    assert_eq!(error.to_string(), expected);
}
