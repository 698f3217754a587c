# `nix run`, `nix run .#vm` and the like, as `nix flake show` lists them.
{
  pkgs,
  rust,
  shell,
  vms,
  ...
}: let
  inherit (pkgs) lib;

  app = description: package: {
    type = "app";
    program = lib.getExe package;
    meta = {inherit description;};
  };

  # A package of this checkout, with the tools of `nix develop`.
  cargo = name:
    pkgs.writeShellApplication {
      name = "waybill-${name}";
      runtimeInputs = shell.nativeBuildInputs;
      text = ''exec cargo ${name} "$@"'';
    };

  # The disk outlives the VM, so it lies where state does, not in the current folder.
  vm = name: configuration:
    pkgs.writeShellApplication {
      name = "waybill-${name}";
      text = ''
        state=''${XDG_STATE_HOME:-$HOME/.local/state}/waybill
        mkdir -p "$state"
        export NIX_DISK_IMAGE=''${NIX_DISK_IMAGE:-$state/${name}.qcow2}
        echo "The VM's disk is $NIX_DISK_IMAGE; delete it to start afresh." >&2
        exec ${lib.getExe configuration.config.system.build.vm} "$@"
      '';
    };
in {
  default = app "Serve the ledger on http://127.0.0.1:8080, in an SQLite file of the current folder" rust.waybill;
  pipeline = app "A step of the delivery pipeline: `cargo pipeline`, in this checkout" (cargo "pipeline");
  lab = app "The whole loop on one machine: `cargo lab`, in this checkout" (cargo "lab");
  vm = app "A VM with K3s and Argo CD that deploys the Git repository" (vm "vm" vms.online);
  vm-offline = app "The same VM with its own Git server and image: no GitHub" (vm "vm-offline" vms.offline);
}
