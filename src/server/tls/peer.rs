//! The client's certificate, which is asked for here; who judges it is the application, a file of
//! authorities, or both.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::{verify_tls13_signature_with_raw_key, CryptoProvider};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use webpki::RawPublicKeyEntity;

use super::certificate::{chain, public_key_info};
use super::error::TlsError;
use super::pem::Source;

/// Verifier that takes what an authority of the file has issued, for clients, and is in date.
pub(super) fn by_authorities(
    path: &Path,
    is_optional: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(source) = Source::read((Some(path), "client_ca_file"), (None, ""))? else {
        // Not as good as not given: that would let everybody in.
        return Err(TlsError::EmptyClientCa);
    };
    let mut roots = RootCertStore::empty();
    for authority in chain(&source)? {
        roots.add(authority).map_err(|error| source.damaged(error.to_string()))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if is_optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(TlsError::setup)
}

/// Takes a certificate of any authority, of any age, for any use, as long as the client proves that
/// it holds the private key: EventMachine's `ssl_verify_peer` is where the rest is decided, after
/// the handshake.
#[derive(Debug)]
pub(super) struct AnyClientCert {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClientCert {
    pub(super) fn new(mandatory: bool, provider: &CryptoProvider) -> Self {
        Self { mandatory, algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for AnyClientCert {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// Empty, so that the client may offer whichever certificate it has (RFC 5246 section 7.4.4).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        public_key(end_entity).map(|_| ClientCertVerified::assertion())
    }

    // Both signatures are verified with the bare key, as rustls' own way through the certificate
    // refuses X.509 version 1, which much of the world's private certificates are.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(cert)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
        // In TLS 1.2 a scheme does not name the curve: one of its algorithms fits the key, or none.
        let mapping = self.algorithms.mapping.iter();
        let fitting = mapping.filter(|(scheme, _)| *scheme == dss.scheme);
        let verified = fitting
            .flat_map(|(_, algorithms)| algorithms.iter())
            .any(|algorithm| key.verify_signature(*algorithm, message, dss.signature()).is_ok());
        if verified {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &public_key(cert)?, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn public_key<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'a>, Error> {
    match public_key_info(certificate) {
        Ok(info) => Ok(SubjectPublicKeyInfoDer::from(info)),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}
