# A stub of nixpkgs for machines without a network. It evaluates the outputs of this flake and builds nothing. It
# rejects unknown names, arguments, options and values of the wrong type, so its lists must match nixos-26.05.
{
  outputs = _: let
    lib = import ./lib.nix;
    packages = system: import ./pkgs.nix {inherit lib nixos system;};
    nixos = import ./nixos.nix {inherit lib packages;};
  in {
    lib = lib // {inherit (nixos) nixosSystem;};
    legacyPackages = lib.genAttrs ["x86_64-linux" "aarch64-linux" "aarch64-darwin"] packages;
  };
}
