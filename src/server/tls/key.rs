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
use super::pem::{Block, Source, LONGEST_NAME};

/// The first private key of the source.
pub(super) fn load(
    source: &Source,
    passphrase: Option<&[u8]>,
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
        "EC PRIVATE KEY" => (PrivateKeyDer::Sec1(der.into()), "on another curve".to_owned()),
        other => return Err(unsupported(format!("\"{other}\""))),
    };
    if !is_sequence(key.secret_der()) {
        return Err(source.damaged(format!("\"{}\" is not DER", block.label)));
    }
    any_supported_type(&key).map_err(|_| unsupported(kind))
}

const RSA: &str = "RSA of another size or public exponent";

/// Kind of a key that was refused, in words.
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
fn decrypt_pkcs8(der: &[u8], passphrase: &[u8], source: &Source) -> Result<Vec<u8>, TlsError> {
    use pkcs8::pkcs5::Error as Pkcs5;
    use pkcs8::Error as Pkcs8;

    let unsupported = |name: String| TlsError::UnsupportedEncryption(source.origin.clone(), name);
    // An algorithm that is not known makes the whole unreadable, so its name is looked up by hand.
    let (algorithm, _) = encrypted_parts(der)
        .map_err(|error| source.damaged(format!("\"ENCRYPTED PRIVATE KEY\": {error}")))?;
    let Ok(info) = EncryptedPrivateKeyInfoRef::try_from(der) else {
        return Err(unsupported(algorithm.oid.to_string()));
    };
    match info.decrypt(passphrase) {
        Ok(plain) => Ok(plain.as_bytes().to_vec()),
        Err(Pkcs8::EncryptedPrivateKey(
            Pkcs5::UnsupportedAlgorithm { oid } | Pkcs5::AlgorithmParametersInvalid { oid },
        )) => Err(unsupported(oid.to_string())),
        Err(Pkcs8::EncryptedPrivateKey(Pkcs5::NoPbes1CryptSupport)) => {
            Err(unsupported("PBES1".to_owned()))
        }
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
    passphrase: &[u8],
    source: &Source,
) -> Result<Vec<u8>, TlsError> {
    let (algorithm, iv) = dek_info.split_once(',').unwrap_or((dek_info, ""));
    let decrypt = match algorithm {
        "AES-128-CBC" => decrypt_cbc::<Aes128>,
        "AES-192-CBC" => decrypt_cbc::<Aes192>,
        "AES-256-CBC" => decrypt_cbc::<Aes256>,
        "DES-EDE3-CBC" => decrypt_cbc::<TdesEde3>,
        other if other.len() > LONGEST_NAME => {
            return Err(source.damaged("DEK-Info names no algorithm"))
        }
        other => {
            return Err(TlsError::UnsupportedEncryption(source.origin.clone(), other.to_owned()))
        }
    };
    let iv = base16(iv)
        .filter(|iv| iv.len() >= SALT)
        .ok_or_else(|| source.damaged("DEK-Info has no initialization vector"))?;
    // One wrong passphrase in 256 leaves a padding that looks right.
    decrypt(data, passphrase, &iv)
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
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn is_sequence(der: &[u8]) -> bool {
    AnyRef::from_der(der).is_ok_and(|any| any.tag() == Tag::Sequence)
}
