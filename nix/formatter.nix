# The formatter of `nix fmt`. It formats the whole tree or the given files.
{pkgs, ...}:
pkgs.writeShellApplication {
  name = "format";
  runtimeInputs = [pkgs.alejandra];
  text = ''alejandra --quiet "''${@:-.}"'';
}
