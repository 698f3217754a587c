# `nix fmt`: the whole tree, or the files it is given.
{pkgs, ...}:
pkgs.writeShellApplication {
  name = "format";
  runtimeInputs = [pkgs.alejandra];
  text = ''alejandra --quiet "''${@:-.}"'';
}
