//! The two charts, rendered with Helm.

mod argocd;
mod helm;
mod nulls;
mod pods;
mod validation;
mod values;
