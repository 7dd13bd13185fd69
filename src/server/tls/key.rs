//! Private keys, plain and encrypted, in every form that OpenSSL writes.

use std::sync::Arc;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{
    BlockCipherDecrypt, BlockModeDecrypt, BlockSizeUser, KeyInit, KeyIvInit, KeySizeUser,
};
use aes::{Aes128, Aes192, Aes256};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{Decode, Reader, Tag, Tagged};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;

use super::error::TlsError;
use super::pem::{Block, Source};

/// The first private key of the source.
pub(super) fn load(
    source: &Source,
    passphrase: Option<&str>,
) -> Result<Arc<dyn SigningKey>, TlsError> {
    let blocks = source.blocks()?;
    let block = blocks
        .iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
        .ok_or_else(|| TlsError::NoKey(source.origin.clone()))?;
    let passphrase = || passphrase.ok_or_else(|| TlsError::PassphraseNeeded(source.origin.clone()));
    let der = source.decode(block)?;
    let der = match (block.label, block.header("DEK-Info")) {
        ("ENCRYPTED PRIVATE KEY", _) => decrypt_pkcs8(&der, passphrase()?, source)?,
        (_, Some(dek_info)) => decrypt_traditional(&der, dek_info, passphrase()?, source)?,
        (_, None) => der,
    };
    signing_key(block, der, source)
}

fn signing_key(
    block: &Block<'_>,
    der: Vec<u8>,
    source: &Source,
) -> Result<Arc<dyn SigningKey>, TlsError> {
    let unsupported = |kind: String| TlsError::UnsupportedKey(source.origin.clone(), kind);
    let (key, kind) = match block.label {
        "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
            let kind = PrivateKeyInfoRef::try_from(der.as_slice())
                .map(|info| kind_of(&info.algorithm))
                .map_err(|error| source.damaged(error.to_string()))?;
            (PrivateKeyDer::Pkcs8(der.into()), kind)
        }
        "RSA PRIVATE KEY" => (PrivateKeyDer::Pkcs1(der.into()), RSA.to_owned()),
        "EC PRIVATE KEY" => (
            PrivateKeyDer::Sec1(der.into()),
            "on another curve".to_owned(),
        ),
        other => return Err(unsupported(format!("\"{other}\""))),
    };
    if !is_sequence(key.secret_der()) {
        return Err(source.damaged(format!("\"{}\" is not DER", block.label)));
    }
    any_supported_type(&key).map_err(|_| unsupported(kind))
}

const RSA: &str = "RSA of another size or public exponent";

/// What a key that was refused is, in words.
fn kind_of(algorithm: &AlgorithmIdentifierRef<'_>) -> String {
    match algorithm.oids() {
        Ok((oid, parameter)) => match (oid.to_string().as_str(), parameter) {
            ("1.2.840.113549.1.1.1", _) => RSA.to_owned(),
            ("1.2.840.113549.1.1.10", _) => "RSA-PSS".to_owned(),
            ("1.2.840.10040.4.1", _) => "DSA".to_owned(),
            ("1.3.101.113", _) => "Ed448".to_owned(),
            ("1.2.840.10045.2.1", Some(curve)) => match curve.to_string().as_str() {
                "1.3.132.0.35" => "on the curve secp521r1".to_owned(),
                "1.3.132.0.10" => "on the curve secp256k1".to_owned(),
                other => format!("on the curve {other}"),
            },
            (other, _) => format!("of the kind {other}"),
        },
        Err(_) => format!("of the kind {}", algorithm.oid),
    }
}

/// PKCS#8's own encryption (RFC 5958 section 3), as far as it is PBES2 (RFC 8018 section 6.2).
fn decrypt_pkcs8(der: &[u8], passphrase: &str, source: &Source) -> Result<Vec<u8>, TlsError> {
    use pkcs8::pkcs5::Error as Pkcs5;
    use pkcs8::Error as Pkcs8;

    let unsupported = |name: String| TlsError::UnsupportedEncryption(source.origin.clone(), name);
    // An algorithm that is not known makes the whole unreadable, so its name is looked up by hand.
    let (algorithm, _) = encrypted_parts(der)
        .map_err(|error| source.damaged(format!("\"ENCRYPTED PRIVATE KEY\": {error}")))?;
    let Ok(info) = EncryptedPrivateKeyInfoRef::try_from(der) else {
        return Err(unsupported(algorithm.oid.to_string()));
    };
    let plain = match info.decrypt(passphrase) {
        Ok(plain) => plain,
        Err(Pkcs8::EncryptedPrivateKey(
            Pkcs5::UnsupportedAlgorithm { oid } | Pkcs5::AlgorithmParametersInvalid { oid },
        )) => return Err(unsupported(oid.to_string())),
        Err(Pkcs8::EncryptedPrivateKey(Pkcs5::NoPbes1CryptSupport)) => {
            return Err(unsupported("PBES1".to_owned()));
        }
        Err(_) => return Err(TlsError::WrongPassphrase(source.origin.clone())),
    };
    // One wrong passphrase in 256 leaves a padding that looks right.
    match PrivateKeyInfoRef::try_from(plain.as_bytes()) {
        Ok(_) => Ok(plain.as_bytes().to_vec()),
        Err(_) => Err(TlsError::WrongPassphrase(source.origin.clone())),
    }
}

