# The service as a binary for this system and as a static binary, and the checks of the Rust workspace.
#
# SQLite, libpq and OpenSSL are built from the sources in their crates, so Cargo.lock determines their versions here as
# in the Dockerfile. OpenSSL is configured with perl.
{
  pkgs,
  source,
  toolchain,
  ...
}: let
  inherit (pkgs) lib;
  inherit (toolchain) craneLib;

  vendored = craneLib.vendorCargoDeps {src = source.rust;};
  common = {
    pname = "waybill";
    inherit (source) version;
    src = source.rust;
    strictDeps = true;
    cargoVendorDir = vendored;
    nativeBuildInputs = [pkgs.cargo-auditable pkgs.perl];
    # Remapped paths are the same in every sandbox, as in the Dockerfile. The dependencies need the same flags as the
    # code: otherwise Cargo would compile them again.
    CARGO_BUILD_RUSTFLAGS = "--remap-path-prefix=/build=. --remap-path-prefix=${vendored}=cargo";
  };
  ofService = "--locked --package waybill --features postgres";
  ofWorkspace = "--locked --workspace --features waybill/postgres";

  # The dependencies of the service and the tools are one derivation, which is rebuilt only when Cargo.lock changes. It
  # compiles them for builds, checks and tests.
  native = let
    workspace = common // {cargoExtraArgs = ofWorkspace;};
  in
    workspace // {cargoArtifacts = craneLib.buildDepsOnly workspace;};

  # The static binary is only built, so its dependencies are compiled once.
  static = let
    service = common // toolchain.static // {cargoExtraArgs = ofService;};
  in
    service
    // {
      cargoArtifacts = craneLib.buildDepsOnly (service
        // {
          cargoCheckCommand = "true";
          doCheck = false;
        });
    };

  package = arguments:
    craneLib.buildPackage (arguments
      // {
        cargoExtraArgs = ofService;
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
in {
  waybill = package native;
  static = package static;

  checks = {
    clippy = craneLib.cargoClippy (native
      // {
        cargoClippyExtraArgs = "--all-targets -- --deny warnings";
      });
    docs = craneLib.cargoDoc (native
      // {
        cargoDocExtraArgs = "--no-deps";
        RUSTDOCFLAGS = "--deny warnings";
      });
    format = craneLib.cargoFmt {
      pname = "waybill";
      inherit (source) version;
      src = source.rust;
    };
    # The tests run on SQLite and on a PostgreSQL server that they start.
    tests = craneLib.cargoTest (native
      // {
        cargoExtraArgs = ofService;
        nativeBuildInputs = common.nativeBuildInputs ++ [pkgs.curl pkgs.postgresql];
      });
  };
}
