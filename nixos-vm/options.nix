# The options that the modules of the VM share.
{lib, ...}: {
  options.vm = {
    entries = lib.mkOption {
      description = "The entry points of the VM by name. The port is the same on the loopback interface of the host.";
      default = {};
      type = lib.types.attrsOf (lib.types.submodule {
        options = {
          port = lib.mkOption {
            type = lib.types.port;
            description = "The port of the entry point.";
          };
          path = lib.mkOption {
            type = lib.types.str;
            default = "/";
            description = "The path of the URL.";
          };
          hint = lib.mkOption {
            type = lib.types.str;
            default = "";
            description = "A note that the login message shows next to the URL.";
          };
        };
      });
    };

    repoURL = lib.mkOption {
      description = "The Git repository that Argo CD deploys. If null, it is the one in argocd/values.yaml.";
      default = null;
      type = lib.types.nullOr lib.types.str;
    };
  };
}
