# The machine: its size, its ports on the loopback interface of the host, and its login message.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}: let
  ports = lib.attrValues (lib.mapAttrs (_: entry: entry.port) config.vm.entries);
  line = name: entry: "  http://127.0.0.1:${toString entry.port}${entry.path}  ${name}${lib.optionalString (entry.hint != "") ": ${entry.hint}"}\n";
in {
  imports = [
    "${modulesPath}/virtualisation/qemu-vm.nix"
    ./options.nix
  ];

  networking.hostName = "waybill";
  system.stateVersion = "26.05";

  virtualisation = {
    cores = 2;
    memorySize = 4096;
    diskSize = 20480; # space for images
    graphics = false;
    forwardPorts =
      map (port: {
        from = "host";
        host = {
          address = "127.0.0.1";
          inherit port;
        };
        guest = {inherit port;};
      })
      ports;
  };

  networking.firewall.allowedTCPPorts = ports;

  environment = {
    systemPackages = [
      pkgs.argocd
      pkgs.git
      (pkgs.writeShellApplication {
        name = "argocd-password";
        text = ''
          kubectl --namespace argocd get secret argocd-initial-admin-secret --output 'jsonpath={.data.password}' |
            base64 --decode
          echo
        '';
      })
    ];
    variables.KUBECONFIG = "/etc/rancher/k3s/k3s.yaml";
  };

  services.getty.autologinUser = "root";
  users.motd = ''

    Waybill in a VM: K3s, Argo CD, PostgreSQL. From the machine that runs the VM:

    ${lib.concatStrings (lib.mapAttrsToList line config.vm.entries)}
    At the first boot Argo CD starts after a few minutes, because its images must be pulled. Commands in the VM:

      kubectl get pods --all-namespaces    lists the pods
      kubectl get applications -n argocd   lists the Applications of Argo CD
      argocd-password                      prints the password of the Argo CD user `admin`
      poweroff                             stops the VM; Ctrl-a x kills it

  '';
}
