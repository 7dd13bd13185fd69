//! Whole handshakes in memory, and what the options do to them.

mod client_authorities;
mod files;
mod fixtures;
mod hosts;
mod keys;
mod narrowing;
mod peer_certificates;
#[cfg(not(feature = "loom"))]
mod secured;

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::ResolvesClientCert;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConnection, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use self::fixtures::*;
use super::*;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// A certificate that signs itself, and its key, as PEM.
struct Identity {
    cert: String,
    key: String,
}

impl Identity {
    fn new(key: &KeyPair) -> Self {
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        Self::of(&[params.self_signed(key).unwrap().der()], &key.serialize_der())
    }

    fn of(chain: &[&CertificateDer<'_>], key: &[u8]) -> Self {
        let certs = chain.iter().map(|cert| pem("CERTIFICATE", cert));
        Self { cert: certs.collect(), key: pem("PRIVATE KEY", key) }
    }

    fn ecdsa() -> Self {
        Self::new(&KeyPair::generate().unwrap())
    }

    /// With a key of the fixtures, which is PKCS#8.
    fn fixture(key: &str) -> Self {
        let source = text(key, "private_key");
        let der = source.decode(&source.blocks().unwrap()[0]).unwrap();
        Self::new(&KeyPair::try_from(&PrivateKeyDer::Pkcs8(der.into())).unwrap())
    }

    fn options(&self) -> TlsOptions {
        TlsOptions {
            cert: Some(self.cert.clone().into()),
            private_key: Some(self.key.clone().into()),
            ..TlsOptions::default()
        }
    }
}

/// Text that an option holds.
fn text(pem: &str, option: &'static str) -> Source {
    Source::new(Origin::Text(option), pem.as_bytes()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::prelude::{Engine as _, BASE64_STANDARD};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

/// Takes any certificate that proves its key; version 1 too, whose proof rustls cannot check.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        match certificate_version(cert) {
            1 => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls12_signature(message, cert, dss, &algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        match certificate_version(cert) {
            1 => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls13_signature(message, cert, dss, &algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn certificate_version(cert: &CertificateDer<'_>) -> u8 {
    let version_3 = [0xA0, 0x03, 0x02, 0x01, 0x02];
    if cert[..16].windows(5).any(|bytes| bytes == version_3) {
        3
    } else {
        1
    }
}

/// A client that speaks one version.
fn client(version: &'static SupportedProtocolVersion) -> ClientConfig {
    client_with(version, None)
}

/// A client that shows a certificate, whether or not the key is the certificate's.
fn client_with(
    version: &'static SupportedProtocolVersion,
    certified: Option<CertifiedKey>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    match certified {
        None => builder.with_no_client_auth(),
        Some(certified) => {
            let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(certified));
            builder.with_client_cert_resolver(resolver)
        }
    }
}

fn server(options: &TlsOptions) -> Arc<ServerConfig> {
    server_config(options).unwrap().config
}

fn warnings(options: &TlsOptions) -> Vec<String> {
    server_config(options).unwrap().warnings
}

fn refusal(options: &TlsOptions) -> TlsError {
    server_config(options).expect_err("the options should be refused")
}

struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

/// Carries the bytes back and forth until both are silent; the server's error comes first.
fn handshake(client: &ClientConfig, server: &Arc<ServerConfig>) -> Result<Pair, Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Pair { client, server })
}

impl Pair {
    /// One message each way.
    fn talk(&mut self) {
        use std::io::{Read as _, Write as _};
        let mut wire = Vec::new();
        let mut heard = [0; 5];
        self.client.writer().write_all(b"hello").unwrap();
        self.client.write_tls(&mut wire).unwrap();
        self.server.read_tls(&mut wire.as_slice()).unwrap();
        self.server.process_new_packets().unwrap();
        self.server.reader().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        wire.clear();
        self.server.writer().write_all(b"world").unwrap();
        self.server.write_tls(&mut wire).unwrap();
        self.client.read_tls(&mut wire.as_slice()).unwrap();
        self.client.process_new_packets().unwrap();
        self.client.reader().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"world");
    }
}

#[test]
fn both_versions_with_every_kind_of_key() {
    for identity in [
        Identity::ecdsa(),
        Identity::new(&KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()),
        Identity::new(&KeyPair::generate_for(&PKCS_ED25519).unwrap()),
        Identity::fixture(RSA_PKCS8),
    ] {
        let made = server_config(&identity.options()).unwrap();
        assert_eq!(made.warnings, [""; 0]);
        for version in VERSIONS {
            let mut client = client(version);
            client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let mut pair = handshake(&client, &made.config).unwrap();
            assert_eq!(pair.server.protocol_version(), Some(version.version));
            assert_eq!(pair.server.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(pair.server.peer_certificates(), None);
            pair.talk();
        }
    }
}

#[test]
fn encrypted_keys_serve() {
    let identity = Identity::fixture(EC_PKCS8);
    for key in [EC_PBES2_AES256, EC_AES256] {
        let options = TlsOptions {
            private_key: Some(key.into()),
            private_key_pass: Some(PASSPHRASE.into()),
            ..identity.options()
        };
        handshake(&client(&version::TLS13), &server(&options)).unwrap().talk();
        let options = TlsOptions { private_key_pass: Some(Vec::new()), ..options };
        assert_eq!(refusal(&options), TlsError::PassphraseNeeded(Origin::Text("private_key")));
    }
}

#[test]
fn the_whole_chain_is_sent_in_its_order() {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_cert = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::from_params(&authority, &authority_key))
        .unwrap();

    let chain = [leaf.der(), authority_cert.der()];
    let identity = Identity::of(&chain, &key.serialize_der());
    let pair = handshake(&client(&version::TLS13), &server(&identity.options())).unwrap();
    let sent = pair.client.peer_certificates().unwrap();
    assert_eq!(sent, chain.map(Clone::clone));

    let upside_down = Identity::of(&[chain[1], chain[0]], &key.serialize_der());
    let error = refusal(&upside_down.options());
    assert!(matches!(error, TlsError::KeyMismatch { .. }));
    assert!(error.to_string().contains("must come first"));
}

#[test]
fn a_certificate_of_version_1_serves() {
    let options = TlsOptions {
        cert: Some(EC_CERT_V1.into()),
        private_key: Some(EC_SEC1.into()),
        ..TlsOptions::default()
    };
    for version in VERSIONS {
        handshake(&client(version), &server(&options)).unwrap().talk();
    }
    let options = TlsOptions { private_key: Some(Identity::ecdsa().key.into()), ..options };
    assert!(matches!(refusal(&options), TlsError::KeyMismatch { .. }));
}

#[test]
fn without_any_certificate_one_is_made_for_the_process() {
    let made = server_config(&TlsOptions::default()).unwrap();
    assert!(made.warnings[0].contains("pass tls_options[:cert_chain_file]"), "{:?}", made.warnings);
    let mut served = Vec::new();
    for config in [made.config, server(&TlsOptions::default())] {
        for version in VERSIONS {
            let mut pair = handshake(&client(version), &config).unwrap();
            pair.talk();
            served.push(pair.client.peer_certificates().unwrap()[0].clone());
        }
    }
    served.dedup();
    assert_eq!(served.len(), 1);
}

#[test]
fn a_client_without_http_1_1_is_refused() {
    // RFC 7301 section 3.2.
    let mut client = client(&version::TLS13);
    client.alpn_protocols = vec![b"h2".to_vec()];
    let error = handshake(&client, &server(&TlsOptions::default())).err();
    assert_eq!(error, Some(Error::NoApplicationProtocol));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let options = TlsOptions {
        private_key: Some("SECRET key".into()),
        private_key_pass: Some("SECRET pass".into()),
        cipher_list: Some("HIGH".to_owned()),
        ..TlsOptions::default()
    };
    let debug = format!("{options:?}");
    assert!(!debug.contains("SECRET"), "{debug}");
    assert!(debug.contains("private_key_pass: Some(\"[hidden]\")"), "{debug}");
    assert!(debug.contains("HIGH"), "{debug}");
}
