# The apps, such as `nix run` and `nix run .#vm`. `nix flake show` lists them.
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

  # Runs a Cargo alias of this checkout with the tools of `nix develop`.
  cargo = name:
    pkgs.writeShellApplication {
      name = "waybill-${name}";
      runtimeInputs = shell.nativeBuildInputs;
      text = ''exec cargo ${name} "$@"'';
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
  pipeline = app "Run a step of the delivery pipeline with `cargo pipeline` in this checkout" (cargo "pipeline");
  lab = app "Run the whole pipeline on this machine with `cargo lab` in this checkout" (cargo "lab");
  vm = app "Start a VM with K3s and Argo CD that deploys the Git repository" (vm "vm" vms.online);
  vm-offline = app "Start the same VM with its own Git server and image" (vm "vm-offline" vms.offline);
}
