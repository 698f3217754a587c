//! The flake, tested without nixpkgs: its files are clean, its outputs evaluate with the strict stubs in
//! `nix/tests/stubs`, and it agrees with the Dockerfile, the lab and the charts.

mod argocd;
mod files;
mod flake;
mod image;
mod outputs;
mod rust;
mod shells;
mod sources;
mod versions;
mod vm;
