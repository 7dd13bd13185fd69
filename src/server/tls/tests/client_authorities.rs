//! `client_ca_file`: whose certificates are taken.

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

use super::{files::Directory, *};

/// Somebody who issues certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert: CertificateDer<'static>,
}

impl Authority {
    fn root() -> Self {
        let (params, key) = Self::parts();
        let cert = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), cert }
    }

    fn below(&self) -> Self {
        let (params, key) = Self::parts();
        let cert = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), cert }
    }

    fn parts() -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let name = format!("authority {:x?}", key.public_key_raw());
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params, key)
    }

    /// A client's certificate, with what leads to the authority behind it.
    fn issue(
        &self,
        change: impl FnOnce(&mut CertificateParams),
        above: &[&Authority],
    ) -> CertifiedKey {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["client".to_owned()]).unwrap();
        change(&mut params);
        let own = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let above = above.iter().map(|authority| authority.cert.clone());
        certified(std::iter::once(own).chain(above).collect(), &key)
    }
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> CertifiedKey {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    CertifiedKey::new(chain, ring::sign::any_supported_type(&key).unwrap())
}

fn options(file: Option<PathBuf>) -> TlsOptions {
    TlsOptions { client_ca_file: file, ..Identity::ecdsa().options() }
}

/// The client's handshake, by what the server says of it.
fn outcome(
    version: &'static SupportedProtocolVersion,
    certified: Option<CertifiedKey>,
    server: &Arc<ServerConfig>,
) -> Result<bool, Error> {
    let mut pair = handshake(&client_with(version, certified), server)?;
    pair.talk();
    Ok(pair.server.peer_certificates().is_some())
}

#[test]
fn a_client_is_let_in_if_an_authority_of_the_file_has_issued_its_certificate() {
    let directory = Directory::new("authorities");
    let (root, other, stranger) = (Authority::root(), Authority::root(), Authority::root());
    let between = root.below();
    let file = pem("CERTIFICATE", &other.cert) + "a comment\n" + &pem("CERTIFICATE", &root.cert);
    let server = server(&options(directory.write("ca.pem", file)));
    let plain = |_: &mut CertificateParams| {};
    let old = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let used_for = |purpose: ExtendedKeyUsagePurpose| {
        |params: &mut CertificateParams| params.extended_key_usages = vec![purpose]
    };
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["client".to_owned()]).unwrap().self_signed(&own_key).unwrap();
    let mut stolen = root.issue(plain, &[]);
    stolen.key = root.issue(plain, &[]).key;
    for (certified, is_let_in, what) in [
        (root.issue(plain, &[]), true, "of the second authority"),
        (other.issue(plain, &[]), true, "of the first"),
        (between.issue(plain, &[&between]), true, "of an authority between, which is shown"),
        (between.issue(plain, &[]), false, "of an authority between, which is not shown"),
        (root.issue(used_for(ExtendedKeyUsagePurpose::ClientAuth), &[]), true, "for clients"),
        (root.issue(used_for(ExtendedKeyUsagePurpose::ServerAuth), &[]), false, "for servers"),
        (root.issue(old, &[]), false, "that has expired"),
        (stranger.issue(plain, &[]), false, "of a stranger"),
        (stranger.issue(plain, &[&stranger]), false, "of a stranger, who is shown"),
        (certified(vec![own.der().clone()], &own_key), false, "that is self-signed"),
        (stolen, false, "without its key"),
    ] {
        for version in VERSIONS {
            match outcome(version, Some(certified.clone()), &server) {
                Ok(has_shown) => assert!(is_let_in && has_shown, "{what}"),
                Err(Error::InvalidCertificate(_)) => assert!(!is_let_in, "{what}"),
                Err(error) => panic!("{what}: {error:?}"),
            }
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_let_in_only_where_that_is_said() {
    let directory = Directory::new("optional");
    let (root, stranger) = (Authority::root(), Authority::root());
    let file = directory.write("ca.pem", pem("CERTIFICATE", &root.cert));
    for verify_peer in [false, true] {
        for (fail_if_no_peer_cert, is_let_in) in
            [(None, false), (Some(true), false), (Some(false), true)]
        {
            let options = TlsOptions { verify_peer, fail_if_no_peer_cert, ..options(file.clone()) };
            assert_eq!(warnings(&options), [""; 0]);
            let server = server(&options);
            for version in VERSIONS {
                let expected =
                    if is_let_in { Ok(false) } else { Err(Error::NoCertificatesPresented) };
                assert_eq!(outcome(version, None, &server), expected);
                let issued = stranger.issue(|_| {}, &[]);
                assert!(outcome(version, Some(issued), &server).is_err());
            }
        }
    }
}

#[test]
fn a_file_without_authorities_is_an_error() {
    let directory = Directory::new("no-authorities");
    let missing = refusal(&options(Some(directory.write("none", "").unwrap().join("ca.pem"))));
    assert!(missing.to_string().contains("(tls_options[:client_ca_file])"), "{missing}");
    assert_eq!(refusal(&options(Some(PathBuf::new()))), TlsError::EmptyClientCa);
    for (text, expected) in [
        (String::new(), "no certificate in "),
        (Identity::ecdsa().key, "no certificate in "),
        (pem("CERTIFICATE", b"0"), " is damaged: "),
    ] {
        let error = refusal(&options(directory.write("ca.pem", text))).to_string();
        assert!(error.contains(expected) && error.contains("ca.pem (tls_options["), "{error}");
    }
}
