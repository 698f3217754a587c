# The service as a binary for this system and as a static binary, and the checks of the Rust workspace.
#
# SQLite, libpq and OpenSSL are built from the sources in their crates, so Cargo.lock determines their versions here as
# in the Dockerfile. OpenSSL is configured with perl.
{
  crane,
  pkgs,
  source,
  ...
}: let
  inherit (pkgs) lib;

  # Dependencies are a separate derivation, so they are rebuilt only when Cargo.lock changes.
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
      # `/version` returns these values.
      WAYBILL_COMMIT = source.commit;
      WAYBILL_BUILT_AT = source.builtAt;
      # cargo-auditable embeds the list of crates in the binary, where scanners find it.
      cargoBuildCommand = "cargo auditable build --profile release";
      doCheck = false; # the tests are a separate check
      doInstallCheck = true;
      installCheckPhase = "$out/bin/waybill check-config";
      meta = {
        inherit (source) description;
        license = lib.licenses.mit;
        mainProgram = "waybill";
      };
    });

  service = build pkgs "--package waybill --features postgres" {};
  workspace = build pkgs "--workspace --features waybill/postgres" {};
  musl = build pkgs.pkgsStatic "--package waybill --features postgres" {
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
    # The tests run on SQLite and on a PostgreSQL server that they start.
    tests = service.craneLib.cargoTest (service.args {
      nativeBuildInputs = [pkgs.curl pkgs.perl pkgs.postgresql];
    });
  };
}
