# K3s with Argo CD in it, which then deploys what the chart in argocd/ says.
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
    hint = "user admin, see argocd-password";
  };

  # Pods reach the API server, PostgreSQL and the Git repository on the machine.
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
          # Nobody logs in but `admin`, nobody is notified, and there is no ApplicationSet.
          dex.enabled = false;
          notifications.enabled = false;
          applicationSet.replicas = 0;
          configs = {
            # The forge can't reach the VM with a webhook.
            cm."timeout.reconciliation" = "60s";
            # No TLS, as the port is the host's loopback.
            params."server.insecure" = true;
          };
          server.service = {
            type = "NodePort";
            nodePortHttp = port;
          };
        };
      };

      # Tried again until Argo CD's own kinds are there.
      waybill-bootstrap = {
        package = charts.argocd;
        targetNamespace = "argocd";
        createNamespace = true;
        values = lib.optionalAttrs (config.vm.repoURL != null) {inherit (config.vm) repoURL;};
      };
    };
  };
}
