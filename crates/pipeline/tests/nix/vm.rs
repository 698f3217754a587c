//! The virtual machines: size, ports, environments and passwords.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::flake::{Flake, root, run};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_vm_has_the_documented_size_and_only_the_host_reaches_it() {
    let flake = Flake::copy();
    let vm = flake.eval("nixosConfigurations.vm.config.virtualisation");
    assert_eq!((&vm["cores"], &vm["memorySize"]), (&json!(2), &json!(4096)));
    let ports = vm["forwardPorts"].as_array().expect("forwarded ports");
    assert!(ports.len() >= 2, "Argo CD and dev");
    let motd = flake.eval("nixosConfigurations.vm.config.users.motd");
    let motd = motd.as_str().expect("a message of the day");
    for port in ports {
        assert_eq!(port["host"]["address"], "127.0.0.1", "{port}");
        assert_eq!(port["host"]["port"], port["guest"]["port"]);
        let address = format!("http://127.0.0.1:{}/", port["host"]["port"]);
        assert!(motd.contains(&address), "{address} is not in {motd}");
    }
    assert!(
        motd.contains("\n  argocd-password "),
        "how to log in: {motd}"
    );

    let charts = flake.eval("nixosConfigurations.vm.config.services.k3s.autoDeployCharts");
    // Argo CD makes its own password when it starts.
    assert!(!charts.to_string().to_lowercase().contains("password"));
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn a_values_file_is_all_that_an_environment_needs() {
    let flake = Flake::copy();
    let values = |name: &str| format!("charts/waybill/values-{name}.yaml");
    for environments in [
        &["dev"][..],
        &["dev", "staging"],
        &["dev", "staging", "prod"],
    ] {
        for name in ["staging", "prod"] {
            let file = flake.path().join(values(name));
            if environments.contains(&name) {
                std::fs::copy(root().join(values("dev")), file).expect("the copy can be written");
            } else if file.exists() {
                std::fs::remove_file(file).expect("the copy can be written");
            }
        }
        flake.check().unwrap_or_else(|error| panic!("{error}"));
        for vm in ["vm", "vm-offline"] {
            let of =
                |option: &str| flake.eval(&format!("nixosConfigurations.{vm}.config.{option}"));
            let namespaces: Vec<_> = environments
                .iter()
                .map(|n| format!("waybill-{n}"))
                .collect();
            assert_eq!(of("services.postgresql.ensureDatabases"), json!(namespaces));

            let manifests = of("services.k3s.manifests.waybill-environments.content");
            let manifests = manifests.as_array().expect("a list of objects");
            let made = manifests
                .iter()
                .filter(|object| object["kind"] == "Namespace");
            let made: Vec<_> = made.map(|object| &object["metadata"]["name"]).collect();
            assert_eq!(made, namespaces.iter().collect::<Vec<_>>());
            let services = manifests
                .iter()
                .filter(|object| object["kind"] == "Service");
            let services: Vec<_> = services
                .map(|o| &o["spec"]["ports"][0]["nodePort"])
                .collect();
            let ports: Vec<_> = (30081..).take(environments.len()).collect();
            assert_eq!(json!(services), json!(ports));

            let forwarded = of("virtualisation.forwardPorts").to_string();
            let motd = of("users.motd");
            for port in ports {
                assert!(forwarded.contains(&port.to_string()), "{forwarded}");
                let address = format!("http://127.0.0.1:{port}/version");
                assert!(motd.as_str().expect("text").contains(&address), "{motd}");
            }
        }
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn k3s_has_its_images_and_its_network_wherever_it_runs() {
    let flake = Flake::copy();
    for machine in [
        "nixosConfigurations.vm.config",
        "nixosConfigurations.vm-offline.config",
        "checks.x86_64-linux.cluster.nodes.machine",
    ] {
        assert_eq!(flake.eval(&format!("{machine}.services.k3s.enable")), true);
        let trusted = flake.eval(&format!("{machine}.networking.firewall.trustedInterfaces"));
        assert_eq!(trusted, json!(["cni0", "flannel.1"]), "{machine}");
        let without_dhcp = flake.eval(&format!("{machine}.networking.dhcpcd.denyInterfaces"));
        assert_eq!(
            without_dhcp,
            json!(["veth*", "cni*", "flannel*"]),
            "{machine}"
        );
        // K3s starts without a network only if it has its own images.
        let images = flake.eval(&format!("{machine}.services.k3s.images"));
        assert!(
            images.to_string().contains("k3s-airgap-images"),
            "{machine}: {images}"
        );
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_passwords_of_the_databases_are_made_at_the_first_boot_and_kept() {
    let flake = Flake::copy();
    let service = flake.eval("nixosConfigurations.vm.config.systemd.services.waybill-databases");
    assert_eq!(service["serviceConfig"]["UMask"], "0077");
    let script = service["script"].as_str().expect("a script");

    let machine = TempDir::with_prefix("waybill-nix").expect("a temporary folder");
    let log = |name: &str| std::fs::read_to_string(machine.path().join(name)).expect("a log");
    for (name, text) in [
        (
            "openssl",
            "[ \"$*\" = 'rand -hex 24' ] && od -An -v -tx1 -N24 /dev/urandom | tr -d ' \\n'",
        ),
        ("runuser", "cat >> \"$MACHINE/roles\""),
        (
            "kubectl",
            "echo \"$*\" >> \"$MACHINE/arguments\"\n\
             if [ \"$1\" = create ]; then cat; else cat >> \"$MACHINE/secrets\"; echo >> \"$MACHINE/secrets\"; fi",
        ),
    ] {
        program(&machine.path().join(name), text);
    }
    let path = format!(
        "{}:{}",
        machine.path().display(),
        std::env::var("PATH").expect("PATH is set")
    );
    let boot = || {
        run(Command::new("bash")
            // NixOS runs it with `-e`.
            .args(["-ec", script])
            .env("PATH", &path)
            .env("MACHINE", machine.path())
            .env("STATE_DIRECTORY", machine.path()))
        .unwrap_or_else(|error| panic!("{error}"));
    };

    boot();
    let secrets = log("secrets");
    let url = secrets.lines().next().expect("a URL");
    let password = url
        .strip_prefix("postgres://waybill-dev:")
        .and_then(|rest| rest.strip_suffix("@10.42.0.1:5432/waybill-dev"))
        .unwrap_or_else(|| panic!("{url}"));
    assert!(
        password.len() == 48 && password.chars().all(|c| c.is_ascii_hexdigit()),
        "{password}"
    );
    let role = format!("ALTER ROLE \"waybill-dev\" PASSWORD '{password}'\n");
    assert!(log("roles").contains(&role), "{}", log("roles"));
    let arguments = log("arguments");
    assert!(
        !arguments.contains(password),
        "every user can see {arguments}"
    );
    assert!(arguments.contains("secret generic waybill-database --namespace waybill-dev"));

    boot();
    assert_eq!(log("secrets"), secrets.repeat(2), "the next boot keeps it");
    std::fs::remove_file(machine.path().join("waybill-dev")).expect("the password is kept there");
    boot();
    let other = log("secrets");
    let other = other.lines().rfind(|url| url.contains("/waybill-dev:"));
    assert!(
        !other.expect("a URL").contains(password),
        "another machine has another one"
    );
}

/// Writes a program.
fn program(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, format!("#!/bin/sh\n{text}\n")).expect("the program can be written");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}
