//! A host that has a certificate of its own.

use std::{fmt, path::PathBuf};

use super::TlsOptions;

/// The certificate of one host and its key, as [`TlsOptions`] has the server's own. Everything else
/// holds for all hosts: a client asks for a name as it likes, and would get round what one of them
/// demands by asking for another.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct TlsHost {
    /// PEM file with the private key.
    pub private_key_file: Option<PathBuf>,
    /// PEM file with the certificate, followed by the ones that lead to the authority.
    pub cert_chain_file: Option<PathBuf>,
    /// The private key itself, PEM.
    pub private_key: Option<Vec<u8>>,
    /// The certificate itself, PEM.
    pub cert: Option<Vec<u8>>,
    /// The passphrase of an encrypted private key.
    pub private_key_pass: Option<Vec<u8>>,
}

/// The private key and its passphrase do not belong into a log.
impl fmt::Debug for TlsHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsHost")
            .field("private_key_file", &self.private_key_file)
            .field("cert_chain_file", &self.cert_chain_file)
            .finish_non_exhaustive()
    }
}

impl TlsHost {
    /// The server's options, with the host's certificate.
    pub(super) fn options(&self, server: &TlsOptions) -> TlsOptions {
        let host = self.clone();
        TlsOptions {
            private_key_file: host.private_key_file,
            cert_chain_file: host.cert_chain_file,
            private_key: host.private_key,
            cert: host.cert,
            private_key_pass: host.private_key_pass,
            ..server.clone()
        }
    }
}
