//! Private keys in every form, and why some are refused.

use rustls::sign::SigningKey;
use rustls::SignatureAlgorithm;

use super::*;

const ORIGIN: Origin = Origin::Text("private_key");

fn load(pem: &str, passphrase: Option<&str>) -> Result<Arc<dyn SigningKey>, TlsError> {
    key::load(&text(pem, "private_key"), passphrase.map(str::as_bytes))
}

fn refusal(pem: &str, passphrase: Option<&str>) -> TlsError {
    load(pem, passphrase).expect_err("the key should be refused")
}

fn public_key(pem: &str, passphrase: Option<&str>) -> Vec<u8> {
    load(pem, passphrase).unwrap().public_key().unwrap().to_vec()
}

#[test]
fn every_form_of_one_key_is_that_key() {
    let ec = public_key(EC_PKCS8, None);
    assert_eq!(public_key(EC_SEC1, None), ec);
    for encrypted in [
        EC_AES128,
        EC_AES192,
        EC_AES256,
        EC_DES3,
        EC_PBES2_AES256,
        EC_PBES2_ONE_ROUND,
        EC_PBES2_DES3_SHA1,
        EC_SCRYPT,
    ] {
        assert_eq!(public_key(encrypted, Some(PASSPHRASE)), ec, "{encrypted}");
    }
    let rsa = public_key(RSA_PKCS8, None);
    assert_eq!(public_key(RSA_PKCS1, None), rsa);
    assert_eq!(public_key(RSA_AES256, Some(PASSPHRASE)), rsa);
    assert_ne!(rsa, ec);
}

#[test]
fn the_kinds_of_keys_that_can_be_served_with() {
    let algorithm = |pem| load(pem, None).unwrap().algorithm();
    assert_eq!(algorithm(RSA_PKCS8), SignatureAlgorithm::RSA);
    assert_eq!(algorithm(EC_PKCS8), SignatureAlgorithm::ECDSA);
    assert_eq!(algorithm(ED25519), SignatureAlgorithm::ED25519);
    let rsa = load(RSA_PKCS1, None).unwrap();
    assert!(rsa.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).is_some());
}

#[test]
fn a_passphrase_that_is_not_needed_does_no_harm() {
    assert_eq!(public_key(EC_PKCS8, Some("anything")), public_key(EC_PKCS8, None));
}

#[test]
fn comments_indentation_and_carriage_returns_do_no_harm() {
    let key = format!("Bag Attributes\n  localKeyID: 54\n{EC_AES256}\ntrailing words\n");
    for key in [key.replace('\n', "\r\n"), key.replace('\n', "\n    ")] {
        assert_eq!(public_key(&key, Some(PASSPHRASE)), public_key(EC_PKCS8, None));
    }
}

#[test]
fn the_passphrase_is_asked_for() {
    for encrypted in [EC_AES256, EC_PBES2_AES256, EC_SCRYPT, RSA_AES256] {
        let error = refusal(encrypted, None);
        assert_eq!(error, TlsError::PassphraseNeeded(ORIGIN));
        assert!(error.to_string().contains("pass tls_options[:private_key_pass]"));
    }
}

#[test]
fn wrong_passphrases_are_told_from_damage() {
    // Among so many there are some that leave a padding that looks right.
    for n in 0..1000 {
        for encrypted in [EC_PBES2_ONE_ROUND, EC_AES256, EC_DES3] {
            let error = refusal(encrypted, Some(&format!("wrong{n}")));
            assert_eq!(error, TlsError::WrongPassphrase(ORIGIN), "{n} {encrypted}");
        }
    }
    for encrypted in [EC_SCRYPT, EC_PBES2_DES3_SHA1, RSA_AES256] {
        assert_eq!(refusal(encrypted, Some("wrong")), TlsError::WrongPassphrase(ORIGIN));
    }
}

#[test]
fn encryption_that_is_not_supported_is_named() {
    for (encrypted, name) in [
        (EC_CAMELLIA, "CAMELLIA-128-CBC"),
        (EC_PBES1, "PBES1"),
        (EC_PKCS12, "1.2.840.113549.1.12.1.3"),
    ] {
        let expected = TlsError::UnsupportedEncryption(ORIGIN, name.to_owned());
        assert_eq!(refusal(encrypted, Some(PASSPHRASE)), expected);
    }
}

#[test]
fn kinds_of_keys_that_are_not_supported_are_named() {
    for (pem, kind) in [
        (RSA_1024, "RSA of another size or public exponent"),
        (ED448, "Ed448"),
        (P521, "on the curve secp521r1"),
        (SECP256K1_SEC1, "on another curve"),
        (OPENSSH, "\"OPENSSH PRIVATE KEY\""),
    ] {
        let expected = TlsError::UnsupportedKey(ORIGIN, kind.to_owned());
        assert_eq!(refusal(pem, None), expected);
    }
}

#[test]
fn no_key_and_damaged_keys() {
    assert_eq!(refusal(EC_CERT_V1, None), TlsError::NoKey(ORIGIN));
    assert_eq!(refusal("not PEM at all", None), TlsError::NoKey(ORIGIN));

    let (cut, _) = EC_PKCS8.split_once("-----END").unwrap();
    let truncated = EC_PKCS8.lines().take(2).chain(EC_PKCS8.lines().last());
    let truncated = truncated.collect::<Vec<_>>().join("\n");
    let no_iv = EC_AES256.lines().map(|line| match line.split_once(',') {
        Some(("DEK-Info: AES-256-CBC", _)) => "DEK-Info: AES-256-CBC",
        _ => line,
    });
    let no_iv = no_iv.collect::<Vec<_>>().join("\n");
    for damaged in [
        cut.to_owned(),
        truncated,
        no_iv,
        EC_PKCS8.replace('M', "*"),
        EC_PBES2_AES256.replace("ENCRYPTED ", ""),
        EC_PKCS8.replace("PRIVATE", "EC PRIVATE").replace("MI", "AI"),
        EC_PKCS8.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    ] {
        let error = refusal(&damaged, Some(PASSPHRASE));
        assert!(matches!(error, TlsError::Malformed(ORIGIN, _)), "{damaged}\n{error:?}");
    }
}

/// A name with key material behind it, as where line breaks are lost.
#[test]
fn a_server_name_that_is_too_long_is_not_told() {
    let (_, secret) = EC_AES256.split_once("\n\n").unwrap();
    let secret = secret.lines().next().unwrap();
    for damaged in [
        EC_AES256.replace("AES-256-CBC,", &format!("AES-256-CBC{secret},")),
        EC_AES256.replace("BEGIN EC PRIVATE", &format!("BEGIN EC {secret} PRIVATE")),
        EC_AES256.replace("END EC PRIVATE", &format!("END EC {secret} PRIVATE")),
        EC_AES256.replace("EC PRIVATE", &format!("EC {secret} PRIVATE")),
        format!("-----END {secret}-----\n{EC_AES256}").replace("AES-256-CBC,", "AES-256-CBC"),
    ] {
        let error = refusal(&damaged, Some(PASSPHRASE));
        assert!(!error.to_string().contains(secret), "{damaged}\n{error}");
    }
}
