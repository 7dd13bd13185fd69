//! EventMachine's `start_tls` options, as a rustls configuration.
//!
//! What is spoken is TLS 1.2 and 1.3 with the suites, curves and forward secrecy of Mozilla's
//! "intermediate" recommendation; the options can only narrow that. An option that cannot be
//! honoured is an error where the server would not be what was asked for, a warning where it is
//! harmless, and never passed over in silence.
//!
//! A [`TlsServer`] belongs to one set of options. Its tickets and sessions are its own, so what was
//! agreed under one set (above all: whether the client was asked for a certificate) is never
//! resumed under another.

mod accept;
mod certificate;
mod cipher;
mod error;
mod host;
mod key;
mod peer;
mod pem;
mod secured;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{ring, CryptoProvider, SupportedKxGroup};
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{version, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

pub(crate) use self::accept::Accepting;
pub use self::error::{Origin, TlsError};
pub use self::host::TlsHost;
use self::peer::AnyClientCert;
use self::pem::Source;
pub(crate) use self::secured::{Ahead, Secured};
pub use self::session::TlsSession;
use super::server_names::{NameError, ServerNames};

/// Options of `start_tls` for a server. An empty string or path counts as not given.
///
/// EventMachine's `:sni_hostname` has no counterpart: it is for clients, and ignored by servers.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct TlsOptions {
    /// PEM file with the private key.
    pub private_key_file: Option<PathBuf>,
    /// PEM file with the certificate, followed by the ones that lead to the authority.
    pub cert_chain_file: Option<PathBuf>,
    /// The private key itself, PEM; what stands around it may be in any encoding.
    pub private_key: Option<Vec<u8>>,
    /// The certificate itself, PEM; others may follow it.
    pub cert: Option<Vec<u8>>,
    /// The passphrase of an encrypted private key.
    pub private_key_pass: Option<Vec<u8>>,
    /// Ask the client for a certificate, for the application to judge: the handshake proves that
    /// the client holds its key, and accepts whoever issued it. Until the application has looked at
    /// the connection's `peer_certificates`, the client is anybody.
    pub verify_peer: bool,
    /// PEM file with the authorities of clients: a client whose certificate none of them has issued
    /// is refused in the handshake, before the application is asked. With or without `verify_peer`.
    pub client_ca_file: Option<PathBuf>,
    /// Refuse clients that present no certificate; by default that is so with `client_ca_file`.
    pub fail_if_no_peer_cert: Option<bool>,
    /// Cipher suites, in OpenSSL's syntax and by OpenSSL's names.
    pub cipher_list: Option<String>,
    /// The curves of the key exchange, by OpenSSL's names, separated by colons.
    pub ecdh_curve: Option<String>,
    /// A file of Diffie-Hellman parameters. Not used: only elliptic curves are spoken.
    pub dhparam: Option<PathBuf>,
    /// The versions that may be spoken: `TLSv1_2`, `TLSv1_3`.
    pub ssl_version: Option<Vec<String>>,
    /// Certificates by the name that a client asks for; one that asks for another name, or none,
    /// gets the certificate above.
    pub hosts: Vec<(String, TlsHost)>,
}

impl TlsOptions {
    /// True if some part of a certificate is given.
    fn has_certificate(&self) -> bool {
        let is_path =
            |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path != Path::new(""));
        let is_text = |text: &Option<Vec<u8>>| text.as_ref().is_some_and(|text| !text.is_empty());
        is_path(&self.cert_chain_file)
            || is_path(&self.private_key_file)
            || is_text(&self.cert)
            || is_text(&self.private_key)
    }
}

/// The private key and its passphrase do not belong into a log.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<Vec<u8>>| secret.as_ref().map(|_| "[hidden]");
        let cert = self.cert.as_deref().map(String::from_utf8_lossy);
        f.debug_struct("TlsOptions")
            .field("private_key_file", &self.private_key_file)
            .field("cert_chain_file", &self.cert_chain_file)
            .field("private_key", &hidden(&self.private_key))
            .field("cert", &cert)
            .field("private_key_pass", &hidden(&self.private_key_pass))
            .field("verify_peer", &self.verify_peer)
            .field("client_ca_file", &self.client_ca_file)
            .field("fail_if_no_peer_cert", &self.fail_if_no_peer_cert)
            .field("cipher_list", &self.cipher_list)
            .field("ecdh_curve", &self.ecdh_curve)
            .field("dhparam", &self.dhparam)
            .field("ssl_version", &self.ssl_version)
            .field("hosts", &self.hosts)
            .finish()
    }
}

