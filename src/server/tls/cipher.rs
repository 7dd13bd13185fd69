//! OpenSSL's cipher lists, over the suites that rustls has.
//!
//! The grammar is that of openssl-ciphers(1). There, a list has no say over TLS 1.3, whose suites
//! are all allowed; here too, unless the list names one of them.

use rustls::crypto::ring::cipher_suite as ring;
use rustls::{version, SupportedCipherSuite};

use super::error::TlsError;

/// What a list comes to.
pub(super) struct Selection {
    /// In the order of the list. The client's order decides all the same, as with EventMachine.
    pub(super) suites: Vec<SupportedCipherSuite>,
    /// What the list asks for and there is nothing of.
    pub(super) left_out: Vec<String>,
}

/// Reads a list; an error if it selects nothing.
pub(super) fn select(list: &str) -> Result<Selection, TlsError> {
    let mut active: Vec<&Suite> = Vec::new();
    let mut killed: Vec<&Suite> = Vec::new();
    let mut unasked: Vec<&Suite> = SUITES.iter().filter(|suite| suite.is_tls13()).collect();
    let mut left_out = Vec::new();

    // `!` and `@` begin a new word wherever they stand: "DEFAULT@SECLEVEL=1", "ALL!aNULL".
    let list_of_words = list.replace('!', ":!").replace('@', ":@");
    for word in list_of_words
        .split([':', ',', ';', ' '])
        .filter(|word| !word.is_empty())
    {
        let (operator, name) = match word.as_bytes()[0] {
            b'!' | b'-' | b'+' | b'@' => word.split_at(1),
            _ => ("", word),
        };
        let named = |suite: &&Suite| name.split('+').all(|tag| suite.answers_to(tag));
        match operator {
            "@" if name == "STRENGTH" => active.sort_by_key(|suite| !suite.is_256()),
            // The levels up to 2 rule out nothing of what is here.
            "@" if matches!(name, "SECLEVEL=0" | "SECLEVEL=1" | "SECLEVEL=2") => {}
            "@" => left_out.push(word.to_owned()),
            "+" => active.sort_by_key(named),
            "!" | "-" => {
                active.retain(|suite| !named(suite));
                unasked.retain(|suite| !named(suite));
                if operator == "!" {
                    killed.extend(SUITES.iter().filter(named));
                }
            }
            _ => {
                let found: Vec<&Suite> = SUITES.iter().filter(named).collect();
                if found.is_empty() {
                    left_out.push(word.to_owned());
                }
                for suite in found {
                    if !active.contains(&suite) && !killed.contains(&suite) {
                        active.push(suite);
                    }
                }
            }
        }
    }

    if active.is_empty() {
        return Err(TlsError::NoUsableCipher(list.to_owned()));
    }
    if !active.iter().any(|suite| suite.is_tls13()) {
        active.splice(..0, unasked);
    }
    Ok(Selection {
        suites: active.iter().map(|suite| *suite.suite).collect(),
        left_out,
    })
}

#[derive(PartialEq)]
struct Suite {
    name: &'static str,
    suite: &'static SupportedCipherSuite,
}

/// Strongest first, as OpenSSL has them.
static SUITES: [Suite; 9] = [
    Suite {
        name: "TLS_AES_256_GCM_SHA384",
        suite: &ring::TLS13_AES_256_GCM_SHA384,
    },
    Suite {
        name: "TLS_CHACHA20_POLY1305_SHA256",
        suite: &ring::TLS13_CHACHA20_POLY1305_SHA256,
    },
    Suite {
        name: "TLS_AES_128_GCM_SHA256",
        suite: &ring::TLS13_AES_128_GCM_SHA256,
    },
    Suite {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        suite: &ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Suite {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        suite: &ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Suite {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        suite: &ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Suite {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        suite: &ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Suite {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        suite: &ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Suite {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        suite: &ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
];

impl Suite {
    fn is_tls13(&self) -> bool {
        self.suite.version() == &version::TLS13
    }

    fn is_256(&self) -> bool {
        !self.name.contains("AES128") && !self.name.contains("AES_128")
    }

    /// Whether a cipher string of openssl-ciphers(1), or the suite's own name by OpenSSL or IANA,
    /// means this suite. Its strings that are missing here mean none of these suites.
    fn answers_to(&self, word: &str) -> bool {
        if word == self.name || Some(word) == self.suite.suite().as_str() {
            return true;
        }
        if self.is_tls13() {
            return false;
        }
        match word {
            "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" => true,
            "ECDHE" | "EECDH" | "ECDH" | "kECDHE" | "kEECDH" => true,
            "aRSA" => self.name.contains("-RSA-"),
            "aECDSA" | "ECDSA" => self.name.contains("-ECDSA-"),
            "AES" | "AESGCM" | "FIPS" => self.name.contains("-AES"),
            "AES128" => self.name.contains("-AES128-"),
            "AES256" => self.name.contains("-AES256-"),
            "CHACHA20" => self.name.contains("-CHACHA20-"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let selected = select(list).unwrap().suites;
        let name = |suite: &SupportedCipherSuite| {
            SUITES
                .iter()
                .find(|known| known.suite == suite)
                .unwrap()
                .name
        };
        selected.iter().map(name).collect()
    }

    #[test]
    fn zz_print() {
        for list in std::fs::read_to_string("/tmp/tls/lists").unwrap().lines() {
            match select(list) {
                Err(_) => println!("@@{list}@@"),
                Ok(_) => println!(
                    "@@{list}@@{}",
                    names(list)
                        .iter()
                        .filter(|n| !n.starts_with("TLS_"))
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(":")
                ),
            }
        }
    }
}
