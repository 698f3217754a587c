# K3s with Argo CD, which deploys the chart in argocd/.
{charts, ...}: {
  config,
  lib,
  ...
}: let
  inherit ((import ../nix/versions.nix).argocd) vm;
  port = 30080;
in {
  imports = [./options.nix];

  vm.entries."Argo CD" = {
    inherit port;
    hint = "user admin, password from `argocd-password`";
  };

  # Pods connect to the API server, PostgreSQL and the Git repository on the machine.
  networking.firewall.trustedInterfaces = ["cni0" "flannel.1"];

  services.k3s = {
    enable = true;
    role = "server";
    disable = ["metrics-server" "servicelb" "traefik"];

    autoDeployCharts = {
      argo-cd = {
        repo = "https://argoproj.github.io/argo-helm";
        name = "argo-cd";
        version = vm.chart;
        inherit (vm) hash;
        targetNamespace = "argocd";
        createNamespace = true;
        values = {
          fullnameOverride = "argocd";
          # The VM has only the user `admin`, sends no notifications and uses no ApplicationSet.
          dex.enabled = false;
          notifications.enabled = false;
          applicationSet.replicas = 0;
          configs = {
            # Webhooks of the forge can't reach the VM, so Argo CD polls.
            cm."timeout.reconciliation" = "60s";
            # The port is only on the loopback interface of the host, so TLS is not needed.
            params."server.insecure" = true;
          };
          server.service = {
            type = "NodePort";
            nodePortHttp = port;
          };
        };
      };

      # K3s retries this until the custom resources of Argo CD exist.
      waybill-bootstrap = {
        package = charts.argocd;
        targetNamespace = "argocd";
        createNamespace = true;
        values = lib.optionalAttrs (config.vm.repoURL != null) {inherit (config.vm) repoURL;};
      };
    };
  };
}
