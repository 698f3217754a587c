# Versions that this project names in several places. crates/pipeline/tests/nix compares each with its source and
# requires an entry for every Go program in devkit's table of tools (`lab`). `vm` and `shell` are versions in Nix; if
# they are words, the nixpkgs pin determines the version. `reason` explains why the versions of an entry differ.
{
  # The version in rust-toolchain.toml, which the flake uses too, and of the base image in the Dockerfile. rust-version
  # in Cargo.toml is a prefix of it.
  rust.everywhere = "1.95.0";

  argocd = {
    lab = "3.6.1";
    shell = "as in nixpkgs, with the manifests of that version";
    vm = {
      # The version and hash of the chart in argo-helm, and the version of Argo CD in it. The hash is the digest in the
      # index of argo-helm.
      chart = "10.1.1";
      version = "3.4.4";
      hash = "sha256-pnffpsp+n5px/pv1TqhqkBHVx9uOE3xRceeMRJOvIOU=";
    };
    reason = "the VM uses the newest chart with a hash in the argo-helm index; the lab builds the newest release";
  };

  kubernetes = {
    lab = "1.37.2";
    shell = "as in nixpkgs";
    vm = "K3s 1.35";
    chart = "1.29"; # or newer
    reason = "the lab can't build K3s; the manifests use only fields that the oldest version supports";
  };

  helm = {
    lab = "4.3.1";
    shell = "3.20";
    reason = "Argo CD 3.6 bundles the lab's version; nixpkgs 26.05 has no Helm 4; the charts support both";
  };

  gitea = {
    lab = "1.26.0";
    shell = "as in nixpkgs";
    reason = "the workflows run on both versions; the shell has the templates of its own version";
  };

  coredns = {
    lab = "1.13.2";
    shell = "as in nixpkgs";
    reason = "any release can serve the few names of the lab";
  };

  argo-rollouts = {
    lab = "1.9.1";
    shell = "none";
    reason = "only the scenario `canary` needs it, which builds it";
  };

  runner = {
    lab = "1.0.8";
    shell = "1.0.3";
    reason = "any release 1.0 runs the workflows";
  };

  kubeconform = {
    lab = "0.8.0";
    shell = "as in nixpkgs";
    reason = "a newer linter only adds findings";
  };

  actionlint = {
    lab = "1.7.12";
    shell = "as in nixpkgs";
    reason = "a newer linter only adds findings";
  };

  cosign = {
    lab = "3.1.3";
    shell = "as in nixpkgs";
    reason = "all releases 3.x use the same bundle format";
  };

  gitleaks = {
    lab = "8.30.1";
    shell = "as in nixpkgs";
    reason = "a newer scanner only adds findings";
  };

  trivy = {
    lab = "0.74.0";
    shell = "as in nixpkgs";
    reason = "a newer scanner only adds findings";
  };

  cargo-auditable = {
    dockerfile = "0.7.7"; # `cargo pipeline tools` installs the same version
    shell = "as in nixpkgs";
    reason = "all releases embed the same list";
  };

  # The release of nixpkgs in flake.nix, and the state version of the VM.
  nixpkgs.everywhere = "26.05";
}
