{
  description = "A deployment ledger and the delivery pipeline that deploys it";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    crane.url = "github:ipetkov/crane";
    rust-overlay = {
      url = "github:oxalica/rust-overlay";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs = {
    self,
    nixpkgs,
    crane,
    rust-overlay,
  }: let
    inherit (nixpkgs) lib;
    linux = ["x86_64-linux" "aarch64-linux"];
    every = linux ++ ["aarch64-darwin"];

    source = import ./nix/source.nix {inherit lib self;};

    # All outputs for one system. Nix evaluates lazily, so an output that the system lacks causes no error until it is
    # used.
    project = lib.genAttrs every (system: let
      pkgs = nixpkgs.legacyPackages.${system};
      use = file: import file ({inherit crane nixpkgs pkgs rust-overlay self source;} // project.${system});
    in {
      toolchain = use ./nix/toolchain.nix;
      rust = use ./nix/rust.nix;
      image = use ./nix/image.nix;
      charts = use ./nix/charts.nix;
      shells = use ./nix/shell.nix;
      formatter = use ./nix/formatter.nix;
      checks = use ./nix/checks.nix;
      vms = use ./nixos-vm;
      apps = use ./nix/apps.nix;
    });
    each = systems: output: lib.genAttrs systems (system: output project.${system});
  in {
    packages =
      each every (on: {default = on.rust.waybill;})
      // each linux (on: {
        default = on.rust.waybill;
        inherit (on.rust) static;
        inherit (on) image;
      });

    apps = each linux (on: on.apps);
    checks = each linux (on: on.checks);
    devShells = each every (on: on.shells);
    formatter = each every (on: on.formatter);

    nixosModules.default = import ./nix/module.nix self;

    nixosConfigurations = {
      vm = project.x86_64-linux.vms.online;
      vm-offline = project.x86_64-linux.vms.offline;
      vm-aarch64 = project.aarch64-linux.vms.online;
      vm-offline-aarch64 = project.aarch64-linux.vms.offline;
    };
  };
}
