# A stub of NixOS. It has the options of ./options.nix, and the system consists of their values.
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
    # The system determines the packages, so it is read first.
    stated = lib.filter (module: module ? nixpkgs.hostPlatform) (lib.filter builtins.isAttrs modules);
  in
    if stated == []
    then throw "nixosSystem: no module sets nixpkgs.hostPlatform"
    else eval (lib.head stated).nixpkgs.hostPlatform modules;
in {
  nixosSystem = system;

  # A test node has the options of a VM, and modules can't change its packages.
  testNode = platform: module: let
    node = eval platform [module ./modules/virtualisation/qemu-vm.nix];
  in
    if node.config.nixpkgs.hostPlatform != null
    then throw "a test's node has read-only packages: don't set nixpkgs.hostPlatform"
    else node;
}
