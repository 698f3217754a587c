# The Rust toolchain of rust-toolchain.toml, and what static binaries need in addition: the standard library for musl,
# and a C compiler for the C code in crates.
{
  crane,
  pkgs,
  rust-overlay,
  source,
  ...
}: let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isLinux;
  musl = pkgs.pkgsStatic.stdenv;

  package = (rust-overlay.lib.mkRustBin {} pkgs).fromRustupToolchain (source.toolchain
    // {
      # Without the documentation of the standard library
      profile = "minimal";
      components = source.toolchain.components ++ ["llvm-tools"]; # for coverage
      targets = lib.optional isLinux static.CARGO_BUILD_TARGET;
    });

  # Variables of Cargo and of the crate `cc`. They choose the target and its C compiler.
  static = {
    CARGO_BUILD_TARGET = musl.hostPlatform.rust.rustcTarget;
    TARGET_CC = "${musl.cc}/bin/${musl.cc.targetPrefix}cc";
  };
in {
  inherit static;
  craneLib = (crane.mkLib pkgs).overrideToolchain package;
}
