//! `hosts`: the certificate by the name that a client asks for.

use super::*;

fn host(identity: &Identity) -> TlsHost {
    TlsHost {
        cert: Some(identity.cert.clone().into()),
        private_key: Some(identity.key.clone().into()),
        ..TlsHost::default()
    }
}

fn with_hosts(hosts: &[(&str, TlsHost)]) -> TlsOptions {
    let hosts = hosts.iter().map(|(name, host)| ((*name).to_owned(), host.clone())).collect();
    TlsOptions { hosts, ..Identity::ecdsa().options() }
}

#[test]
fn each_host_has_its_own_certificate_and_the_servers_options() {
    let (ecdsa, rsa) = (Identity::ecdsa(), Identity::fixture(RSA_PKCS8));
    let options = TlsOptions {
        verify_peer: true,
        fail_if_no_peer_cert: Some(true),
        cipher_list: Some("HIGH:NOPE".into()),
        ..with_hosts(&[("a.example", host(&ecdsa)), ("*.example", host(&rsa))])
    };
    let made = server_config(&options).unwrap();
    assert_eq!(made.warnings.len(), 1, "{:?}", made.warnings);
    let hosts = made.hosts.unwrap();
    for (name, identity) in [("a.example", &ecdsa), ("b.example", &rsa)] {
        let config = hosts.get(name).unwrap();
        for version in VERSIONS {
            let client_identity = Identity::ecdsa();
            let shown = certificate::chain(&text(&client_identity.cert, "cert")).unwrap();
            let key = key::load(&text(&client_identity.key, "private_key"), None).unwrap();
            let certified = CertifiedKey::new(shown, key);
            let pair = handshake(&client_with(version, Some(certified)), config).unwrap();
            let expected = certificate::chain(&text(&identity.cert, "cert")).unwrap();
            assert_eq!(pair.client.peer_certificates().unwrap(), expected);
            // Nobody gets round it by asking for another name.
            let error = handshake(&client(version), config).err();
            assert_eq!(error, Some(Error::NoCertificatesPresented));
        }
    }
}

#[test]
fn a_server_without_hosts_has_none() {
    assert!(server_config(&Identity::ecdsa().options()).unwrap().hosts.is_none());
}

#[test]
fn what_is_wrong_with_a_host_names_it() {
    let good = host(&Identity::ecdsa());
    let keyless = TlsHost { private_key: None, ..good.clone() };
    let mismatched = TlsHost { private_key: Some(Identity::ecdsa().key.into()), ..good.clone() };
    let missing = TlsHost {
        cert_chain_file: Some("/nowhere/chain.pem".into()),
        private_key_file: Some("/nowhere/key.pem".into()),
        ..TlsHost::default()
    };
    let empty = TlsHost { cert: Some(Vec::new()), ..TlsHost::default() };
    for (host, expected) in [
        (keyless, "a certificate was given without its private key"),
        (mismatched, "does not match the certificate"),
        (missing.clone(), "could not find /nowhere/chain.pem (tls_options[:cert_chain_file])"),
        (empty, "no certificate was given: pass :cert_chain_file"),
    ] {
        let error = refusal(&with_hosts(&[("ok.example", good.clone()), ("a.example", host)]));
        let error = error.to_string();
        let named = error.strip_prefix("tls_options[:hosts][\"a.example\"]: ");
        assert!(named.is_some_and(|rest| rest.contains(expected)), "{error}");
    }
    assert!(refusal(&with_hosts(&[("a.example", missing)])).is_file_missing());
    assert_eq!(
        refusal(&with_hosts(&[("no name", good.clone())])),
        TlsError::InvalidHost("no name".into())
    );
    assert_eq!(
        refusal(&with_hosts(&[("a.example", good.clone()), ("A.example", good)])),
        TlsError::RepeatedHost("A.example".into())
    );
}

#[test]
fn a_hosts_secrets_stay_out_of_debug_output() {
    let host = TlsHost {
        private_key: Some("SECRET key".into()),
        private_key_pass: Some("SECRET pass".into()),
        ..TlsHost::default()
    };
    let debug = format!("{:?}", with_hosts(&[("a.example", host)]));
    assert!(debug.contains("a.example") && !debug.contains("SECRET"), "{debug}");
}
