# The commit, its time and the files of the Rust build.
{
  lib,
  self,
}: let
  root = ../.;
  cargo = lib.importTOML (root + "/Cargo.toml");
  inherit (lib) fileset;

  # Converts a date of the flake, YYYYMMDDhhmmss, to RFC 3339.
  rfc3339 = date: let
    part = start: length: builtins.substring start length date;
  in "${part 0 4}-${part 4 2}-${part 6 2}T${part 8 2}:${part 10 2}:${part 12 2}Z";
in {
  inherit root;
  tree = self.outPath;
  inherit (cargo.package) description;
  inherit (cargo.workspace.package) version license;
  toolchain = (lib.importTOML (root + "/rust-toolchain.toml")).toolchain.channel;

  # A checkout with uncommitted changes has no commit.
  commit = self.rev or "unknown";
  tag = "sha-${self.shortRev or "dirty"}";
  # This is the time of the commit rather than of the build, so that a rebuild produces the same bytes.
  builtAt = rfc3339 self.lastModifiedDate;

  rust = fileset.toSource {
    inherit root;
    # Cargo requires all members of the workspace. The service embeds its migrations and the lab its manifests, and a
    # test reads the table of settings in the documentation.
    fileset = fileset.unions (map (file: root + "/${file}") [
      ".cargo"
      "Cargo.lock"
      "Cargo.toml"
      "README.md"
      "clippy.toml"
      "crates"
      "docs/service.md"
      "migrations"
      "quality.toml"
      "src"
      "tests"
    ]);
  };
}
