//! Reasons for which no TLS configuration could be made; every text names the option and says what
//! to do.

use std::fmt;
use std::path::PathBuf;

/// Origin of a certificate or a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A file, and the option that named it.
    File(PathBuf, &'static str),
    /// An option that held the PEM text itself.
    Text(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, option) => write!(f, "{} (tls_options[:{option}])", path.display()),
            Self::Text(option) => write!(f, "tls_options[:{option}]"),
        }
    }
}

/// Error in the TLS options, or in what they name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The file does not exist.
    #[error("could not find {0}: check the path")]
    FileMissing(Origin),
    /// The file exists and cannot be read; why.
    #[error("could not read {0}: {1}")]
    FileUnreadable(Origin, String),
    /// The same thing was given as a file and as a string: the names of the two options.
    #[error("specify either tls_options[:{0}] or tls_options[:{1}], not both")]
    BothGiven(&'static str, &'static str),
    /// A key, but no certificate for it.
    #[error(
        "a private key was given without its certificate: \
         pass tls_options[:cert_chain_file] or [:cert] too"
    )]
    KeyWithoutCertificate,
    /// A certificate, but not its key.
    #[error(
        "a certificate was given without its private key: \
         pass tls_options[:private_key_file] or [:private_key] too"
    )]
    CertificateWithoutKey,
    /// There is no PEM certificate in it.
    #[error("no certificate in {0}: PEM is expected, with \"-----BEGIN CERTIFICATE-----\"")]
    NoCertificate(Origin),
    /// There is no PEM private key in it.
    #[error("no private key in {0}: PEM is expected, with \"-----BEGIN PRIVATE KEY-----\"")]
    NoKey(Origin),
    /// The PEM or what it encloses is damaged; how.
    #[error("{0} is damaged: {1}")]
    Malformed(Origin, String),
    /// A text of which every character has two bytes.
    #[error("{0} is UTF-16, which is no PEM: save it as UTF-8 or ASCII")]
    Utf16(Origin),
    /// The key is encrypted, and there is no passphrase.
    #[error("the private key in {0} is encrypted: pass tls_options[:private_key_pass]")]
    PassphraseNeeded(Origin),
    /// The passphrase does not open the key.
    #[error("tls_options[:private_key_pass] is not the passphrase of the private key in {0}")]
    WrongPassphrase(Origin),
    /// The key is encrypted in a way that is not known here; its name, or its object identifier.
    #[error(
        "the private key in {0} is encrypted with {1}, which is not supported: \
         convert it with \"openssl pkcs8 -topk8 -v2 aes-256-cbc\""
    )]
    UnsupportedEncryption(Origin, String),
    /// A kind or size of key that cannot be served with.
    #[error(
        "the private key in {0} is {1}, which is not supported: use ECDSA (P-256 or P-384), \
         RSA (2048 to 4096 bits) or Ed25519, in a \"PRIVATE KEY\" of PKCS#8"
    )]
    UnsupportedKey(Origin, String),
    /// The key is not the certificate's.
    #[error(
        "the private key in {key} does not match the certificate in {certificate}: \
         the server's own certificate must come first in the chain"
    )]
    KeyMismatch {
        /// Origin of the key.
        key: Origin,
        /// Origin of the certificate.
        certificate: Origin,
    },
    /// A cipher list of which nothing remains that could be spoken.
    #[error(
        "tls_options[:cipher_list] {0:?} leaves no usable cipher suite: \
         name one such as ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256 or \
         TLS_AES_128_GCM_SHA256, or leave the option out"
    )]
    NoUsableCipher(String),
    /// A name that is no version of TLS.
    #[error("tls_options[:ssl_version] {0:?} is not known: use TLSv1_2, TLSv1_3 or both")]
    UnknownVersion(String),
    /// Only versions that are no longer spoken.
    #[error(
        "tls_options[:ssl_version] ({0}) leaves nothing to speak: \
         allow TLSv1_2, TLSv1_3 or both (SSL, TLS 1.0 and 1.1 are no longer spoken)"
    )]
    NoUsableVersion(String),
    /// A name that is no curve, or one of a curve that is not spoken.
    #[error("tls_options[:ecdh_curve] {0:?} is not known: use X25519, prime256v1 or secp384r1")]
    UnknownCurve(String),
    /// A `client_ca_file` without a name.
    #[error("tls_options[:client_ca_file] is empty: pass a path, or leave it out")]
    EmptyClientCa,
    /// An error of one host's certificate.
    #[error("tls_options[:hosts][{0:?}]: {1}")]
    Host(String, #[source] Box<TlsError>),
    /// A host with neither certificate nor key.
    #[error("no certificate was given: pass :cert_chain_file and :private_key_file")]
    HostWithoutCertificate,
    /// A name that no client can ask for.
    #[error(
        "tls_options[:hosts]: {0:?} is no host name: use one such as \"a.example\", \
         \"*.example\" for all below it, or \".example\" for both"
    )]
    InvalidHost(String),
    /// A name that has two certificates.
    #[error("tls_options[:hosts]: {0:?} has a certificate already")]
    RepeatedHost(String),
    /// The TLS library refused, for a reason that no option explains.
    #[error("TLS could not be set up: {0}")]
    Setup(String),
}

impl TlsError {
    /// True if a file is missing, a host's too.
    pub fn is_file_missing(&self) -> bool {
        match self {
            Self::FileMissing(_) => true,
            Self::Host(_, error) => error.is_file_missing(),
            _ => false,
        }
    }

    pub(super) fn setup(error: impl fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }
}
