# `nix develop`: every program that the pipeline, the workflows and the lab call, by its name on PATH. A test compares
# this list with theirs.
{
  crane,
  pkgs,
  ...
}: let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isLinux;

  # A tool of the lab as the lab's own build of it lies there: `bin`, and beside it the files that the programs need at
  # run time, in `share`. Both are of one version, whichever nixpkgs has.
  withFiles = name: package: files:
    pkgs.linkFarm "lab-${name}" {
      bin = "${package}/bin";
      share = files;
    };

  # The lab puts these into images that have no Nix store, so nothing may be linked at run time.
  static = package:
    package.overrideAttrs (old: {
      env = old.env // {CGO_ENABLED = "0";};
      doCheck = false; # nixpkgs has checked it already
    });

  everywhere = {
    # `cargo pipeline lint` and `test`
    inherit (pkgs) actionlint hadolint kubeconform shellcheck zizmor git perl;
    helm = pkgs.kubernetes-helm;
    make = pkgs.gnumake;
    initdb = pkgs.postgresql;
    # What else is looked for in the code, its dependencies and the image
    inherit (pkgs) cargo-auditable cargo-deny cargo-machete cosign gitleaks trivy;
    # Nix
    inherit (pkgs) alejandra deadnix statix;
    # By hand
    inherit (pkgs) curl kubectl rust-analyzer skopeo;
    # For what the lab has to build
    inherit (pkgs) go;
  };

  kubernetes = withFiles "kubernetes" pkgs.kubernetes pkgs.kubernetes.src;

  onLinux = {
    # `cargo pipeline image`
    inherit (pkgs) buildah;
    # Coverage: nixpkgs has the profiler only here
    inherit (pkgs) cargo-llvm-cov;
    # `cargo lab`
    inherit (pkgs) containerd debootstrap etcd runc tini;
    argocd = withFiles "argocd" (static pkgs.argocd) pkgs.argocd.src;
    coredns = static pkgs.coredns;
    gitea = withFiles "gitea" pkgs.gitea pkgs.gitea.data;
    helm = static pkgs.kubernetes-helm;
    bridge = pkgs.cni-plugins;
    conntrack = pkgs.conntrack-tools;
    gitea-runner = pkgs.gitea-actions-runner;
    ip = pkgs.iproute2;
    kube-apiserver = kubernetes;
    kube-controller-manager = kubernetes;
    kube-proxy = kubernetes;
    kube-scheduler = kubernetes;
    kubelet = kubernetes;
    musl-gcc = pkgs.musl.dev;
    nft = pkgs.nftables;
    postgres = pkgs.postgresql;
    unshare = pkgs.util-linux;
  };

  programs = everywhere // lib.optionalAttrs isLinux onLinux;

  # What the shell doesn't bring, and why.
  elsewhere.jscpd = "nixpkgs doesn't have it: `cargo pipeline tools quality` installs it, as it does without Nix";
in
  # With cargo, clippy, rustc, rustfmt and a C compiler.
  (crane.mkLib pkgs).devShell ({
      packages = lib.unique (lib.attrValues programs);
      passthru = {inherit elsewhere programs;};
    }
    // lib.optionalAttrs isLinux {
      # cargo-llvm-cov takes rustup's unless it is told.
      LLVM_COV = "${pkgs.rustc.llvmPackages.llvm}/bin/llvm-cov";
      LLVM_PROFDATA = "${pkgs.rustc.llvmPackages.llvm}/bin/llvm-profdata";
    })
