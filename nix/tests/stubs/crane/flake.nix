# A stub of crane with the functions that this project uses. Each accepts the arguments that the documentation of crane
# lists, in addition to those of mkDerivation.
{
  outputs = _: {
    mkLib = pkgs: let
      common = [
        "CARGO_BUILD_RUSTFLAGS"
        "RUSTDOCFLAGS"
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

      function = name: own: arguments: let
        unknown = builtins.filter (key: !(builtins.elem key (common ++ own))) (builtins.attrNames arguments);
        missing = builtins.filter (key: !(arguments ? ${key})) required;
      in
        if unknown != []
        then throw "crane: ${name} takes no argument `${builtins.head unknown}'"
        else if missing != []
        then throw "crane: ${name} needs the argument `${builtins.head missing}'"
        else
          runCommand (arguments
            // {
              name =
                "${arguments.pname}-${name}-${arguments.version}"
                + (
                  if pkgs.isStatic or false
                  then "-static"
                  else ""
                );
              src = toString arguments.src.outPath;
              inherit (arguments.src) files;
            });
      inherit (pkgs.stdenv.hostPlatform) system;
      runCommand = {
        name,
        meta ? {},
        ...
      } @ arguments:
        derivation {
          inherit name system;
          builder = "/bin/sh";
          contents = builtins.toJSON (removeAttrs arguments ["meta"]);
        }
        // {inherit arguments meta;};
    in {
      buildDepsOnly = function "deps" ["buildPhaseCargoCommand" "dummySrc"];
      buildPackage = function "package" ["cargoBuildCommand" "installPhaseCommand"];
      cargoClippy = function "clippy" ["cargoClippyExtraArgs"];
      cargoDoc = function "doc" ["cargoDocExtraArgs"];
      cargoFmt = function "fmt" ["rustFmtExtraArgs"];
      cargoTest = function "test" ["cargoTestExtraArgs"];

      devShell = {
        checks ? {},
        inputsFrom ? [],
        packages ? [],
        passthru ? {},
        LLVM_COV ? "",
        LLVM_PROFDATA ? "",
      }:
        runCommand {
          name = "nix-shell";
          inherit LLVM_COV LLVM_PROFDATA packages;
          inputsFrom = builtins.attrValues checks ++ inputsFrom;
        }
        // {nativeBuildInputs = packages;}
        // passthru;
    };
  };
}
