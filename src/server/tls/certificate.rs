//! Certificates: the chain that is sent, whether a key belongs to it, and the one of last resort.

use std::sync::{Arc, OnceLock};

use pkcs8::der::asn1::AnyRef;
use pkcs8::der::{Decode, Reader, SliceReader};
use pkcs8::spki::SubjectPublicKeyInfoRef;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;
use super::pem::Source;

/// Every certificate of the source, in its order.
pub(super) fn chain(source: &Source) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut chain = Vec::new();
    for block in source.blocks()? {
        if matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE") {
            chain.push(CertificateDer::from(source.decode(&block)?));
        }
    }
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(source.origin.clone()));
    }
    Ok(chain)
}

/// True if the key is that of the first certificate.
///
/// rustls' own check refuses certificates of X.509 version 1, which `openssl x509 -req` makes
/// unless it is told otherwise, and which OpenSSL's clients accept.
pub(super) fn belongs_to(certified: &CertifiedKey, source: &Source) -> Result<bool, TlsError> {
    let damaged = |error| source.damaged(format!("its first certificate cannot be read: {error}"));
    let certificate = certified.cert.first().expect("`chain` is never empty");
    let theirs = public_key_info(certificate)
        .and_then(SubjectPublicKeyInfoRef::from_der)
        .map_err(damaged)?;
    let ours = certified.key.public_key().expect("every key of the ring provider tells it");
    let ours = SubjectPublicKeyInfoRef::from_der(&ours).map_err(damaged)?;
    // Not the whole structure: for RSA, the parameters may be NULL or absent.
    Ok(ours.subject_public_key == theirs.subject_public_key)
}

/// The `SubjectPublicKeyInfo` of a certificate of any version (RFC 5280 section 4.1), in DER.
pub(super) fn public_key_info<'a>(
    certificate: &'a CertificateDer<'_>,
) -> pkcs8::der::Result<&'a [u8]> {
    const VERSION: u8 = 0xA0;
    let certificate = AnyRef::from_der(certificate)?;
    let mut fields = SliceReader::new(certificate.value())?;
    let signed = fields.decode::<AnyRef<'_>>()?;
    let mut fields = SliceReader::new(signed.value())?;
    if fields.peek_byte() == Some(VERSION) {
        fields.tlv_bytes()?;
    }
    for _before in ["serialNumber", "signature", "issuer", "validity", "subject"] {
        fields.tlv_bytes()?;
    }
    fields.tlv_bytes()
}

/// One for all who give none, made once: a client that was told to trust it stays content.
pub(super) fn self_signed() -> Result<Arc<CertifiedKey>, TlsError> {
    static MADE: OnceLock<Arc<CertifiedKey>> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made.clone());
    }
    let made = make_self_signed()?;
    Ok(MADE.get_or_init(|| Arc::new(made)).clone())
}

fn make_self_signed() -> Result<CertifiedKey, TlsError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut params = CertificateParams::new(names).map_err(TlsError::setup)?;
    params.distinguished_name.push(DnType::CommonName, "em-websocket self-signed");
    let key = KeyPair::generate().map_err(TlsError::setup)?;
    let certificate = params.self_signed(&key).map_err(TlsError::setup)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = any_supported_type(&key).map_err(TlsError::setup)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
