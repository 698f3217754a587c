# Stands in for nixpkgs where it can't be had: evaluates this flake's outputs, builds nothing. It is strict. A name that
# isn't listed here, an argument that a function doesn't take, an option that isn't declared or a value of another type
# is an error, so what is listed must be what nixos-26.05 has.
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
