# K3s on one machine, for the VM and for the test of the chart.
{config, ...}: {
  services.k3s = {
    enable = true;
    disable = ["metrics-server" "servicelb" "traefik"];
    # K3s starts without pulling its own images.
    images = [config.services.k3s.package.airgap-images];
  };

  networking = {
    # Pods connect to the API server and to services of the machine.
    firewall.trustedInterfaces = ["cni0" "flannel.1"];
    # By default, dhcpcd requests an address for each interface of a pod.
    dhcpcd.denyInterfaces = ["veth*" "cni*" "flannel*"];
  };

  # The disk persists. At boot, links of an older system to files that are no longer in the store are removed. NixOS then
  # makes those of this system.
  systemd.tmpfiles.rules =
    map (folder: "R! /var/lib/rancher/k3s/${folder} - - - - -")
    ["agent/images" "server/manifests" "server/static/charts"];
}
