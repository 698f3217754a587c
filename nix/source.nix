# What is built: the commit, its time, and the files that go into the Rust build.
{
  lib,
  self,
}: let
  root = ../.;
  cargo = lib.importTOML (root + "/Cargo.toml");
  inherit (lib) fileset;

  # YYYYMMDDhhmmss, as the flake knows it, to RFC 3339.
  rfc3339 = date: let
    part = start: length: builtins.substring start length date;
  in "${part 0 4}-${part 4 2}-${part 6 2}T${part 8 2}:${part 10 2}:${part 12 2}Z";
in {
  inherit root;
  tree = self.outPath;
  inherit (cargo.package) description;
  inherit (cargo.workspace.package) version license;
  toolchain = (lib.importTOML (root + "/rust-toolchain.toml")).toolchain.channel;

  # With uncommitted changes there is no commit that they could be traced to.
  commit = self.rev or "unknown";
  tag = "sha-${self.shortRev or "dirty"}";
  # The commit's time, never the clock's: the same commit gives the same bytes.
  builtAt = rfc3339 self.lastModifiedDate;

  rust = fileset.toSource {
    inherit root;
    # The members of the workspace have to be there, whichever is built; the service embeds its migrations, the lab
    # its manifests, and a test reads the table of settings.
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
