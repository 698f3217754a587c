//! Values that are valid each by itself and cannot work together, and numbers out of range.

use crate::helm::{chart, complaint, config, containers, helm, pod, refusal, render, values_files};

/// Asserts that values are refused with exactly one sentence.
pub fn refused(values: &str, sentence: &str) {
    let complaint = complaint(&["--set", values]);
    let found = complaint
        .split_once("): ")
        .map(|(_, text)| text.lines().next().unwrap_or_default());
    assert_eq!(found, Some(sentence), "{values}: {complaint}");
}

#[test]
fn a_setting_has_the_range_that_the_service_accepts() {
    for (setting, value, least, most) in [
        ("DATABASE_POOL_SIZE", "0", "1", "1000"),
        ("DATABASE_POOL_SIZE", "1001", "1", "1000"),
        ("DATABASE_TIMEOUT_MS", "0", "1", "3600000"),
        ("REQUEST_TIMEOUT_MS", "3600001", "1", "3600000"),
        ("REQUEST_BODY_LIMIT_BYTES", "0", "1", "268435456"),
        ("REQUEST_BODY_LIMIT_BYTES", "268435457", "1", "268435456"),
        ("SHUTDOWN_DELAY_MS", "3600001", "0", "3600000"),
        ("SHUTDOWN_TIMEOUT_MS", "999999999", "0", "3600000"),
    ] {
        let complaint = complaint(&["--set-string", &format!("config.WAYBILL_{setting}={value}")]);
        let sentence =
            format!("config.WAYBILL_{setting} is {value}; it must be between {least} and {most}.");
        assert!(complaint.contains(&sentence), "{complaint}");
    }
}

#[test]
fn a_roll_out_must_be_able_to_end_before_its_deadline() {
    for (values, seconds, ready) in [
        ("rollout.minReadySeconds=60", "60", "60"),
        ("rollout.minReadySeconds=30", "60", "30"),
        ("rollout.progressDeadlineSeconds=32", "32", "2"),
    ] {
        refused(
            values,
            &format!(
                "rollout.progressDeadlineSeconds is {seconds}; it must be greater than the 30 seconds that a start may \
                 take plus rollout.minReadySeconds, which is {ready}."
            ),
        );
    }
    render(&["--set", "rollout.minReadySeconds=29"]);
}

#[test]
fn a_pod_must_have_time_to_drain() {
    for (values, grace, total) in [
        ("terminationGracePeriodSeconds=25", "25", "25000"),
        ("config.WAYBILL_SHUTDOWN_DELAY_MS=10000", "30", "30000"),
        // Without a value the service's own default applies.
        (
            "config.WAYBILL_SHUTDOWN_TIMEOUT_MS=null,terminationGracePeriodSeconds=25",
            "25",
            "25000",
        ),
        ("config.WAYBILL_SHUTDOWN_TIMEOUT_MS=60000", "30", "65000"),
    ] {
        refused(
            values,
            &format!(
                "terminationGracePeriodSeconds is {grace}; it must be greater than the {total} ms of \
                 config.WAYBILL_SHUTDOWN_DELAY_MS plus config.WAYBILL_SHUTDOWN_TIMEOUT_MS."
            ),
        );
    }
}

#[test]
fn a_limit_is_not_below_its_request() {
    for (values, kind, limit, request) in [
        ("resources.limits.cpu=5m", "cpu", "5m", "10m"),
        ("resources.limits.cpu=0.009", "cpu", "0.009", "10m"),
        ("resources.requests.cpu=1", "cpu", "500m", "1"),
        (
            "resources.limits.memory=16000Ki",
            "memory",
            "16000Ki",
            "16Mi",
        ),
        ("resources.requests.memory=1G", "memory", "64Mi", "1G"),
    ] {
        refused(
            values,
            &format!(
                "resources.limits.{kind} is {limit}; it must be at least resources.requests.{kind}, which is {request}."
            ),
        );
    }
    for values in [
        "resources.limits.cpu=10m",
        "resources.limits.cpu=0.01",
        "resources.limits.memory=16384Ki",
    ] {
        render(&["--set", values]);
    }
}

#[test]
fn sqlite_supports_one_pod() {
    refused(
        "replicas=2",
        "An SQLite file supports only one pod: set replicas to 1, or use PostgreSQL by database.existingSecret.name.",
    );
}

#[test]
fn a_release_whose_name_cannot_be_that_of_a_service_is_refused() {
    let sentence = "`1st-waybill` cannot be the name of a Service: set fullnameOverride to at most 63 lower-case letters, \
                    digits and hyphens that begin with a letter and do not end with a hyphen.";
    let refused = helm(&["template", "1st", &chart("waybill")]);
    let refused = refused.expect_err("Helm must refuse this");
    assert!(refused.contains(sentence), "{refused}");
}

#[test]
fn a_name_that_kubernetes_refuses_is_refused_here() {
    for key in ["nameOverride", "fullnameOverride"] {
        for name in ["-a", "a-", "Shop", "1st", "a_b", "a.b", &"a".repeat(64)] {
            let refused = refusal(&["--set-string", &format!("{key}={name}")]);
            assert!(refused.contains(&format!("at '/{key}'")), "{refused}");
        }
        render(&["--set", &format!("{key}=my-shop")]);
    }
}

