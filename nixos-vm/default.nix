# The VM of `nix run .#vm`: 2 CPUs, 4 GiB, K3s, Argo CD, PostgreSQL. `online` deploys the Git repository that
# argocd/values.yaml names, `offline` one of its own.
{
  charts,
  image,
  nixpkgs,
  pkgs,
  source,
  ...
}: let
  inherit (nixpkgs) lib;

  # An environment joins by its values file. Each serves on the next port after Argo CD's.
  exists = name: builtins.pathExists (source.root + "/charts/waybill/values-${name}.yaml");
  environments =
    lib.imap1 (index: name: {
      inherit name;
      port = 30080 + index;
    })
    (lib.filter exists ["dev" "staging" "prod"]);

  project = {inherit charts environments image source;};
  vm = modules:
    nixpkgs.lib.nixosSystem {
      modules =
        modules
        ++ [
          {nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system;}
          ./machine.nix
          (import ./argocd.nix project)
          (import ./environments.nix project)
        ];
    };
in {
  online = vm [];
  offline = vm [(import ./offline.nix project)];
  inherit project; # for the tests
}
