//! The lab's sandbox on this machine: namespaces, mounts, network, certificates and long-running programs.

pub mod debian;
pub mod layout;
pub mod machine;
pub mod namespaces;
pub mod pki;
pub mod port_forward;
pub mod service;
