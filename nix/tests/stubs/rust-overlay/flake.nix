# A stub of rust-overlay with the function that this project uses. As there, unknown arguments, components and targets are
# errors, and every toolchain has the standard library of its own system.
{
  outputs = _: let
    hosts = {
      aarch64-darwin = "aarch64-apple-darwin";
      aarch64-linux = "aarch64-unknown-linux-gnu";
      x86_64-linux = "x86_64-unknown-linux-gnu";
    };
    ofProfile = {
      default = ["cargo" "rustc" "clippy" "rustfmt"];
      minimal = ["cargo" "rustc"];
    };
    known = kind: names: name:
      if builtins.elem name names
      then name
      else throw "rust-overlay: unknown ${kind} `${name}'";
    component = known "component" ["clippy" "llvm-tools" "rust-analyzer" "rust-src" "rustfmt"];
    target = known "target" ["aarch64-unknown-linux-musl" "x86_64-unknown-linux-musl"];
    programs = {
      cargo = ["cargo"];
      clippy = ["cargo-clippy"];
      rustc = ["rustc"];
      rustfmt = ["cargo-fmt"];
    };
  in {
    lib.mkRustBin = {}: pkgs: {
      fromRustupToolchain = {
        channel,
        profile ? "default",
        components ? [],
        targets ? [],
      }: let
        toolchain = {
          inherit channel;
          components = ofProfile.${profile} ++ map component components;
          targets = [hosts.${pkgs.stdenv.hostPlatform.system}] ++ map target targets;
        };
      in
        pkgs.runCommand "rust-${profile}-${channel}" (toolchain
          // {
            passthru =
              toolchain
              // {
                programs = pkgs.lib.concatMap (name: programs.${name} or []) toolchain.components;
              };
          }) "";
    };
  };
}
