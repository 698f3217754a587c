//! The two charts, rendered with Helm.

mod argocd;
mod canary;
mod deployments;
mod fields;
mod helm;
mod hold;
mod metadata;
mod monitoring;
mod network;
mod notifications;
mod nulls;
mod options;
mod pods;
mod promql;
mod propose_rollback;
mod readme;
mod reports;
mod scaling;
mod smoke_test;
mod text;
mod validation;
mod values;
