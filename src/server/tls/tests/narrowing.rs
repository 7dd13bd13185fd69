//! Options that narrow what is spoken.

use rustls::NamedGroup;

use super::*;

fn with(change: impl FnOnce(&mut TlsOptions)) -> TlsOptions {
    let mut options = Identity::ecdsa().options();
    change(&mut options);
    options
}

fn spoken(names: &[&str]) -> TlsOptions {
    let names = names.iter().map(ToString::to_string).collect();
    with(|options| options.ssl_version = Some(names))
}

fn connects(options: &TlsOptions, version: &'static SupportedProtocolVersion) -> bool {
    handshake(&client(version), &server(options)).is_ok()
}

#[test]
fn ssl_version() {
    for (names, tls12, tls13) in [
        (&["TLSv1_2"][..], true, false),
        (&["tlsv1.3"], false, true),
        (&["TLSv1_2", "TLSv1_3", "TLSv1_2"], true, true),
        (&["SSLv3", "TLSv1", "TLSv1_1", "TLSv1_2"], true, false),
    ] {
        let options = spoken(names);
        assert_eq!(connects(&options, &version::TLS12), tls12, "{names:?}");
        assert_eq!(connects(&options, &version::TLS13), tls13, "{names:?}");
    }
    assert_eq!(warnings(&spoken(&["TLSv1_2"])), [""; 0]);
    let warnings = warnings(&spoken(&["SSLv3", "TLSv1", "TLSv1_2"]));
    assert!(warnings[0].contains("SSLv3, TLSv1 is no longer spoken"), "{warnings:?}");

    let error = refusal(&spoken(&["TLSv1", "TLSv1_1"]));
    assert_eq!(error, TlsError::NoUsableVersion("TLSv1, TLSv1_1".to_owned()));
    assert_eq!(refusal(&spoken(&[])), TlsError::NoUsableVersion(String::new()));
    let error = refusal(&spoken(&["TLSv1_2", "TLSv9"]));
    assert_eq!(error, TlsError::UnknownVersion("TLSv9".to_owned()));
}

#[test]
fn cipher_list() {
    let list = |list: &str| with(|options| options.cipher_list = Some(list.to_owned()));
    let suite = |options: &TlsOptions, version| {
        let pair = handshake(&client(version), &server(options)).unwrap();
        pair.server.negotiated_cipher_suite().unwrap().suite().as_str().unwrap()
    };
    let options = list("ECDHE-ECDSA-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256");
    let chacha = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    assert_eq!(suite(&options, &version::TLS12), chacha);
    assert_eq!(suite(&options, &version::TLS13), "TLS13_AES_128_GCM_SHA256");
    assert_eq!(warnings(&options), [""; 0]);
    assert_eq!(warnings(&list("")), [""; 0]);

    let partly = warnings(&list("DHE-RSA-AES256-SHA:ECDHE+AESGCM"));
    assert!(partly[0].ends_with("left out: DHE-RSA-AES256-SHA"), "{partly:?}");

    // The key is ECDSA: in TLS 1.2, suites for RSA are of no use to it.
    for only_tls13 in ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"] {
        let options = list(only_tls13);
        assert!(warnings(&options)[0].contains("only clients that speak TLS 1.3"));
        assert!(connects(&options, &version::TLS13));
        assert!(!connects(&options, &version::TLS12));

        let tls12 = Some(vec!["TLSv1_2".to_owned()]);
        let nothing = TlsOptions { ssl_version: tls12, ..options.clone() };
        assert_eq!(refusal(&nothing), TlsError::NoUsableCipher(only_tls13.to_owned()));
        let tls13 = Some(vec!["TLSv1_3".to_owned()]);
        assert_eq!(warnings(&TlsOptions { ssl_version: tls13, ..options }), [""; 0]);
    }
    let error = refusal(&list("AES128-SHA"));
    assert!(error.to_string().contains("\"AES128-SHA\" leaves no usable cipher suite"));
}

#[test]
fn ecdh_curve() {
    let curve = |names: &str| with(|options| options.ecdh_curve = Some(names.to_owned()));
    for (names, group) in [
        ("prime256v1", NamedGroup::secp256r1),
        ("P-256", NamedGroup::secp256r1),
        ("secp384r1", NamedGroup::secp384r1),
        ("P-384", NamedGroup::secp384r1),
        ("X25519", NamedGroup::X25519),
        ("", NamedGroup::X25519),
        // Without X25519, which the client likes best.
        ("secp384r1:prime256v1", NamedGroup::secp256r1),
    ] {
        for version in VERSIONS {
            let pair = handshake(&client(version), &server(&curve(names))).unwrap();
            let negotiated = pair.server.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(negotiated, group, "{names}");
        }
    }
    for names in ["secp521r1", "nope", "X25519:nope"] {
        let error = refusal(&curve(names));
        assert!(matches!(error, TlsError::UnknownCurve(_)));
        assert!(error.to_string().contains("use X25519, prime256v1 or secp384r1"));
    }
}

#[test]
fn dhparam() {
    let warnings = warnings(&with(|options| options.dhparam = Some("dh.pem".into())));
    assert!(warnings[0].contains("tls_options[:dhparam] is not used"), "{warnings:?}");
}
