//! Which servers a client trusts, and the certificate that it shows.

use super::Error;
use std::fs;
use std::path::Path;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, parse_pem};

/// Which servers a client trusts, and who it says it is.
pub struct Tls {
    pub(super) roots: RootCerts,
    pub(super) identity: Option<ClientCert>,
}

impl Tls {
    /// Trusts what this machine trusts.
    pub fn platform() -> Self {
        Self {
            roots: RootCerts::PlatformVerifier,
            identity: None,
        }
    }

    /// Trusts the one authority whose certificate is in a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn authority(certificate: &Path) -> Result<Self, Error> {
        let roots = RootCerts::new_with_certs(&certificates(certificate)?);
        Ok(Self {
            roots,
            identity: None,
        })
    }

    /// Trusts no one: for plain HTTP on this machine.
    pub fn none() -> Self {
        Self {
            roots: RootCerts::new_with_certs(&[]),
            identity: None,
        }
    }

    /// Shows the server a client certificate; `chain` and `key` are PEM files.
    ///
    /// # Errors
    /// When a file cannot be read, or lacks the certificate or the key.
    pub fn with_identity(mut self, chain: &Path, key: &Path) -> Result<Self, Error> {
        let pem = read(key)?;
        let private = PrivateKey::from_pem(&pem).map_err(|_| Error::Pem {
            path: key.to_owned(),
            what: "private key",
        })?;
        self.identity = Some(ClientCert::new_with_certs(&certificates(chain)?, private));
        Ok(self)
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let pem = read(path)?;
    let found: Vec<_> = parse_pem(&pem)
        .flatten()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(Error::Pem {
            path: path.to_owned(),
            what: "certificate",
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_and_keys_are_read_from_pem_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = file("tls.crt", &pair.cert.pem());
        let key = file("tls.key", &pair.signing_key.serialize_pem());
        let tls = Tls::authority(&certificate).unwrap();
        assert!(tls.with_identity(&certificate, &key).is_ok());

        let none = file("none.pem", "-----BEGIN NOTHING-----\n");
        for (error, what) in [
            (Tls::authority(&none).err(), "certificate"),
            (
                Tls::none().with_identity(&certificate, &none).err(),
                "private key",
            ),
            (Tls::none().with_identity(&none, &key).err(), "certificate"),
        ] {
            let error = error.unwrap().to_string();
            assert!(
                error.contains(what) && error.contains("none.pem"),
                "{error}"
            );
        }
        let missing = Tls::authority(&folder.path().join("missing.pem"));
        assert!(missing.is_err_and(|error| error.to_string().contains("missing.pem")));
    }
}
