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
  toolchain = (lib.importTOML (root + "/rust-toolchain.toml")).toolchain;

  # A checkout with uncommitted changes has no commit.
  commit = self.rev or "unknown";
  tag = "sha-${self.shortRev or "dirty"}";
  # This is the time of the commit rather than of the build, so that a rebuild produces the same bytes.
  builtAt = rfc3339 self.lastModifiedDate;

  # The files of the Rust build. The code embeds files of many folders, and the tests read more, so the list names what
  # the build never needs instead of what it needs.
  rust = fileset.toSource {
    inherit root;
    fileset = fileset.difference root (fileset.unions (map (file: root + "/${file}") [
      "Dockerfile"
      "argocd"
      "charts"
      "flake.lock"
      "flake.nix"
      "nix"
      "nixos-vm"
    ]));
  };
}