/// A configuration to accept connections with.
#[derive(Clone, Debug)]
pub struct TlsServer {
    /// To be shared by all the connections that have these options, or none can be resumed.
    pub config: Arc<ServerConfig>,
    /// Likewise, those of the names that have their own.
    pub hosts: Option<Arc<ServerNames>>,
    /// Warnings of what could not be honoured but does no harm, one sentence each.
    pub warnings: Vec<String>,
}

/// Reads the files and settles what the options come to.
///
/// Without any certificate it is EventMachine's habit to serve with one that is built in; here it
/// is one made for this process, and a warning.
pub fn server_config(options: &TlsOptions) -> Result<TlsServer, TlsError> {
    let mut warnings = Vec::new();
    let config = config(options, &mut warnings)?;
    let hosts = hosts(options, &mut warnings)?;
    Ok(TlsServer { config, hosts, warnings })
}

fn hosts(
    options: &TlsOptions,
    warnings: &mut Vec<String>,
) -> Result<Option<Arc<ServerNames>>, TlsError> {
    if options.hosts.is_empty() {
        return Ok(None);
    }
    let mut names = ServerNames::default();
    let without_hosts = TlsOptions { hosts: Vec::new(), ..options.clone() };
    for (name, host) in &options.hosts {
        let in_host = |error| TlsError::Host(name.clone(), Box::new(error));
        let options = host.options(&without_hosts);
        if !options.has_certificate() {
            return Err(in_host(TlsError::HostWithoutCertificate));
        }
        let mut again = Vec::new();
        let config = config(&options, &mut again).map_err(in_host)?;
        names.add(name, &config).map_err(|error| match error {
            NameError::Invalid => TlsError::InvalidHost(name.clone()),
            NameError::Repeated => TlsError::RepeatedHost(name.clone()),
        })?;
        // Most are those of the options that all hosts have.
        again.retain(|warning| !warnings.contains(warning));
        warnings.append(&mut again);
    }
    Ok(Some(Arc::new(names)))
}

fn config(options: &TlsOptions, warnings: &mut Vec<String>) -> Result<Arc<ServerConfig>, TlsError> {
    let certified = certified_key(options, warnings)?;
    let (versions, suites) = versions_and_suites(options, &certified, warnings)?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: suites,
        kx_groups: curves(options.ecdh_curve.as_deref())?,
        ..ring::default_provider()
    });
    if options.dhparam.as_ref().is_some_and(|path| !path.as_os_str().is_empty()) {
        warnings.push(
            "tls_options[:dhparam] is not used: the key exchange is always over elliptic curves"
                .into(),
        );
    }
    let client_verifier = client_verifier(options, &provider, warnings)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(TlsError::setup)?;
    let builder = match client_verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    // RFC 6455 section 4.1: the opening handshake is HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Random keys that nobody else holds, replaced every six hours. Early data stays off.
    config.ticketer = ring::Ticketer::new().map_err(TlsError::setup)?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// Verifier of clients, if they are asked for a certificate.
fn client_verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    warnings: &mut Vec<String>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if let Some(path) = &options.client_ca_file {
        let is_optional = options.fail_if_no_peer_cert == Some(false);
        return peer::by_authorities(path, is_optional, provider).map(Some);
    }
    let is_mandatory = options.fail_if_no_peer_cert == Some(true);
    if options.verify_peer {
        return Ok(Some(Arc::new(AnyClientCert::new(is_mandatory, provider))));
    }
    if is_mandatory {
        warnings.push(
            "tls_options[:fail_if_no_peer_cert] has no effect without :verify_peer => true or a \
             :client_ca_file"
                .into(),
        );
    }
    Ok(None)
}

