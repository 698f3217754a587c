# `nix develop`: every program that the pipeline, the workflows and the lab call, by its name on PATH. A test compares
# this list with theirs.
{
  crane,
  pkgs,
  ...
}: let
  inherit (pkgs) lib;

  everywhere = {
    # `cargo pipeline lint` and `test`
    inherit (pkgs) actionlint hadolint kubeconform shellcheck zizmor git perl;
    helm = pkgs.kubernetes-helm;
    make = pkgs.gnumake;
    initdb = pkgs.postgresql;
    # Nix
    inherit (pkgs) alejandra deadnix statix;
    # By hand
    inherit (pkgs) kubectl rust-analyzer skopeo;
    # Builds what the lab doesn't find here
    inherit (pkgs) go;
  };

  onLinux = {
    # `cargo pipeline image`
    inherit (pkgs) buildah;
    # `cargo lab`
    inherit (pkgs) argocd containerd coredns debootstrap etcd gitea runc tini;
    gitea-runner = pkgs.gitea-actions-runner;
    bridge = pkgs.cni-plugins;
    redis-server = pkgs.redis;
    nft = pkgs.nftables;
    ip = pkgs.iproute2;
    unshare = pkgs.util-linux;
    kube-apiserver = pkgs.kubernetes;
    kube-controller-manager = pkgs.kubernetes;
    kube-proxy = pkgs.kubernetes;
    kube-scheduler = pkgs.kubernetes;
    kubelet = pkgs.kubernetes;
  };

  programs = everywhere // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux onLinux;
in
  # With cargo, clippy, rustc and rustfmt.
  (crane.mkLib pkgs).devShell {
    packages = lib.unique (lib.attrValues programs);
    passthru = {inherit programs;};
  }
