# `services.waybill`, a NixOS module that runs the service under systemd without a container. Invalid settings fail the
# build of the system, not the start of the service.
self: {
  config,
  lib,
  pkgs,
  ...
}: let
  cfg = config.services.waybill;
  exe = lib.getExe cfg.package;
  environment = lib.mapAttrs (_: toString) cfg.settings;
in {
  options.services.waybill = {
    enable = lib.mkEnableOption "waybill, a ledger of deployments";

    package = lib.mkOption {
      type = lib.types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
      defaultText = lib.literalExpression "the package of this flake";
      description = "The package to run.";
    };

    settings = lib.mkOption {
      type = lib.types.attrsOf (lib.types.either lib.types.str lib.types.int);
      default = {};
      example = {WAYBILL_LOG_LEVEL = "debug";};
      description = ''
        Environment variables of the service. docs/service.md lists them. Every user of the machine can read these
        values in the Nix store, so put the password of a database into `environmentFile` instead.
      '';
    };

    environmentFile = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = "/run/secrets/waybill";
      description = "A file with additional variables. The build of the system does not check it.";
    };

    database.createLocally = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Store the ledger in a PostgreSQL server on this machine instead of an SQLite file in /var/lib/waybill. The
        service connects through a Unix socket without a password.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    services.waybill.settings.WAYBILL_DATABASE_URL = lib.mkDefault (
      if cfg.database.createLocally
      then "postgres://waybill@/waybill?host=/run/postgresql"
      else "sqlite:///var/lib/waybill/waybill.db"
    );

    services.postgresql = lib.mkIf cfg.database.createLocally {
      enable = true;
      ensureDatabases = ["waybill"];
      ensureUsers = [
        {
          name = "waybill";
          ensureDBOwnership = true;
        }
      ];
    };

    system.checks = lib.optional (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) (
      pkgs.runCommand "waybill-settings" environment "${exe} check-config > $out"
    );

    systemd.services.waybill = {
      description = "Ledger of deployments";
      wantedBy = ["multi-user.target"];
      wants = ["network-online.target"];
      after = ["network-online.target"] ++ lib.optional cfg.database.createLocally "postgresql.target";
      requires = lib.optional cfg.database.createLocally "postgresql.target";
      inherit environment;

      serviceConfig = {
        ExecStartPre = "${exe} migrate";
        ExecStart = exe;
        EnvironmentFile = lib.optional (cfg.environmentFile != null) cfg.environmentFile;
        Restart = "on-failure";
        RestartSec = 2;

        User = "waybill"; # PostgreSQL authenticates the service by this name.
        DynamicUser = true;
        StateDirectory = "waybill";
        StateDirectoryMode = "0700";
        WorkingDirectory = "/var/lib/waybill";
        UMask = "0077";

        CapabilityBoundingSet = "";
        DevicePolicy = "closed";
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        NoNewPrivileges = true;
        PrivateDevices = true;
        PrivateTmp = true;
        PrivateUsers = true;
        ProcSubset = "pid";
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectProc = "invisible";
        ProtectSystem = "strict";
        RemoveIPC = true;
        RestrictAddressFamilies = ["AF_INET" "AF_INET6" "AF_UNIX"];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallErrorNumber = "EPERM";
        SystemCallFilter = ["@system-service" "~@privileged @resources"];
      };
    };
  };
}
