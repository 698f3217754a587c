# Tests the NixOS module on each database: deployments persist after a restart.
{
  database,
  self,
  ...
}: {
  name = "waybill-service-${database}";

  nodes.machine = {
    imports = [self.nixosModules.default];
    services.waybill = {
      enable = true;
      database.createLocally = database == "postgresql";
      settings.WAYBILL_LOG_FORMAT = "json";
    };
  };

  testScript = ''
    import json

    api = "http://127.0.0.1:8080/api/v1/deployments"
    deployment = {
        "application": "shop",
        "environment": "dev",
        "version": "v1.4.0",
        "actor": "nix",
        "commit": "1d7b4e0a3c5f60718293a4b5c6d7e8f901234567",
        "image_digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }

    machine.wait_for_unit("waybill.service")
    machine.wait_until_succeeds("curl --fail --silent http://127.0.0.1:8080/ready")

    with subtest("a deployment is recorded"):
        created = json.loads(
            machine.succeed(
                f"curl --fail --silent --json '{json.dumps(deployment)}' {api}"
            )
        )
        t.assertEqual(created["status"], "pending")

    with subtest("the deployment persists after a restart"):
        machine.systemctl("restart waybill.service")
        machine.wait_until_succeeds("curl --fail --silent http://127.0.0.1:8080/ready")
        found = json.loads(
            machine.succeed(f"curl --fail --silent {api}/{created['id']}")
        )
        t.assertEqual(found["commit"], deployment["commit"])

    with subtest("the unit is hardened"):
        machine.succeed("systemd-analyze security --threshold=20 waybill.service")
  '';
}
