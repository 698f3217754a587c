# The service, for this system and as a static binary, and what Rust's own tools say about the workspace.
#
# SQLite, libpq and OpenSSL are built from the sources in their crates, so Cargo.lock alone decides their versions, here
# as in the Dockerfile; perl configures OpenSSL.
{
  crane,
  pkgs,
  source,
  ...
}: let
  inherit (pkgs) lib;

  # Dependencies are built by themselves, so that they are built again only when Cargo.lock changes.
  build = pkgs: scope: settings: let
    craneLib = crane.mkLib pkgs;
    common =
      {
        pname = "waybill";
        inherit (source) version;
        src = source.rust;
        strictDeps = true;
        nativeBuildInputs = [pkgs.buildPackages.cargo-auditable pkgs.buildPackages.perl];
        cargoExtraArgs = "--locked ${scope}";
      }
      // settings;
    withArtifacts = common // {cargoArtifacts = craneLib.buildDepsOnly common;};
  in {
    inherit craneLib;
    args = extra: withArtifacts // extra;
  };

  package = builder:
    builder.craneLib.buildPackage (builder.args {
      # `/version` answers with these.
      WAYBILL_COMMIT = source.commit;
      WAYBILL_BUILT_AT = source.builtAt;
      # With a list of the crates in the binary, for scanners.
      cargoBuildCommand = "cargo auditable build --profile release";
      doCheck = false; # the tests are a check of their own
      doInstallCheck = true;
      installCheckPhase = "$out/bin/waybill check-config";
      meta = {
        inherit (source) description;
        license = lib.licenses.mit;
        mainProgram = "waybill";
      };
    });

  service = build pkgs "--package waybill" {};
  workspace = build pkgs "--workspace" {};
  musl = build pkgs.pkgsStatic "--package waybill" {
    CARGO_BUILD_RUSTFLAGS = "-C target-feature=+crt-static";
  };
in {
  waybill =
    lib.warnIf (pkgs.rustc.version != source.toolchain)
    "nixpkgs has Rust ${pkgs.rustc.version}, rust-toolchain.toml asks for ${source.toolchain}"
    (package service);
  static = package musl;

  checks = {
    clippy = workspace.craneLib.cargoClippy (workspace.args {
      cargoClippyExtraArgs = "--all-targets -- --deny warnings";
    });
    docs = workspace.craneLib.cargoDoc (workspace.args {
      cargoDocExtraArgs = "--no-deps";
      RUSTDOCFLAGS = "--deny warnings";
    });
    format = workspace.craneLib.cargoFmt {
      pname = "waybill";
      inherit (source) version;
      src = source.rust;
    };
    # On SQLite, and on a PostgreSQL server that the tests start.
    tests = service.craneLib.cargoTest (service.args {
      nativeBuildInputs = [pkgs.curl pkgs.perl pkgs.postgresql];
    });
  };
}
