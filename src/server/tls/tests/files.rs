//! Certificates and keys in files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;

/// A directory of its own, removed with the value.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(name: &str) -> Self {
        let name = format!("em-websocket-tls-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Option<PathBuf> {
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
        cert: Some(Vec::new()),
        private_key: Some(Vec::new()),
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

/// Forms that editors, `cat` and Windows give to a PEM.
fn dresses(pem: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mark = b"\xEF\xBB\xBF".as_slice();
    let pem = pem.as_bytes();
    let crlf: Vec<u8> = pem
        .iter()
        .flat_map(|byte| [b"\r\n", &[*byte][..]][usize::from(*byte != b'\n')].to_vec())
        .collect();
    vec![
        ("a byte order mark", [mark, pem].concat()),
        (
            "a byte order mark behind a file that was joined",
            [b"joined\n".as_slice(), mark, pem].concat(),
        ),
        ("CRLF", crlf.clone()),
        ("CRLF and a byte order mark", [mark, &crlf].concat()),
        ("a comment in Latin-1", [b"subject=/CN=Andr\xE9\n".as_slice(), pem].concat()),
        (
            "text around it",
            [b"Bag Attributes\n\n".as_slice(), pem, b"\nthe end".as_slice()].concat(),
        ),
        ("NULs behind it", [pem, b"\0\0\0\0".as_slice()].concat()),
        ("NULs in its last line", [pem.trim_ascii_end(), b"\0\0".as_slice()].concat()),
        ("no line break at its end", pem.trim_ascii_end().to_vec()),
        ("Latin-1 behind it", [pem.trim_ascii_end(), b" \xE9\n".as_slice()].concat()),
    ]
}

#[test]
fn pem_is_taken_however_it_is_dressed_up() {
    let directory = Directory::new("dressed");
    let identity = Identity::ecdsa();
    for ((how, cert), (_, key)) in dresses(&identity.cert).into_iter().zip(dresses(&identity.key)) {
        let options = TlsOptions {
            cert_chain_file: directory.write("crt", &cert),
            private_key_file: directory.write("key", &key),
            ..TlsOptions::default()
        };
        assert!(server_config(&options).is_ok(), "{how}: {:?}", server_config(&options).err());
        let options =
            TlsOptions { cert: Some(cert), private_key: Some(key), ..TlsOptions::default() };
        assert!(server_config(&options).is_ok(), "{how}: {:?}", server_config(&options).err());
    }
}

#[test]
fn every_certificate_of_files_that_were_joined_is_sent() {
    let pems = [Identity::ecdsa().cert, Identity::ecdsa().cert];
    let joined = pems.map(|pem| format!("\u{feff}{pem}")).concat();
    assert_eq!(certificate::chain(&text(&joined, "cert")).unwrap().len(), 2);
}

#[test]
fn utf_16_is_said_to_be_no_pem() {
    let identity = Identity::ecdsa();
    let units = |mark: &str| format!("{mark}{}", identity.cert).encode_utf16().collect::<Vec<_>>();
    for (mark, swap) in [("", false), ("", true), ("\u{feff}", false), ("\u{feff}", true)] {
        let unit = |unit: u16| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() };
        let cert = units(mark).into_iter().flat_map(unit).collect();
        let options = TlsOptions { cert: Some(cert), ..identity.options() };
        assert_eq!(refusal(&options), TlsError::Utf16(Origin::Text("cert")));
    }
}

#[test]
fn a_path_need_not_be_utf_8() {
    let directory = Directory::new("path");
    let identity = Identity::ecdsa();
    let path = directory.0.join(OsStr::from_bytes(b"k\xE9y"));
    std::fs::write(&path, &identity.key).unwrap();
    let options = TlsOptions {
        private_key_file: Some(path.clone()),
        private_key: None,
        ..identity.options()
    };
    assert!(server_config(&options).is_ok());
    std::fs::remove_file(path).unwrap();
    assert!(refusal(&options).to_string().contains("(tls_options[:private_key_file])"));
}
