# Versions that this project names in more than one place. crates/pipeline/tests/nix.rs compares each with its source and
# requires an entry for every Go program in devkit's table of tools (`lab`). `vm` and `shell` are what Nix gives; where
# they stand as words, nixpkgs' pin decides. Where an entry has several versions, `reason` says why that's meant.
{
  # rust-toolchain.toml and the Dockerfile's base image; Cargo.toml's rust-version begins it. nixpkgs' is compared when
  # Nix builds.
  rust.everywhere = "1.95.0";

  argocd = {
    lab = "3.6.1";
    shell = "as in nixpkgs, with the manifests of that version";
    vm = {
      # The chart of argo-helm, the Argo CD in it, and the chart's hash, which is the digest in argo-helm's index.
      chart = "10.1.1";
      version = "3.4.4";
      hash = "sha256-pnffpsp+n5px/pv1TqhqkBHVx9uOE3xRceeMRJOvIOU=";
    };
    reason = "the newest chart whose hash argo-helm's own index gives; the lab builds the newest release from its source";
  };

  kubernetes = {
    lab = "1.37.2";
    shell = "as in nixpkgs";
    vm = "K3s 1.35";
    chart = "1.29"; # or newer
    reason = "the lab can't build K3s; the manifests have only fields that the oldest of these knows";
  };

  helm = {
    lab = "4.3.1";
    shell = "3.20";
    reason = "the lab has what Argo CD 3.6 bundles, nixpkgs 26.05 has no Helm 4; the charts use nothing that differs";
  };

  gitea = {
    lab = "1.26.0";
    shell = "as in nixpkgs";
    reason = "the workflows run on either; the shell has the templates of its own version";
  };

  coredns = {
    lab = "1.13.2";
    shell = "as in nixpkgs";
    reason = "any release serves the lab's few names";
  };

  runner = {
    lab = "1.0.8";
    shell = "1.0.3";
    reason = "any 1.0 runs the workflows";
  };

  kubeconform = {
    lab = "0.8.0";
    shell = "as in nixpkgs";
    reason = "a linter: a newer one may find more, not something else";
  };

  actionlint = {
    lab = "1.7.12";
    shell = "as in nixpkgs";
    reason = "a linter: a newer one may find more, not something else";
  };

  cosign = {
    lab = "3.1.3";
    shell = "as in nixpkgs";
    reason = "any 3.x writes and reads the same bundles";
  };

  gitleaks = {
    lab = "8.30.1";
    shell = "as in nixpkgs";
    reason = "a scanner: a newer one may find more, not something else";
  };

  trivy = {
    lab = "0.74.0";
    shell = "as in nixpkgs";
    reason = "a scanner: a newer one may find more, not something else";
  };

  cargo-auditable = {
    dockerfile = "0.7.7"; # `cargo pipeline tools` installs the same
    shell = "as in nixpkgs";
    reason = "any release writes the same list into the binary";
  };

  # nixpkgs' release, in flake.nix and as the VM's state version.
  nixpkgs.everywhere = "26.05";
}
