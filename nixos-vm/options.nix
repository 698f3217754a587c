# What the parts of the VM tell each other.
{lib, ...}: {
  options.vm = {
    entries = lib.mkOption {
      description = "What a person can reach, by name. A port of the VM is the same one on the host's loopback.";
      default = {};
      type = lib.types.attrsOf (lib.types.submodule {
        options = {
          port = lib.mkOption {
            type = lib.types.port;
            description = "The port.";
          };
          path = lib.mkOption {
            type = lib.types.str;
            default = "/";
            description = "The path to open.";
          };
          hint = lib.mkOption {
            type = lib.types.str;
            default = "";
            description = "What to know before.";
          };
        };
      });
    };

    repoURL = lib.mkOption {
      description = "The Git repository that Argo CD deploys; null means the one in argocd/values.yaml.";
      default = null;
      type = lib.types.nullOr lib.types.str;
    };
  };
}
