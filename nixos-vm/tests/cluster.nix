# Tests the image and the chart on K3s without a network. ./argocd.nix tests Argo CD, whose images need a network.
{
  charts,
  image,
  pkgs,
  source,
  ...
}: {
  name = "waybill-cluster";

  nodes.machine = {
    virtualisation = {
      cores = 2;
      memorySize = 2048;
      diskSize = 6144;
    };

    imports = [../k3s.nix];

    services.k3s = {
      images = [(pkgs.runCommand "waybill-image.tar" {} "${image} > $out")];
      autoDeployCharts.waybill = {
        package = charts.waybill;
        targetNamespace = "waybill-dev";
        createNamespace = true;
        values = {
          image = {
            tag = image.imageTag;
            digest = "";
          };
          database.sqlite.storageClassName = "local-path";
        };
      };
    };
  };

  testScript = ''
    import json

    machine.wait_for_unit("k3s.service")

    with subtest("the chart rolls out"):
        machine.wait_until_succeeds(
            "kubectl --namespace waybill-dev rollout status deployment/waybill --timeout=10s",
            timeout=600,
        )

    with subtest("the service responds through its Service"):
        address = machine.succeed(
            "kubectl --namespace waybill-dev get service waybill --output 'jsonpath={.spec.clusterIP}'"
        )
        machine.wait_until_succeeds(f"curl --fail --silent http://{address}/ready")
        version = json.loads(machine.succeed(f"curl --fail --silent http://{address}/version"))
        t.assertEqual(version["commit"], "${source.commit}")
  '';
}
