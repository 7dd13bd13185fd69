//! `verify_peer`: the client's certificate, and what may be resumed.

use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::HandshakeKind;

use super::*;

fn asking(mandatory: bool) -> TlsOptions {
    let options = Identity::ecdsa().options();
    TlsOptions { verify_peer: true, fail_if_no_peer_cert: Some(mandatory), ..options }
}

fn certified(cert: &str, key: &str) -> CertifiedKey {
    let cert = certificate::chain(&text(cert, "cert")).unwrap();
    CertifiedKey::new(cert, key::load(&text(key, "private_key"), None).unwrap())
}

#[test]
fn any_certificate_is_taken_and_handed_over() {
    let ecdsa = Identity::ecdsa();
    let rsa = Identity::fixture(RSA_PKCS8);
    let ed25519 = Identity::new(&KeyPair::generate_for(&PKCS_ED25519).unwrap());
    let server = server(&asking(true));
    for certified in [
        certified(&ecdsa.cert, &ecdsa.key),
        certified(&(rsa.cert.clone() + &ecdsa.cert), &rsa.key),
        certified(&ed25519.cert, &ed25519.key),
        certified(EC_CERT_V1, EC_PKCS8),
    ] {
        for version in VERSIONS {
            let shown = certified.cert.clone();
            let client = client_with(version, Some(certified.clone()));
            let mut pair = handshake(&client, &server).unwrap();
            assert_eq!(pair.server.peer_certificates(), Some(shown.as_slice()));
            pair.talk();
        }
    }
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let rsa = Identity::fixture(RSA_PKCS8);
    for stolen in [
        certified(&Identity::ecdsa().cert, &Identity::ecdsa().key),
        certified(EC_CERT_V1, &Identity::ecdsa().key),
        certified(&rsa.cert, &Identity::ecdsa().key),
    ] {
        for version in VERSIONS {
            let client = client_with(version, Some(stolen.clone()));
            let error = handshake(&client, &server(&asking(false))).err();
            assert!(matches!(error, Some(Error::InvalidCertificate(_))), "{error:?}");
        }
    }
}

#[test]
fn what_is_no_certificate_is_refused() {
    let key = certified(EC_CERT_V1, EC_PKCS8).key;
    let junk = CertifiedKey::new(vec![CertificateDer::from(vec![0x30, 0x00])], key);
    for version in VERSIONS {
        let client = client_with(version, Some(junk.clone()));
        let error = handshake(&client, &server(&asking(false))).err();
        assert!(matches!(error, Some(Error::InvalidCertificate(_))), "{error:?}");
    }
}

#[test]
fn only_fail_if_no_peer_cert_makes_one_mandatory() {
    for version in VERSIONS {
        let pair = handshake(&client(version), &server(&asking(false))).unwrap();
        assert_eq!(pair.server.peer_certificates(), None);
        let error = handshake(&client(version), &server(&asking(true))).err();
        assert_eq!(error, Some(Error::NoCertificatesPresented));
    }
    let options = TlsOptions { verify_peer: false, ..asking(true) };
    assert!(warnings(&options)[0].contains(":fail_if_no_peer_cert] has no effect"));
    handshake(&client(&version::TLS13), &server(&options)).unwrap();
}

fn remembering(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let identity = Identity::ecdsa();
    let certified = certified(&identity.cert, &identity.key);
    let mut client = client_with(version, Some(certified));
    client.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(32)));
    client
}

#[test]
fn a_resumed_session_still_has_its_certificate() {
    for version in VERSIONS {
        for options in [asking(true), TlsOptions { verify_peer: false, ..asking(false) }] {
            let (client, server) = (remembering(version), server(&options));
            let first = handshake(&client, &server).unwrap();
            assert_eq!(first.server.handshake_kind(), Some(HandshakeKind::Full));
            let mut again = handshake(&client, &server).unwrap();
            assert_eq!(again.server.handshake_kind(), Some(HandshakeKind::Resumed));
            let certificates = first.server.peer_certificates();
            assert_eq!(certificates.is_some(), options.verify_peer);
            assert_eq!(again.server.peer_certificates(), certificates);
            again.talk();
        }
    }
}

#[test]
fn no_session_outlives_its_options() {
    let asking = asking(true);
    let silent = TlsOptions { verify_peer: false, fail_if_no_peer_cert: None, ..asking.clone() };
    for version in VERSIONS {
        for (first, second) in [(&silent, &asking), (&asking, &silent), (&asking, &asking)] {
            let client = remembering(version);
            handshake(&client, &server(first)).unwrap();
            let pair = handshake(&client, &server(second)).unwrap();
            assert_eq!(pair.server.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(pair.server.peer_certificates().is_some(), second.verify_peer);
        }
    }
}
