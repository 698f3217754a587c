# The NixOS options that this project sets, with their types in nixos-26.05.
{
  config,
  lib,
  pkgs,
  ...
}: let
  inherit (lib) mkOption types;
  option = type: default: mkOption {inherit type default;};
  list = type: option (types.listOf type) [];
  set = type: option (types.attrsOf type) {};
  maybe = type: option (types.nullOr type) null;
  off = option types.bool false;
  submodules = options: set (types.submodule {inherit options;});

  directive = types.oneOf [types.bool types.int types.float types.str types.path types.package (types.listOf (types.oneOf [types.str types.path types.package]))];
in {
  options = {
    nixpkgs.hostPlatform = maybe types.str;
    networking.hostName = option types.str "nixos";
    networking.dhcpcd.denyInterfaces = list types.str;
    networking.firewall = {
      allowedTCPPorts = list types.port;
      trustedInterfaces = list types.str;
    };
    environment.systemPackages = list types.package;
    environment.variables = set (types.either types.str types.int);
    users.motd = maybe types.lines;
    services.getty.autologinUser = maybe types.str;

    system = {
      build = set types.raw;
      checks = list types.package;
      stateVersion = option types.str "26.05";
    };

    services.postgresql = {
      enable = off;
      enableTCPIP = off;
      package = option types.package pkgs.postgresql;
      authentication = option types.lines "";
      ensureDatabases = list types.str;
      ensureUsers = mkOption {
        default = [];
        type = types.listOf (types.submodule {
          options = {
            name = mkOption {type = types.str;};
            ensureDBOwnership = off;
          };
        });
      };
    };

    services.lighttpd = {
      enable = off;
      port = option types.port 80;
      document-root = option types.path "/srv/www";
      enableModules = list (types.enum ["mod_access" "mod_accesslog" "mod_alias" "mod_auth" "mod_cgi" "mod_fastcgi" "mod_rewrite" "mod_setenv" "mod_status"]);
      extraConfig = option types.lines "";
    };

    # nixos/modules/services/cluster/rancher
    services.k3s = let
      yaml = types.either types.attrs (types.listOf types.attrs);
    in {
      enable = off;
      package = option types.package pkgs.k3s;
      role = option (types.enum ["server" "agent"]) "server";
      clusterInit = off;
      disableAgent = off;
      selinux = off;
      serverAddr = option types.str "";
      token = option types.str "";
      tokenFile = maybe types.path;
      agentToken = option types.str "";
      agentTokenFile = maybe types.path;
      configPath = maybe types.path;
      environmentFile = maybe types.path;
      extraFlags = option (types.either types.str (types.listOf types.str)) [];
      disable = list types.str;
      nodeName = maybe types.str;
      nodeIP = maybe types.str;
      nodeExternalIP = maybe types.str;
      nodeLabel = list types.str;
      nodeTaint = list types.str;
      containerdConfigTemplate = maybe types.str;
      gracefulNodeShutdown = {
        enable = off;
        shutdownGracePeriod = option types.nonEmptyStr "30s";
        shutdownGracePeriodCriticalPods = option types.nonEmptyStr "10s";
      };
      extraKubeletConfig = set types.anything;
      extraKubeProxyConfig = set types.anything;
      images = list types.package;
      charts = set (types.either types.path types.package);
      manifests = submodules {
        enable = option types.bool true;
        target = maybe types.nonEmptyStr;
        content = maybe yaml;
        source = maybe types.path;
      };
      autoDeployCharts = set (types.submodule ({config, ...}: {
        options = {
          enable = option types.bool true;
          repo = maybe types.nonEmptyStr;
          name = maybe types.nonEmptyStr;
          version = maybe types.nonEmptyStr;
          hash = option types.str "";
          package = maybe (types.either types.path types.package);
          targetNamespace = option types.nonEmptyStr "default";
          createNamespace = off;
          values = option (types.either types.path types.attrs) {};
          extraDeploy = list (types.either types.path types.attrs);
          extraFieldDefinitions = option types.attrs {};
        };
        config.package = lib.mkDefault (pkgs.runCommand "${config.name}-${config.version}.tgz" {inherit (config) hash repo;} "");
      }));
    };

    systemd.tmpfiles.rules = list types.str;
    systemd.services = submodules {
      enable = option types.bool true;
      description = option types.str "";
      after = list types.str;
      before = list types.str;
      bindsTo = list types.str;
      partOf = list types.str;
      requires = list types.str;
      requiredBy = list types.str;
      wants = list types.str;
      wantedBy = list types.str;
      environment = set (types.nullOr (types.oneOf [types.str types.path types.package]));
      path = list (types.either types.package types.str);
      script = option types.lines "";
      preStart = option types.lines "";
      restartTriggers = list types.raw;
      unitConfig = set types.raw;
      # systemd ignores unknown directives; here they are errors.
      serviceConfig = lib.genAttrs (import ./directives.nix) (_: maybe directive);
    };
  };

  config.system.build.toplevel = pkgs.runCommand "nixos-system-${config.networking.hostName}" {
    settings = config // {system = removeAttrs config.system ["build"];};
  } "";
}
