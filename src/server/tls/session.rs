//! TLS parameters that one connection has agreed on.

use base64::{engine::general_purpose::STANDARD, Engine as _};
use rustls::{ProtocolVersion, ServerConnection};

use super::cipher;

/// TLS parameters that one connection has agreed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsSession {
    /// The cipher suite, by OpenSSL's name.
    pub cipher: Option<&'static str>,
    /// The strength of its key, in bits.
    pub cipher_bits: Option<u16>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: Option<&'static str>,
    /// The host that the client asked for (RFC 6066 section 3).
    pub server_name: Option<String>,
    /// The client's certificates, PEM, its own first. Only their possession is proved: whether
    /// they are trusted is the application's to say.
    pub peer_certificates: Vec<String>,
}

impl TlsSession {
    /// Parameters of a connection whose handshake is done.
    pub fn of(connection: &ServerConnection) -> Self {
        let suite = connection.negotiated_cipher_suite().and_then(cipher::named);
        Self {
            cipher: suite.map(|suite| suite.name),
            cipher_bits: suite.map(|suite| if suite.is_256() { 256 } else { 128 }),
            protocol: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => Some("TLSv1.2"),
                Some(ProtocolVersion::TLSv1_3) => Some("TLSv1.3"),
                _ => None,
            },
            server_name: connection.server_name().map(str::to_owned),
            peer_certificates: connection
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| pem(certificate))
                .collect(),
        }
    }
}

/// A certificate as PEM (RFC 7468 section 5).
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        // Base64 is ASCII, so every cut is between characters.
        pem.push_str(std::str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
