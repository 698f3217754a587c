//! The two charts, rendered with Helm.

mod argocd;
mod helm;
mod pods;
mod values;
