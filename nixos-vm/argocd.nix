# Argo CD in K3s, and the root Application, which deploys everything else from the Git repository.
{source, ...}: {
  config,
  lib,
  pkgs,
  ...
}: let
  inherit ((import ../nix/versions.nix).argocd) vm;
  port = 30080;
  chart = "argo-cd-${vm.chart}";

  # The root Application and its project, rendered from the chart in argocd/.
  root = pkgs.runCommand "waybill-root.yaml" {nativeBuildInputs = [pkgs.kubernetes-helm];} ''
    helm template waybill ${source.root + "/argocd"} \
      ${lib.optionalString (config.vm.repoURL != null) "--set-string repoURL=${config.vm.repoURL}"} \
      --show-only templates/appproject-root.yaml --show-only templates/application-root.yaml |
      sed 's/^metadata:$/&\n  namespace: argocd/' > $out
  '';
in {
  imports = [./k3s.nix ./options.nix];

  vm.entries."Argo CD" = {
    inherit port;
    hint = "user admin, password from `argocd-password`";
  };

  services.k3s = {
    # The custom resources of Argo CD don't exist yet when K3s applies this first. It tries again every 15 seconds.
    manifests.waybill-root.source = root;

    # The disk of the VM persists, and K3s installs a chart again only if the URL or the values change. So the URL has
    # the version.
    charts.${chart} = config.services.k3s.autoDeployCharts.argo-cd.package;

    autoDeployCharts.argo-cd = {
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
      extraFieldDefinitions.spec = {
        chart = "https://%{KUBERNETES_API}%/static/charts/${chart}.tgz";
        # A hook of the chart pulls the image of Argo CD before the installation. After the default of 5 minutes, K3s
        # would uninstall the chart and start again.
        timeout = "30m";
      };
    };
  };
}
