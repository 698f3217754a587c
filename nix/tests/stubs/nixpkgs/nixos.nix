# NixOS: the options of ./options.nix, and a system that is everything they were set to.
{
  lib,
  packages,
}: let
  eval = system: modules:
    lib.evalModules {
      specialArgs = {
        inherit lib;
        pkgs = packages system;
        modulesPath = toString ./modules;
      };
      modules = [./options.nix] ++ modules;
    };

  system = {modules}: let
    # Which system it is for decides which packages it is made of, so it is read before.
    stated = lib.filter (module: module ? nixpkgs.hostPlatform) (lib.filter builtins.isAttrs modules);
  in
    if stated == []
    then throw "nixosSystem: no module sets nixpkgs.hostPlatform"
    else eval (lib.head stated).nixpkgs.hostPlatform modules;
in {
  nixosSystem = system;

  # A node of a test has the options of a VM, and packages that no module may change.
  testNode = platform: module: let
    node = eval platform [module ./modules/virtualisation/qemu-vm.nix];
  in
    if node.config.nixpkgs.hostPlatform != null
    then throw "a test's node has read-only packages: don't set nixpkgs.hostPlatform"
    else node;
}
