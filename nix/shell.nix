# `nix develop`: every program that the pipeline, the workflows and the lab call, by its name on PATH. A test compares
# this list with theirs.
{
  crane,
  pkgs,
  ...
}: let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isLinux;

  everywhere = {
    # `cargo pipeline lint` and `test`
    inherit (pkgs) actionlint hadolint kubeconform shellcheck zizmor git perl;
    helm = pkgs.kubernetes-helm;
    make = pkgs.gnumake;
    initdb = pkgs.postgresql;
    # Nix
    inherit (pkgs) alejandra deadnix statix;
    # By hand
    inherit (pkgs) curl kubectl rust-analyzer skopeo;
    # For what the lab has to build
    inherit (pkgs) go;
  };

  onLinux = {
    # `cargo pipeline image`
    inherit (pkgs) buildah;
    # `cargo lab`
    inherit (pkgs) argocd containerd coredns debootstrap etcd gitea runc tini;
    bridge = pkgs.cni-plugins;
    conntrack = pkgs.conntrack-tools;
    gitea-runner = pkgs.gitea-actions-runner;
    ip = pkgs.iproute2;
    kube-apiserver = pkgs.kubernetes;
    kube-controller-manager = pkgs.kubernetes;
    kube-proxy = pkgs.kubernetes;
    kube-scheduler = pkgs.kubernetes;
    kubelet = pkgs.kubernetes;
    musl-gcc = pkgs.musl.dev;
    nft = pkgs.nftables;
    postgres = pkgs.postgresql;
    unshare = pkgs.util-linux;
  };

  programs = everywhere // lib.optionalAttrs isLinux onLinux;
in
  # With cargo, clippy, rustc, rustfmt and a C compiler.
  (crane.mkLib pkgs).devShell ({
      packages = lib.unique (lib.attrValues programs);
      passthru = {inherit programs;};
    }
    // lib.optionalAttrs isLinux {
      # The files that these programs need at run time, in the versions of the programs.
      WAYBILL_LAB_SHARE = pkgs.linkFarm "waybill-lab-share" {
        argocd = pkgs.argocd.src;
        gitea = pkgs.gitea.data;
        kubernetes = pkgs.kubernetes.src;
      };
    })
