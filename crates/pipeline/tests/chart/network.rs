//! Who reaches the service, and what it reaches.

use crate::helm::{chart, config, of_kind, one, render, values_files};
use crate::validation::refused;
use serde_json::{Value, json};

#[test]
fn only_the_same_namespace_may_write_to_the_ledger() {
    for file in values_files()
        .iter()
        .filter(|file| file.contains("/values-"))
    {
        let objects = render(&["--values", file]);
        let rules = &one(&objects, "NetworkPolicy")["spec"]["ingress"];
        let from = &rules[0]["from"];
        assert_eq!(from, &json!([{"podSelector": {}}]), "{file}");
        assert_eq!(rules.as_array().map(Vec::len), Some(1), "{file}");
    }
    let open = render(&["--set-json", "networkPolicy.from=[]"]);
    let rule = &one(&open, "NetworkPolicy")["spec"]["ingress"][0];
    assert!(rule.get("from").is_none());
}

#[test]
fn further_traffic_is_a_value() {
    let file = format!("{}/ci/extras-values.yaml", chart("waybill"));
    let objects = render(&["--values", &file]);
    let policy = &one(&objects, "NetworkPolicy")["spec"];
    assert_eq!(
        policy["ingress"][0]["from"].as_array().map(Vec::len),
        Some(2)
    );
    let ports: Vec<&Value> = policy["egress"]
        .as_array()
        .expect("rules")
        .iter()
        .flat_map(|rule| rule["ports"].as_array().expect("ports"))
        .map(|port| &port["port"])
        .collect();
    assert_eq!(ports, [53, 53, 5353, 5353, 5432, 443]);
    // With SQLite only the further rules remain.
    let egress = r#"networkPolicy.extraEgress=[{"ports":[{"port":443,"protocol":"TCP"}]}]"#;
    let sqlite = render(&["--set-json", egress]);
    let rules = &one(&sqlite, "NetworkPolicy")["spec"]["egress"];
    assert_eq!(rules.as_array().map(Vec::len), Some(1));
}

#[test]
fn the_service_can_listen_on_ipv6() {
    let address = |args: &[&str]| config(&render(args))["data"]["WAYBILL_HTTP_ADDR"].clone();
    assert_eq!(address(&[]), "0.0.0.0:8080");
    assert_eq!(address(&["--set", "listenAddress=::"]), "[::]:8080");
    let dual = render(&[
        "--set",
        "service.ipFamilyPolicy=PreferDualStack,listenAddress=::",
    ]);
    assert_eq!(
        one(&dual, "Service")["spec"]["ipFamilyPolicy"],
        "PreferDualStack"
    );
}

#[test]
fn both_ip_families_need_an_address_that_accepts_both() {
    refused(
        "service.ipFamilyPolicy=RequireDualStack",
        "service.ipFamilyPolicy is RequireDualStack, but the service listens on IPv4 only: set listenAddress to `::`.",
    );
}

#[test]
fn an_ingress_leads_to_the_service() {
    let file = format!("{}/ci/extras-values.yaml", chart("waybill"));
    let objects = render(&["--values", &file]);
    let ingress = one(&objects, "Ingress");
    let annotations = &ingress["metadata"]["annotations"];
    assert_eq!(annotations["example.com/rate-limit"], "10");
    assert_eq!(ingress["spec"]["ingressClassName"], "public");
    let rule = &ingress["spec"]["rules"][0];
    assert_eq!(rule["host"], "ledger.example.com");
    let service = &rule["http"]["paths"][0]["backend"]["service"];
    assert_eq!(
        service,
        &json!({"name": "waybill", "port": {"name": "http"}})
    );
    assert!(of_kind(&render(&[]), "Ingress").is_empty());
}

/// Argo CD compares entries of lists in full, so a default that the API server adds would be a difference.
#[test]
fn an_http_route_states_the_defaults_of_its_entries() {
    let values = r#"httpRoute={"enabled":true,"parentRefs":[{"name":"public","namespace":"gateways"}],"hostnames":["a.example"]}"#;
    let objects = render(&["--set-json", values, "--set-json", "networkPolicy.from=[]"]);
    let route = &one(&objects, "HTTPRoute")["spec"];
    assert_eq!(
        route["parentRefs"],
        json!([{
            "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways",
        }])
    );
    assert_eq!(
        route["rules"],
        json!([{
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{"group": "", "kind": "Service", "name": "waybill", "port": 80, "weight": 1}],
        }])
    );
}

#[test]
fn a_way_in_needs_a_host_or_a_gateway_and_a_policy_that_lets_it_through() {
    let open = "networkPolicy.enabled=false";
    refused(
        &format!("ingress.enabled=true,{open}"),
        "ingress.enabled needs a host name in ingress.hosts.",
    );
    refused(
        &format!("httpRoute.enabled=true,{open}"),
        "httpRoute.enabled needs a Gateway in httpRoute.parentRefs.",
    );
    refused(
        "ingress.enabled=true,ingress.hosts={a.example}",
        "networkPolicy.from allows only the same namespace: add the namespace of the Ingress controller or Gateway, or \
         requests from outside never arrive.",
    );
    render(&[
        "--set",
        &format!("ingress.enabled=true,ingress.hosts={{a.example}},{open}"),
    ]);
}