#[test]
fn a_misspelled_field_of_the_scheduler_is_refused() {
    for (values, complaint) in [
        (
            "tolerations[0].kee=a",
            "additional properties 'kee' not allowed",
        ),
        ("tolerations[0].operator=Is", "at '/tolerations/0/operator'"),
        ("tolerations[0].effect=Never", "at '/tolerations/0/effect'"),
        (
            "tolerations[0].tolerationSeconds=soon",
            "at '/tolerations/0/tolerationSeconds'",
        ),
        (
            "topologySpreadConstraints[0].maxSkew=1",
            "missing properties 'topologyKey', 'whenUnsatisfiable'",
        ),
        (
            "topologySpreadConstraints[0].topology=a",
            "additional properties 'topology' not allowed",
        ),
    ] {
        let refused = refusal(&["--set", values]);
        assert!(refused.contains(complaint), "{values}: {refused}");
    }
    refused(
        "tolerations[0].operator=Exists,tolerations[0].value=a",
        "tolerations[0] has a value; remove it, or set the operator to Equal.",
    );
    refused(
        "tolerations[0].operator=Equal,tolerations[0].value=a",
        "tolerations[0] has no key; set it, or set the operator to Exists.",
    );
    refused(
        "tolerations[0].operator=Exists,tolerations[0].effect=NoSchedule,tolerations[0].tolerationSeconds=3",
        "tolerations[0] has tolerationSeconds; remove it, or set the effect to NoExecute.",
    );
    refused(
        "topologySpreadConstraints[0].maxSkew=1,topologySpreadConstraints[0].minDomains=2,\
         topologySpreadConstraints[0].topologyKey=a,topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
        "topologySpreadConstraints[0] has minDomains; remove it, or set whenUnsatisfiable to DoNotSchedule.",
    );
}

#[test]
fn a_seccomp_profile_belongs_to_its_type() {
    let profile = "podSecurityContext.seccompProfile";
    refused(
        &format!("{profile}.type=Localhost"),
        "podSecurityContext.seccompProfile has the type Localhost and no localhostProfile: set it, or set the type to \
         RuntimeDefault.",
    );
    refused(
        &format!("{profile}.localhostProfile=profiles/a.json"),
        "podSecurityContext.seccompProfile has a localhostProfile; remove it, or set the type to Localhost.",
    );
    let local = |path: &str| format!("{profile}.type=Localhost,{profile}.localhostProfile={path}");
    render(&["--set", &local("profiles/a..b.json")]);
    for path in ["/profiles/a.json", "../a.json", "a/../b", "a/.."] {
        let said = refusal(&["--set", &local(path)]);
        assert!(said.contains("/seccompProfile/localhostProfile"), "{said}");
    }
}

#[test]
fn a_size_that_must_not_be_zero_is_refused() {
    for size in ["0Gi", "0.0Gi", "0000000"] {
        let value = format!("database.sqlite.size={size}");
        let sentence = format!("database.sqlite.size is {size}; it must be greater than 0.");
        let said = complaint(&["--set-string", &value]);
        assert!(said.contains(&sentence), "{said}");
    }
    let scaled = "database.existingSecret.name=a,autoscaling.enabled=true";
    for cpu in ["0", "0m", "0.0"] {
        refused(
            &format!("{scaled},autoscaling.averageCPU={cpu}"),
            &format!("autoscaling.averageCPU is {cpu}; it must be greater than 0."),
        );
    }
}

#[test]
fn an_id_is_one_that_kubernetes_takes() {
    for id in [
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "supplementalGroups[0]",
    ] {
        let value = format!("podSecurityContext.{id}=2147483648");
        let said = refusal(&["--set", &value]);
        assert!(said.contains("at '/podSecurityContext/"), "{said}");
        render(&["--set", &format!("podSecurityContext.{id}=2147483647")]);
    }
}

#[test]
fn a_key_of_the_scheduler_is_one_that_kubernetes_takes() {
    let spread = "topologySpreadConstraints[0].maxSkew=1,topologySpreadConstraints[0].topologyKey=a,\
                  topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway";
    for (values, place) in [
        ("tolerations[0].key=a b", "/tolerations/0/key"),
        (
            "tolerations[0].key=a,tolerations[0].value=b c",
            "/tolerations/0/value",
        ),
        (
            &format!("{spread},topologySpreadConstraints[0].matchLabelKeys={{a b}}"),
            "/topologySpreadConstraints/0/matchLabelKeys/0",
        ),
    ] {
        let said = refusal(&["--set", values]);
        assert!(said.contains(place), "{values}: {said}");
    }
    render(&[
        "--set",
        "tolerations[0].key=example.com/A_b,tolerations[0].value=c",
    ]);
    refused(
        &format!("{spread},topologySpreadConstraints[0].matchLabelKeys={{a}}"),
        "topologySpreadConstraints[0] has matchLabelKeys and no labelSelector: set it, such as to the labels of the pods.",
    );
    let again = spread.replace("[0]", "[1]");
    refused(
        &format!("{spread},{again}"),
        "topologySpreadConstraints[1] has the topologyKey and whenUnsatisfiable of an entry before it: remove one of them.",
    );
}

