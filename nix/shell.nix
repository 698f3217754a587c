# The shell of `nix develop`. It provides every program that the pipeline, the workflows and the lab call; a test
# compares the lists.
{
  crane,
  pkgs,
  ...
}: let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isLinux;

  # A tool in the layout that the lab uses for tools that it builds: programs in `bin`, and the files that they need at
  # run time in `share`. Both have the version in nixpkgs.
  withFiles = name: package: files:
    pkgs.linkFarm "lab-${name}" {
      bin = "${package}/bin";
      share = files;
    };

  # The lab copies these programs into images without a Nix store, so they must be linked statically.
  static = package:
    package.overrideAttrs (old: {
      env = old.env // {CGO_ENABLED = "0";};
      doCheck = false; # nixpkgs already ran the tests
    });

  everywhere = {
    # For `cargo pipeline lint` and `cargo pipeline test`
    inherit (pkgs) actionlint hadolint kubeconform shellcheck zizmor git perl;
    helm = pkgs.kubernetes-helm;
    make = pkgs.gnumake;
    initdb = pkgs.postgresql;
    # For the checks of the code, its dependencies and the image
    inherit (pkgs) cargo-auditable cargo-deny cargo-machete cosign gitleaks trivy;
    # For Nix files
    inherit (pkgs) alejandra deadnix statix;
    # For interactive use
    inherit (pkgs) curl kubectl rust-analyzer skopeo;
    # For tools that the lab builds
    inherit (pkgs) go;
  };

  kubernetes = withFiles "kubernetes" pkgs.kubernetes pkgs.kubernetes.src;

  onLinux = {
    # For `cargo pipeline image`
    inherit (pkgs) buildah;
    # For coverage. nixpkgs provides the profiler only on Linux.
    inherit (pkgs) cargo-llvm-cov;
    # For `cargo lab`
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

  # Programs that the shell doesn't provide, with the reason.
  elsewhere.jscpd = "it is not in nixpkgs; `cargo pipeline tools quality` installs it";
in
  # The shell of crane adds cargo, clippy, rustc, rustfmt and a C compiler.
  (crane.mkLib pkgs).devShell ({
      packages = lib.unique (lib.attrValues programs);
      passthru = {inherit elsewhere programs;};
    }
    // lib.optionalAttrs isLinux {
      # Without these, cargo-llvm-cov uses the programs of rustup.
      LLVM_COV = "${pkgs.rustc.llvmPackages.llvm}/bin/llvm-cov";
      LLVM_PROFDATA = "${pkgs.rustc.llvmPackages.llvm}/bin/llvm-profdata";
    })
