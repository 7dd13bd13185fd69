//! Parts that the servers in Rust share: `PROGRAM MODE [CERTIFICATE KEY]`, and the port on the
//! first line of what they print.

use std::{
    io::{self, Write},
    sync::Arc,
};

use rustls::{
    pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer},
    ServerConfig,
};

/// Error that ends a server.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Treatment of a message by a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// It goes back.
    Echo,
    /// It goes to all.
    Broadcast,
    /// It is counted, and a binary one is answered with how many there were.
    Count,
}

/// Mode of the server, and its TLS if it has one.
pub fn arguments() -> Result<(Mode, Option<Arc<ServerConfig>>), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mode = match words.first().map(String::as_str) {
        Some("echo") => Mode::Echo,
        Some("broadcast") => Mode::Broadcast,
        Some("count") => Mode::Count,
        _ => return Err("echo, broadcast or count?".into()),
    };
    let tls = match words.get(1..) {
        Some([certificate, key]) => {
            let config = ServerConfig::builder().with_no_client_auth().with_single_cert(
                CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?,
                PrivateKeyDer::from_pem_file(key)?,
            )?;
            Some(Arc::new(config))
        }
        _ => None,
    };
    Ok((mode, tls))
}

/// Tells who is measured, and where.
pub fn announce(port: u16, name: &str, version: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{port} {name} {version}")?;
    out.flush()
}