/// The chart calculates with these settings.
#[test]
fn a_setting_that_the_chart_must_know_is_in_config() {
    for setting in [
        "WAYBILL_DATABASE_POOL_SIZE",
        "WAYBILL_DATABASE_TIMEOUT_MS",
        "WAYBILL_SHUTDOWN_DELAY_MS",
        "WAYBILL_SHUTDOWN_TIMEOUT_MS",
    ] {
        let variable = format!("config=null,extraEnv[0].name={setting}");
        let sentence = format!(
            "extraEnv[0] sets {setting}, by which the chart checks other values: set config.{setting} instead."
        );
        refused(&format!("{variable},extraEnv[0].value=a"), &sentence);
        let source =
            "extraEnv[0].valueFrom.secretKeyRef.name=a,extraEnv[0].valueFrom.secretKeyRef.key=b";
        refused(&format!("{variable},{source}"), &sentence);
    }
}

#[test]
fn all_conditions_are_reported_at_once() {
    let complaint = complaint(&[
        "--set",
        "replicas=2,rollout.minReadySeconds=99,resources.limits.cpu=1m",
    ]);
    for part in ["SQLite", "progressDeadlineSeconds", "resources.limits.cpu"] {
        assert!(complaint.contains(part), "{part}: {complaint}");
    }
}

#[test]
fn a_limit_can_be_dropped_and_cpu_may_be_a_number() {
    for file in values_files() {
        let resources = |values: &str| {
            let objects = render(&["--values", &file, "--set", values]);
            containers(pod(&objects))[1]["resources"].clone()
        };
        let dropped = resources("resources.limits.cpu=null");
        assert!(dropped["limits"].get("cpu").is_none(), "{file}: {dropped}");
        assert!(dropped["limits"]["memory"].is_string(), "{file}: {dropped}");
        assert_eq!(resources("resources.limits.cpu=3")["limits"]["cpu"], "3");
        assert_eq!(
            resources("resources.limits.cpu=2.5")["limits"]["cpu"],
            "2.5"
        );
    }
}

#[test]
fn a_numeric_setting_becomes_text() {
    let objects = render(&[
        "--set-json",
        r#"config={"WAYBILL_DATABASE_POOL_SIZE": 9, "WAYBILL_REQUEST_TIMEOUT_MS": 3600000}"#,
    ]);
    let data = &config(&objects)["data"];
    assert_eq!(data["WAYBILL_DATABASE_POOL_SIZE"], "9");
    assert_eq!(data["WAYBILL_REQUEST_TIMEOUT_MS"], "3600000");
}

#[test]
fn an_image_repository_has_no_scheme_tag_or_digest() {
    for repository in [
        "https://ghcr.io/acme/shop",
        "ghcr.io/acme/shop:v1",
        "ghcr.io/acme/shop@sha256:0",
        "ghcr.io//shop",
        "ghcr.io/Acme/shop",
        "ghcr.io/acme/",
    ] {
        let said = refusal(&["--set", &format!("image.repository={repository}")]);
        assert!(
            said.contains("image.repository") || said.contains("/image/repository"),
            "{said}"
        );
    }
    for repository in ["localhost:5000/acme/shop", "shop", "ghcr.io/acme/a-b__c.d"] {
        render(&["--set", &format!("image.repository={repository}")]);
    }
}

#[test]
fn a_size_may_be_a_number_of_bytes() {
    // In a file, a number is a float.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.yaml");
    let text = "resources: {limits: {memory: 134217728}}\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("a path");
    let set = "resources.limits.memory=134217728";
    for args in [["--set", set], ["--values", file]] {
        let objects = render(&args);
        let limits = &pod(&objects)["containers"][0]["resources"]["limits"];
        assert_eq!(limits["memory"], "134217728", "{args:?}");
    }
    for value in ["64", "1.5", "-1", "true", "12XB"] {
        refusal(&["--set", &format!("resources.limits.memory={value}")]);
    }
}

#[test]
fn a_key_of_a_label_or_annotation_is_one_that_kubernetes_takes() {
    let long = "a".repeat(64);
    for key in ["/a", "a/", "Example/a", "a\\.\\.b/c", "-a", "é", &long] {
        let said = complaint(&["--set-string", &format!("podLabels.{key}=x")]);
        assert!(said.contains("podLabels"), "{key}: {said}");
    }
    for block in [
        "podLabels",
        "commonLabels",
        "podAnnotations",
        "nodeSelector",
    ] {
        let said = refusal(&["--set-string", &format!("{block}.a b=x")]);
        assert!(said.contains(block), "{block}: {said}");
    }
    let key = "podLabels.example\\.org/A_b-c\\.d=x";
    render(&["--set-string", key]);
}
