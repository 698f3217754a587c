//! Fields that the chart copies without a change. Kubernetes or an operator validates them.

use crate::helm::{chart, one, refusal, render};
use crate::validation::refused;

/// Asserts that the schema refuses each value, and names its place.
fn refused_at(cases: &[(&str, &str)]) {
    for (values, place) in cases {
        let said = refusal(&["--set", values]);
        assert!(said.contains(&format!("at '{place}")), "{values}: {said}");
    }
}

#[test]
fn a_number_fits_into_the_field() {
    let most = 2_147_483_647_u64;
    for path in [
        "rollout.minReadySeconds",
        "rollout.progressDeadlineSeconds",
        "smokeTest.activeDeadlineSeconds",
        "terminationGracePeriodSeconds",
        "replicas",
        "autoscaling.maxReplicas",
    ] {
        let place = format!("/{}", path.replace('.', "/"));
        refused_at(&[(&format!("{path}={}", most + 1), &place)]);
    }
}

#[test]
fn a_network_is_one_that_kubernetes_takes() {
    let peer = "networkPolicy.from[0].ipBlock.cidr";
    let place = "/networkPolicy/from/0/ipBlock/cidr";
    for cidr in [
        "256.0.0.0/8",
        "10.0.0.0/33",
        "010.0.0.0/8",
        "::/129",
        "1:::/64",
    ] {
        refused_at(&[(&format!("{peer}={cidr}"), place)]);
    }
    for cidr in [
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/32",
        "192.168.1.1/32",
    ] {
        render(&["--set", &format!("{peer}={cidr}")]);
    }
    refused_at(&[
        (
            "networkPolicy.from[0].podSelector.matchExpressions[0].key=a b",
            "/networkPolicy/from/0/podSelector/matchExpressions/0",
        ),
        (
            "networkPolicy.from[0].podSelector.matchExpressions[0].key=a,\
             networkPolicy.from[0].podSelector.matchExpressions[0].operator=Is",
            "/networkPolicy/from/0/podSelector/matchExpressions/0/operator",
        ),
        (
            "networkPolicy.from[0].podSelector.matchExpressions[0].key=a,\
             networkPolicy.from[0].podSelector.matchExpressions[0].operator=In",
            "/networkPolicy/from/0/podSelector/matchExpressions/0",
        ),
    ]);
}

#[test]
fn a_port_of_a_rule_is_one_that_kubernetes_takes() {
    let port = "networkPolicy.extraEgress[0].ports[0]";
    let place = "/networkPolicy/extraEgress/0/ports/0";
    for values in [
        "port=0",
        "port=70000",
        "port=a b",
        "port=A-very-long-name",
        "endPort=90",
    ] {
        refused_at(&[(&format!("{port}.{values}"), place)]);
    }
    refused_at(&[(&format!("{port}.port=https,{port}.endPort=90"), place)]);
    for values in ["port=443", "port=https"] {
        render(&["--set", &format!("{port}.{values}")]);
    }
    render(&["--set", &format!("{port}.port=80,{port}.endPort=90")]);
    refused(
        &format!("{port}.port=90,{port}.endPort=80"),
        "networkPolicy.extraEgress[0].ports[0].endPort is 80; it must be at least port, which is 90.",
    );
}

#[test]
fn a_mount_stays_in_its_volume() {
    let volume = "extraVolumes[0].name=a,extraVolumes[0].configMap.name=a,extraVolumeMounts[0].name=a,\
                  extraVolumeMounts[0].mountPath=/a,extraVolumeMounts[0].subPath";
    for path in ["/b", "../b", "b/..", "b/../c"] {
        refused_at(&[(&format!("{volume}={path}"), "/extraVolumeMounts/0/subPath")]);
    }
    render(&["--set", &format!("{volume}=b/..c")]);
}

#[test]
fn a_key_of_a_secret_is_one_that_kubernetes_takes() {
    for key in [".", "..", "..a"] {
        let values = format!("database.existingSecret.key={key}");
        refused_at(&[(&values, "/database/existingSecret/key")]);
    }
    render(&["--set", "database.existingSecret.key=.url"]);
}

#[test]
fn an_interval_is_one_that_the_prometheus_operator_takes() {
    for interval in ["30s1h", "1m1m", "5", ""] {
        let values = format!("monitoring.podMonitor.interval={interval}");
        let said = refusal(&["--set-string", &values]);
        assert!(
            said.contains("at '/monitoring/podMonitor/interval'"),
            "{said}"
        );
    }
    render(&["--set", "monitoring.podMonitor.interval=1h30m5s"]);
}

#[test]
fn a_weight_of_an_affinity_is_one_that_kubernetes_takes() {
    for weight in [0, 101] {
        let term = "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]";
        let values = format!("{term}.weight={weight},{term}.podAffinityTerm.topologyKey=a");
        refused_at(&[(
            &values,
            "/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/weight",
        )]);
    }
}

/// YAML ends a text without quotes at ` #`.
#[test]
fn the_path_of_the_analysis_is_sent_as_it_is() {
    let canary = format!("{}/ci/canary-values.yaml", chart("waybill"));
    let path = "rollout.canary.path=/api?a=b%20#c: d";
    let said = refusal(&["--values", &canary, "--set", path]);
    assert!(said.contains("at '/rollout/canary/path'"), "{said}");
    let path = "rollout.canary.path=/api?a=%20#c";
    let objects = render(&["--values", &canary, "--set", path]);
    let web = &one(&objects, "AnalysisTemplate")["spec"]["metrics"][0]["provider"]["web"];
    let url = web["url"].as_str().expect("a URL");
    assert!(url.ends_with("/api?a=%20#c"), "{url}");
}

#[test]
fn a_gateway_is_named_as_kubernetes_names_it() {
    let gateway = "httpRoute.parentRefs[0].name=a,httpRoute.parentRefs[0]";
    refused_at(&[
        (
            &format!("{gateway}.group=A b"),
            "/httpRoute/parentRefs/0/group",
        ),
        (
            &format!("{gateway}.kind=a b"),
            "/httpRoute/parentRefs/0/kind",
        ),
    ]);
}
