//! The lab's sandbox on this machine: namespaces, mounts, network, certificates and long-running programs.

pub mod checkout;
pub mod credentials;
pub mod debian;
pub mod dependencies;
pub mod host;
pub mod layout;
pub mod mounts;
pub mod namespaces;
pub mod network;
pub mod pki;
pub mod port_forward;
pub mod scanners;
pub mod service;
pub mod start;
