//! Certificates and keys in files.

use std::path::Path;

use super::*;

/// A directory of its own, removed with the value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("em-websocket-tls-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Option<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_certificate_and_a_key_in_files() {
    let directory = Directory::new("good");
    let identity = Identity::ecdsa();
    let comment = b"Andr\xE9 made this\n".to_vec();
    let options = TlsOptions {
        cert_chain_file: directory.write("crt", [&comment, identity.cert.as_bytes()].concat()),
        private_key_file: directory.write("key", &identity.key),
        cert: Some(String::new()),
        private_key: Some(String::new()),
        ..TlsOptions::default()
    };
    handshake(&client(&version::TLS13), &server(&options)).unwrap().talk();

    let both = directory.write("both.pem", identity.key.clone() + &identity.cert);
    let options = TlsOptions {
        cert_chain_file: both.clone(),
        private_key_file: both,
        ..TlsOptions::default()
    };
    handshake(&client(&version::TLS13), &server(&options)).unwrap().talk();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = Directory::new("bad");
    let identity = Identity::ecdsa();
    let certificate = directory.write("crt", &identity.cert);
    let refuse = |cert_chain_file: &Option<PathBuf>, private_key_file: &Option<PathBuf>| {
        let (cert_chain_file, private_key_file) =
            (cert_chain_file.clone(), private_key_file.clone());
        refusal(&TlsOptions { cert_chain_file, private_key_file, ..TlsOptions::default() })
    };
    let missing = Some(directory.0.join("missing.pem"));
    let key = directory.write("key", &identity.key);
    let other = directory.write("other", Identity::ecdsa().key);
    let unreadable = Some(directory.0.clone());
    let damaged = directory.write("damaged", identity.cert.replace("MI", "!!"));
    let not_der = directory.write("not_der", pem("CERTIFICATE", b"\x30\x82"));

    for (error, expected) in [
        (refuse(&missing, &key), "could not find {dir}/missing.pem (tls_options[:cert_chain_f"),
        (refuse(&certificate, &missing), "missing.pem (tls_options[:private_key_file]): check"),
        (refuse(&unreadable, &key), "could not read {dir} (tls_options[:cert_chain_file]): "),
        (refuse(&key, &key), "no certificate in {dir}/key (tls_options[:cert_chain_file])"),
        (refuse(&certificate, &certificate), "no private key in {dir}/crt (tls_options[:priv"),
        (refuse(&damaged, &key), "{dir}/damaged (tls_options[:cert_chain_file]) is damaged"),
        (refuse(&not_der, &key), "{dir}/not_der (tls_options[:cert_chain_file]) is damaged"),
        (refuse(&certificate, &other), "{dir}/other (tls_options[:private_key_file]) does not"),
        (refuse(&certificate, &None), "pass tls_options[:private_key_file] or [:private_key]"),
        (refuse(&None, &key), "pass tls_options[:cert_chain_file] or [:cert] too"),
    ] {
        let expected = expected.replace("{dir}", directory.0.to_str().unwrap());
        assert!(error.to_string().contains(&expected), "{error}\nis not\n{expected}");
    }
}

#[test]
fn a_file_and_a_string_are_one_too_many() {
    let options = Identity::ecdsa().options();
    let file = Some(Path::new("anything").to_owned());
    let two_certs = TlsOptions { cert_chain_file: file.clone(), ..options.clone() };
    assert_eq!(refusal(&two_certs), TlsError::BothGiven("cert_chain_file", "cert"));
    let two_keys = TlsOptions { private_key_file: file, ..options };
    assert_eq!(refusal(&two_keys), TlsError::BothGiven("private_key_file", "private_key"));
}