fn certified_key(
    options: &TlsOptions,
    warnings: &mut Vec<String>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = Source::read(
        (options.cert_chain_file.as_deref(), "cert_chain_file"),
        (options.cert.as_deref(), "cert"),
    )?;
    let key = Source::read(
        (options.private_key_file.as_deref(), "private_key_file"),
        (options.private_key.as_deref(), "private_key"),
    )?;
    let (chain_source, key_source) = match (chain, key) {
        (Some(chain), Some(key)) => (chain, key),
        (Some(_), None) => return Err(TlsError::CertificateWithoutKey),
        (None, Some(_)) => return Err(TlsError::KeyWithoutCertificate),
        (None, None) => {
            warnings.push(
                "no certificate was given, so a self-signed one was made for this process, which \
                 no client trusts: pass tls_options[:cert_chain_file] and [:private_key_file]"
                    .into(),
            );
            return certificate::self_signed();
        }
    };
    let chain = certificate::chain(&chain_source)?;
    let passphrase = options.private_key_pass.as_deref().filter(|pass| !pass.is_empty());
    let key = key::load(&key_source, passphrase)?;
    let certified = CertifiedKey::new(chain, key);
    if certificate::belongs_to(&certified, &chain_source)? {
        Ok(Arc::new(certified))
    } else {
        Err(TlsError::KeyMismatch { key: key_source.origin, certificate: chain_source.origin })
    }
}

type Versions = Vec<&'static SupportedProtocolVersion>;

/// A suite may need a kind of key, and a version needs a suite; so they are settled together.
fn versions_and_suites(
    options: &TlsOptions,
    certified: &CertifiedKey,
    warnings: &mut Vec<String>,
) -> Result<(Versions, Vec<SupportedCipherSuite>), TlsError> {
    let mut versions = versions(options.ssl_version.as_deref(), warnings)?;
    let list = options.cipher_list.as_deref().filter(|list| !list.trim().is_empty());
    let mut suites = match list {
        None => ring::DEFAULT_CIPHER_SUITES.to_vec(),
        Some(list) => {
            let selection = cipher::select(list)?;
            if !selection.left_out.is_empty() {
                warnings.push(format!(
                    "tls_options[:cipher_list]: not available here and left out: {}",
                    selection.left_out.join(", ")
                ));
            }
            selection.suites
        }
    };
    suites.retain(|suite| suite.usable_for_signature_algorithm(certified.key.algorithm()));
    let wanted_tls12 = versions.contains(&&version::TLS12);
    versions.retain(|version| suites.iter().any(|suite| suite.version() == *version));
    if versions.is_empty() {
        return Err(TlsError::NoUsableCipher(list.unwrap_or_default().to_owned()));
    }
    if wanted_tls12 && !versions.contains(&&version::TLS12) {
        warnings.push(
            "tls_options[:cipher_list] leaves no cipher suite for TLS 1.2 with this kind of key: \
             only clients that speak TLS 1.3 can connect"
                .into(),
        );
    }
    Ok((versions, suites))
}

fn versions(names: Option<&[String]>, warnings: &mut Vec<String>) -> Result<Versions, TlsError> {
    let Some(names) = names else {
        return Ok(vec![&version::TLS13, &version::TLS12]);
    };
    let mut versions = Versions::new();
    let mut unspoken = Vec::new();
    for name in names {
        let version = match name.to_ascii_lowercase().replace('.', "_").as_str() {
            "tlsv1_3" => &version::TLS13,
            "tlsv1_2" => &version::TLS12,
            "sslv2" | "sslv3" | "tlsv1" | "tlsv1_0" | "tlsv1_1" => {
                unspoken.push(name.as_str());
                continue;
            }
            _ => return Err(TlsError::UnknownVersion(name.clone())),
        };
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    if versions.is_empty() {
        return Err(TlsError::NoUsableVersion(names.join(", ")));
    }
    if !unspoken.is_empty() {
        warnings.push(format!(
            "tls_options[:ssl_version]: {} is no longer spoken (TLS 1.2 and 1.3 are)",
            unspoken.join(", ")
        ));
    }
    Ok(versions)
}

fn curves(names: Option<&str>) -> Result<Vec<&'static dyn SupportedKxGroup>, TlsError> {
    let Some(names) = names.filter(|names| !names.trim().is_empty()) else {
        return Ok(ring::default_provider().kx_groups);
    };
    names
        .split(':')
        .map(|name| match name.trim().to_ascii_lowercase().as_str() {
            "x25519" => Ok(ring::kx_group::X25519),
            "prime256v1" | "secp256r1" | "p-256" => Ok(ring::kx_group::SECP256R1),
            "secp384r1" | "p-384" => Ok(ring::kx_group::SECP384R1),
            _ => Err(TlsError::UnknownCurve(name.to_owned())),
        })
        .collect()
}
