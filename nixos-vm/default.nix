# The VM of `nix run .#vm`, with 2 CPUs, 4 GiB of memory, K3s, Argo CD and PostgreSQL. `online` deploys the Git
# repository in argocd/values.yaml, and `offline` deploys a repository in the VM.
{
  charts,
  image,
  nixpkgs,
  pkgs,
  source,
  ...
}: let
  inherit (nixpkgs) lib;

  # The VM has each environment that has a values file. Their ports follow the port of Argo CD.
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
