# A stub of crane with the functions that this project uses. Each accepts the arguments that the documentation of crane
# lists, in addition to those of mkDerivation.
{
  outputs = _: {
    mkLib = pkgs: let
      inherit (pkgs.stdenv.hostPlatform) system;
      inherit (pkgs.lib) attrNames concatMap elem filter getDev head;

      common = [
        "CARGO_BUILD_RUSTFLAGS"
        "CARGO_BUILD_TARGET"
        "RUSTDOCFLAGS"
        "TARGET_CC"
        "WAYBILL_BUILT_AT"
        "WAYBILL_COMMIT"
        "cargoArtifacts"
        "cargoExtraArgs"
        "cargoVendorDir"
        "doCheck"
        "doInstallCheck"
        "installCheckPhase"
        "meta"
        "nativeBuildInputs"
        "pname"
        "src"
        "strictDeps"
        "version"
      ];
      required = ["pname" "src" "version"];

      runCommand = {
        name,
        meta ? {},
        ...
      } @ arguments:
        derivation {
          inherit name system;
          builder = "/bin/sh";
          contents = builtins.toJSON arguments;
        }
        // {inherit arguments meta;};

      with' = toolchain: let
        function = name: own: arguments: let
          unknown = filter (key: !(elem key (common ++ own))) (attrNames arguments);
          missing = filter (key: !(arguments ? ${key})) required;
          target = arguments.CARGO_BUILD_TARGET or null;
        in
          if unknown != []
          then throw "crane: ${name} takes no argument `${head unknown}'"
          else if missing != []
          then throw "crane: ${name} needs the argument `${head missing}'"
          else if target != null && ! elem target toolchain.targets
          then throw "crane: ${name} is for ${target}, for which the toolchain has no standard library"
          else if target != null && ! arguments ? TARGET_CC
          then throw "crane: ${name} is for ${target}, and C code would be compiled for the host without TARGET_CC"
          else
            runCommand (arguments
              // {
                name =
                  "${arguments.pname}-${name}-${arguments.version}"
                  + (
                    if target == null
                    then ""
                    else "-static"
                  );
                src = toString arguments.src.outPath;
                inherit (arguments.src) files;
                inherit toolchain;
              });
      in {
        overrideToolchain = with';

        buildDepsOnly = function "deps" ["buildPhaseCargoCommand" "cargoCheckCommand" "dummySrc"];
        buildPackage = function "package" ["cargoBuildCommand" "installPhaseCommand"];
        cargoClippy = function "clippy" ["cargoClippyExtraArgs"];
        cargoDoc = function "doc" ["cargoDocExtraArgs"];
        cargoFmt = function "fmt" ["rustFmtExtraArgs"];
        cargoTest = function "test" ["cargoTestExtraArgs"];

        vendorCargoDeps = {src}:
          runCommand {
            name = "vendor-cargo-deps";
            src = toString src.outPath;
          };

        devShell = {
          checks ? {},
          inputsFrom ? [],
          packages ? [],
          passthru ? {},
          strictDeps ? false,
          TARGET_CC ? "",
        }: let
          # mkDerivation takes the output `dev` of each, from whose setup hook the shell gets the programs.
          nativeBuildInputs = map getDev ([toolchain] ++ packages);
        in
          runCommand {
            name = "nix-shell";
            inherit TARGET_CC nativeBuildInputs strictDeps;
            inputsFrom = builtins.attrValues checks ++ inputsFrom;
          }
          // {
            inherit nativeBuildInputs toolchain;
            # Without strictDeps, the hook of the C compiler adds the headers of all inputs.
            headers = concatMap (input:
              if ! strictDeps && input.outputName == "dev"
              then [input.name]
              else [])
            nativeBuildInputs;
            programsOfPackages = map (input: {inherit (input) name programs;}) nativeBuildInputs;
          }
          // passthru;
      };
    in
      # The Rust of nixpkgs has the standard library of its own system only.
      with' (pkgs.rustc // {targets = [];});
  };
}
