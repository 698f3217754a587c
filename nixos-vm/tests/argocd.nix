# Tests the offline VM: Argo CD deploys dev from the Git repository in the VM. Tests have no network, so this one is
# available only if nixos-vm/images.nix lists the images of Argo CD.
{vms, ...}: {
  name = "waybill-argocd";

  nodes.machine = {
    imports = map (file: import file vms.project) [
      ../argocd.nix
      ../environments.nix
      ../offline.nix
    ];
    virtualisation = {
      cores = 2;
      memorySize = 4096;
      diskSize = 20480;
    };
  };

  testScript = ''
    machine.wait_for_unit("k3s.service")
    machine.wait_for_unit("waybill-git.service")

    with subtest("Argo CD deploys dev"):
        machine.wait_until_succeeds(
            "kubectl --namespace argocd wait application/waybill-dev --timeout=10s"
            " --for=jsonpath='{.status.health.status}'=Healthy",
            timeout=1200,
        )
        machine.wait_until_succeeds("curl --fail --silent http://127.0.0.1:30081/ready")

    with subtest("each environment has its own database"):
        machine.wait_for_unit("waybill-databases.service")
        machine.succeed("kubectl --namespace waybill-dev get secret waybill-database")
  '';
}
