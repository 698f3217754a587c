# The apps, such as `nix run` and `nix run .#vm`. `nix flake show` lists them.
{
  pkgs,
  rust,
  vms,
  ...
}: let
  inherit (pkgs) lib;

  app = description: package: {
    type = "app";
    program = lib.getExe package;
    meta = {inherit description;};
  };

  # The disk persists after the VM stops, so it belongs in the state directory and not in the current one.
  vm = name: configuration:
    pkgs.writeShellApplication {
      name = "waybill-${name}";
      text = ''
        state=''${XDG_STATE_HOME:-$HOME/.local/state}/waybill
        mkdir -p "$state"
        export NIX_DISK_IMAGE=''${NIX_DISK_IMAGE:-$state/${name}.qcow2}
        echo "The VM's disk is $NIX_DISK_IMAGE; delete it to start with an empty one." >&2
        exec ${lib.getExe configuration.config.system.build.vm} "$@"
      '';
    };
in {
  default = app "Serve the ledger on http://127.0.0.1:8080 with an SQLite file in the current directory" rust.waybill;
  vm = app "Start a VM with K3s and Argo CD that deploys the Git repository" (vm "vm" vms.online);
  vm-offline = app "Start the same VM with its own Git server and image" (vm "vm-offline" vms.offline);
}
