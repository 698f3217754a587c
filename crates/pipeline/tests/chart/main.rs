//! The two charts, rendered with Helm.

mod argocd;
mod helm;
mod network;
mod nulls;
mod options;
mod pods;
mod readme;
mod reports;
mod scaling;
mod smoke_test;
mod validation;
mod values;
