# The checks of `nix flake check`. The tests with VMs need KVM.
{
  charts,
  image,
  pkgs,
  rust,
  self,
  source,
  vms,
  ...
}: let
  inherit (pkgs) lib;

  check = name: tools: script:
    pkgs.runCommand "waybill-${name}" {nativeBuildInputs = tools;} ''
      cp -r --no-preserve=mode ${source.tree} project
      cd project
      ${script}
      touch $out
    '';

  test = file: arguments: pkgs.testers.runNixOSTest (import file ({inherit charts image pkgs self source vms;} // arguments));
in
  rust.checks
  // {
    chart = check "chart" [pkgs.kubernetes-helm] ''
      for values in charts/waybill/values-*.yaml charts/waybill/ci/*.yaml; do
        helm lint --strict --values "$values" charts/waybill
        helm template waybill charts/waybill --values "$values" > /dev/null
      done
      helm lint --strict argocd
    '';

    # actionlint identifies the project by its `.git` directory.
    workflows = check "workflows" [pkgs.actionlint pkgs.shellcheck] ''
      mkdir -p .git
      actionlint
    '';

    nix = check "nix" [pkgs.deadnix pkgs.statix] ''
      deadnix --fail --no-lambda-pattern-names .
      # The stubs in nix/tests are lists of names rather than code, so statix doesn't check them.
      for place in flake.nix nix/*.nix nixos-vm; do statix check "$place"; done
    '';

    vm = vms.online.config.system.build.toplevel;
    vm-offline = vms.offline.config.system.build.toplevel;

    service-sqlite = test ../nixos-vm/tests/service.nix {database = "sqlite";};
    service-postgresql = test ../nixos-vm/tests/service.nix {database = "postgresql";};
    cluster = test ../nixos-vm/tests/cluster.nix {};
  }
  // lib.optionalAttrs (import ../nixos-vm/images.nix != []) {
    argocd = test ../nixos-vm/tests/argocd.nix {};
  }
