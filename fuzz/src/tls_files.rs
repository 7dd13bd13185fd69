//! Keys, certificates and the other TLS options: whatever an administrator's files hold, the server
//! says what is wrong, without saying what is secret.

use em_websocket::server::tls::{server_config, TlsOptions};

use crate::input::Input;

/// See [the module](self).
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    // What follows is text, a part to each option, cut where no text has a byte.
    let texts = input.rest().split(|byte| *byte == 0);
    let texts: Vec<_> = texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let mut parts = texts.iter().cloned();
    let mut part = || parts.next();
    let (private_key, cert) = (part(), part());
    // PKCS #8 says how often its passphrase is to be hashed: days, if it likes.
    let is_hashed = private_key.as_ref().is_some_and(|key| key.contains("ENCRYPTED PRIVATE KEY"));
    let options = TlsOptions {
        private_key_pass: (flags & 1 != 0 && !is_hashed).then(|| PASSPHRASE.into()),
        verify_peer: flags & 2 != 0,
        fail_if_no_peer_cert: Some(flags & 4 != 0),
        cipher_list: part(),
        ecdh_curve: part(),
        ssl_version: part().map(|names| names.split(' ').map(String::from).collect()),
        private_key: private_key.map(String::into_bytes),
        cert: cert.map(String::into_bytes),
        ..TlsOptions::default()
    };

    let shown = format!("{options:?}");
    let told = match server_config(&options) {
        Ok(server) => {
            assert_eq!(server.config.alpn_protocols, [b"http/1.1"]);
            server.warnings.join("\n")
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            let again = server_config(&options).err().map(|error| error.to_string());
            assert_eq!(again.as_deref(), Some(&*text), "another error for the same options");
            text
        }
    };
    let key = texts.first().map(String::as_str).unwrap_or_default();
    for line in secret_lines(key, &texts) {
        assert!(!shown.contains(line) && !told.contains(line), "{line} is told:\n{told}\n{shown}");
    }
}

/// The lines of a private key that stand in no other option.
fn secret_lines<'a>(key: &'a str, texts: &'a [String]) -> impl Iterator<Item = &'a str> {
    let is_body = |line: &&str| line.len() >= 48 && line.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_elsewhere = |line: &str| texts.iter().skip(1).any(|text| text.contains(line));
    key.lines().filter(is_body).filter(move |line| !is_elsewhere(line))
}

/// That of the seeds' keys.
const PASSPHRASE: &str = "correct";
