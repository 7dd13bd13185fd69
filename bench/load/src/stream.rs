//! A client's end of a connection, plain or TLS; it never blocks.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        Resumption,
    },
    crypto::{ring, verify_tls12_signature, verify_tls13_signature, CryptoProvider},
    pki_types::{CertificateDer, ServerName, UnixTime},
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
};

use crate::Failure;

/// As much plaintext is encrypted at once.
const RECORDS: usize = 64 * 1024;

pub(crate) struct Stream {
    pub(crate) socket: TcpStream,
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: ClientConnection,
    /// Encrypted, and not written yet.
    pending: Vec<u8>,
}

/// Configuration of TLS, if it is spoken.
#[derive(Clone)]
pub(crate) struct Dialect(Option<Arc<ClientConfig>>);

impl Dialect {
    /// With TLS, every server gets the same single cipher suite and no resumption.
    pub(crate) fn new(tls: bool) -> Result<Self, Failure> {
        if !tls {
            return Ok(Self(None));
        }
        let mut provider = ring::default_provider();
        provider.cipher_suites = vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ];
        provider.kx_groups = vec![ring::kx_group::X25519];
        let provider = Arc::new(provider);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self(Some(Arc::new(config))))
    }
}

/// Outcome of a readiness.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Received {
    /// Perhaps nothing.
    Bytes,
    /// The server will send no more.
    End,
}

impl Stream {
    pub(crate) fn connect(address: SocketAddr, dialect: &Dialect) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let tls = match &dialect.0 {
            None => None,
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                let mut session = ClientConnection::new(Arc::clone(config), name)?;
                session.set_buffer_limit(None);
                Some(Box::new(Tls { session, pending: Vec::new() }))
            }
        };
        let mut stream = Self { socket, tls };
        stream.flush()?;
        Ok(stream)
    }

    /// The protocol version and the cipher suite.
    pub(crate) fn describe_tls(&self) -> Option<String> {
        let session = &self.tls.as_ref()?.session;
        let version = session.protocol_version()?.as_str()?;
        let suite = session.negotiated_cipher_suite()?.suite();
        Some(format!("{version} {}", suite.as_str()?))
    }

    /// Reads once and hands on what it means.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Received, Failure> {
        let len = match self.socket.read(scratch) {
            Ok(0) => return Ok(Received::End),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::Bytes),
            Err(error) => return Err(error.into()),
        };
        let Some(tls) = &mut self.tls else {
            sink(&scratch[..len])?;
            return Ok(Received::Bytes);
        };
        let mut ciphertext = &scratch[..len];
        let mut closed = false;
        while !ciphertext.is_empty() && !closed {
            tls.session.read_tls(&mut ciphertext)?;
            let state = tls.session.process_new_packets()?;
            closed = state.peer_has_closed();
            if state.plaintext_bytes_to_read() > 0 {
                let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
                tls.session.reader().read_exact(&mut plaintext)?;
                sink(&plaintext)?;
            }
        }
        if tls.session.wants_write() {
            self.flush()?;
        }
        Ok(if closed { Received::End } else { Received::Bytes })
    }

    /// Takes some of the bytes; none where the socket is full.
    pub(crate) fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return match self.socket.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
                result => result,
            };
        };
        if !tls.pending.is_empty() {
            return Ok(0);
        }
        let taken = &bytes[..bytes.len().min(RECORDS)];
        tls.session.writer().write_all(taken)?;
        self.flush()?;
        Ok(taken.len())
    }

    /// Writes what is encrypted. Whether nothing is left.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            return Ok(true);
        };
        while tls.session.wants_write() {
            tls.session.write_tls(&mut tls.pending)?;
        }
        while !tls.pending.is_empty() {
            match self.socket.write(&tls.pending) {
                Ok(len) => drop(tls.pending.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Takes any certificate, after the usual work on its signature.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