fn encrypted_parts(
    der: &[u8],
) -> pkcs8::der::Result<(AlgorithmIdentifierRef<'_>, &OctetStringRef)> {
    AnyRef::from_der(der)?.sequence(|fields| Ok((fields.decode()?, fields.decode()?)))
}

/// OpenSSL's older encryption of whatever the label says: RFC 1421 section 4.6.1.3, with the key
/// derived from the passphrase by one round of MD5.
fn decrypt_traditional(
    data: &[u8],
    dek_info: &str,
    passphrase: &str,
    source: &Source,
) -> Result<Vec<u8>, TlsError> {
    let (algorithm, iv) = dek_info.split_once(',').unwrap_or((dek_info, ""));
    let decrypt = match algorithm {
        "AES-128-CBC" => decrypt_cbc::<Aes128>,
        "AES-192-CBC" => decrypt_cbc::<Aes192>,
        "AES-256-CBC" => decrypt_cbc::<Aes256>,
        "DES-EDE3-CBC" => decrypt_cbc::<TdesEde3>,
        other => {
            return Err(TlsError::UnsupportedEncryption(
                source.origin.clone(),
                other.to_owned(),
            ))
        }
    };
    let iv = base16(iv)
        .filter(|iv| iv.len() >= SALT)
        .ok_or_else(|| source.damaged("DEK-Info has no initialization vector"))?;
    // One wrong passphrase in 256 leaves a padding that looks right.
    decrypt(data, passphrase.as_bytes(), &iv)
        .filter(|plain| is_sequence(plain))
        .ok_or_else(|| TlsError::WrongPassphrase(source.origin.clone()))
}

/// The initialization vector's first bytes serve as salt.
const SALT: usize = 8;

fn decrypt_cbc<C>(data: &[u8], passphrase: &[u8], iv: &[u8]) -> Option<Vec<u8>>
where
    C: BlockCipherDecrypt + BlockSizeUser + KeyInit + KeySizeUser,
{
    let mut key = Vec::new();
    let mut round = Vec::new();
    while key.len() < C::key_size() {
        let digest = Md5::new().chain_update(&round).chain_update(passphrase);
        round = digest.chain_update(&iv[..SALT]).finalize().to_vec();
        key.extend_from_slice(&round);
    }
    key.truncate(C::key_size());
    let mut plain = data.to_vec();
    let cipher = cbc::Decryptor::<C>::new_from_slices(&key, iv).ok()?;
    let length = cipher.decrypt_padded::<Pkcs7>(&mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

fn base16(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn is_sequence(der: &[u8]) -> bool {
    AnyRef::from_der(der).is_ok_and(|any| any.tag() == Tag::Sequence)
}

#[cfg(test)]
mod tests {
    use rustls::{SignatureAlgorithm, SignatureScheme};

    use super::super::error::Origin;
    use super::super::fixtures::*;
    use super::*;

    const ORIGIN: Origin = Origin::Text("private_key");

    fn load(pem: &str, passphrase: Option<&str>) -> Result<Arc<dyn SigningKey>, TlsError> {
        super::load(&Source::text(pem, "private_key"), passphrase)
    }

    fn refusal(pem: &str, passphrase: Option<&str>) -> TlsError {
        load(pem, passphrase)
            .err()
            .expect("the key should be refused")
    }

    fn public_key(pem: &str, passphrase: Option<&str>) -> Vec<u8> {
        load(pem, passphrase)
            .unwrap()
            .public_key()
            .unwrap()
            .to_vec()
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
        assert!(rsa
            .choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])
            .is_some());
    }

    #[test]
    fn a_passphrase_that_is_not_needed_does_no_harm() {
        assert_eq!(
            public_key(EC_PKCS8, Some("anything")),
            public_key(EC_PKCS8, None)
        );
    }

    #[test]
    fn comments_indentation_and_carriage_returns_do_no_harm() {
        let key = format!("Bag Attributes\n  localKeyID: 54\n{EC_AES256}\ntrailing words\n");
        for key in [key.replace('\n', "\r\n"), key.replace('\n', "\n    ")] {
            assert_eq!(
                public_key(&key, Some(PASSPHRASE)),
                public_key(EC_PKCS8, None)
            );
        }
    }

    #[test]
    fn the_passphrase_is_asked_for() {
        for encrypted in [EC_AES256, EC_PBES2_AES256, EC_SCRYPT, RSA_AES256] {
            let error = refusal(encrypted, None);
            assert_eq!(error, TlsError::PassphraseNeeded(ORIGIN));
            assert!(error
                .to_string()
                .contains("pass tls_options[:private_key_pass]"));
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
            assert_eq!(
                refusal(encrypted, Some("wrong")),
                TlsError::WrongPassphrase(ORIGIN)
            );
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
            EC_PKCS8
                .replace("PRIVATE", "EC PRIVATE")
                .replace("MI", "AI"),
            EC_PKCS8.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        ] {
            let error = refusal(&damaged, Some(PASSPHRASE));
            assert!(
                matches!(error, TlsError::Malformed(ORIGIN, _)),
                "{damaged}\n{error:?}"
            );
        }
    }
}
