# `services.waybill`: the service under systemd, without a container. What is wrong with its settings is said when the
# system is built, not when the service starts.
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
      defaultText = lib.literalExpression "the flake's own";
      description = "The package to run.";
    };

    settings = lib.mkOption {
      type = lib.types.attrsOf (lib.types.either lib.types.str lib.types.int);
      default = {};
      example = {WAYBILL_LOG_LEVEL = "debug";};
      description = ''
        Environment variables of the service, as docs/service.md lists them. They end up in the store, where everybody
        can read them: a database's password belongs into `environmentFile`.
      '';
    };

    environmentFile = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = "/run/secrets/waybill";
      description = "A file of more such variables, read when the service starts. It is not checked before.";
    };

    database.createLocally = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Keep the ledger in a PostgreSQL server on this machine, reached by its socket without a password, instead of in
        an SQLite file in /var/lib/waybill.
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

        User = "waybill"; # PostgreSQL knows who asks by this name
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
