# The shells of `nix develop` and `nix develop .#lab`. A test compares their programs with those that the pipeline, the
# workflows and the lab call.
{
  pkgs,
  toolchain,
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

  # One program of a package whose other programs would hide those of another package.
  only = program: package: pkgs.linkFarm program {"bin/${program}" = lib.getExe' package program;};

  # The lab copies these programs into images without a Nix store, so they must be linked statically.
  static = package:
    package.overrideAttrs (old: {
      env = old.env // {CGO_ENABLED = "0";};
      doCheck = false; # nixpkgs already ran the tests
    });

  forPipeline =
    {
      # For `cargo pipeline lint` and `cargo pipeline test`
      inherit (pkgs) actionlint hadolint kubeconform shellcheck zizmor git perl;
      helm = pkgs.kubernetes-helm;
      make = pkgs.gnumake;
      initdb = pkgs.postgresql;
      promtool = pkgs.prometheus.cli;
      # For the checks of the code, its dependencies and the image
      inherit (pkgs) cargo-auditable cargo-deny cargo-machete cosign gitleaks trivy;
      # For Nix files
      inherit (pkgs) alejandra deadnix statix;
      # For interactive use
      inherit (pkgs) curl kubectl rust-analyzer skopeo;
    }
    // lib.optionalAttrs isLinux {
      # For `cargo pipeline image`
      inherit (pkgs) buildah;
      # For coverage
      inherit (pkgs) cargo-llvm-cov;
    };

  kubernetes = withFiles "kubernetes" pkgs.kubernetes pkgs.kubernetes.src;

  # These include programs that are compiled when the shell is first entered.
  forLab =
    forPipeline
    // {
      inherit (pkgs) containerd debootstrap etcd runc tini;
      inherit (pkgs) go; # for tools that the lab finds incomplete
      argocd = withFiles "argocd" (static pkgs.argocd) pkgs.argocd.src;
      coredns = static pkgs.coredns;
      gitea = withFiles "gitea" pkgs.gitea pkgs.gitea.data;
      helm = static pkgs.kubernetes-helm;
      bridge = pkgs.cni-plugins;
      conntrack = pkgs.conntrack-tools;
      gitea-runner = pkgs.gitea-actions-runner;
      ip = only "ip" pkgs.iproute2; # it has another `bridge`
      kube-apiserver = kubernetes;
      kube-controller-manager = kubernetes;
      kube-proxy = kubernetes;
      kube-scheduler = kubernetes;
      kubectl = kubernetes;
      kubelet = kubernetes;
      musl-gcc = pkgs.writeShellScriptBin "musl-gcc" ''exec ${toolchain.static.TARGET_CC} "$@"'';
      nft = pkgs.nftables;
      postgres = pkgs.postgresql;
      unshare = pkgs.util-linux;
    };

  # Programs that the shells don't provide, with the reason.
  elsewhere = {
    jscpd = "it is not in nixpkgs; `cargo pipeline tools quality` installs it";
    rollouts-controller = "`cargo lab test canary` builds it, and nothing else needs it";
  };

  # The shell of crane adds the Rust toolchain and a C compiler.
  shell = programs: variables:
    toolchain.craneLib.devShell ({
        # Otherwise the C compiler would search the headers of all programs.
        strictDeps = true;
        packages = lib.unique (lib.attrValues programs);
        passthru = {inherit elsewhere programs;};
      }
      // variables);
in
  {default = shell forPipeline {};}
  // lib.optionalAttrs isLinux {
    lab = shell forLab {inherit (toolchain.static) TARGET_CC;};
  }
