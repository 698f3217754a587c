# The options that nixos/modules/virtualisation/qemu-vm.nix declares.
{
  config,
  lib,
  pkgs,
  ...
}: let
  inherit (lib) mkOption types;
  option = type: default: mkOption {inherit type default;};
  endpoint = mkOption {
    type = types.submodule {
      options = {
        address = option types.str "";
        port = mkOption {type = types.port;};
      };
    };
  };
in {
  options.virtualisation = {
    cores = option types.ints.positive 1;
    diskImage = option (types.nullOr types.str) "./${config.networking.hostName}.qcow2";
    diskSize = option types.ints.positive 1024;
    graphics = option types.bool true;
    memorySize = option types.ints.positive 1024;
    restrictNetwork = option types.bool false;
    writableStore = option types.bool true;
    writableStoreUseTmpfs = option types.bool true;
    forwardPorts = mkOption {
      default = [];
      type = types.listOf (types.submodule {
        options = {
          from = option (types.enum ["host" "guest"]) "host";
          proto = option (types.enum ["tcp" "udp"]) "tcp";
          host = endpoint;
          guest = endpoint;
        };
      });
    };
  };

  config.system.build.vm = pkgs.runCommand "nixos-vm" {
    meta.mainProgram = "run-${config.networking.hostName}-vm";
    toplevel = config.system.build.toplevel;
  } "";
}
