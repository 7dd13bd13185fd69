//! OpenSSL's cipher lists, over the suites that rustls has.
//!
//! The grammar is that of openssl-ciphers(1). There, a list has no say over TLS 1.3, whose suites
//! are all allowed; here too, unless the list names one of them.

use rustls::crypto::ring::cipher_suite as ring;
use rustls::{version, SupportedCipherSuite};

use super::error::TlsError;

/// Selection that a list comes to.
pub(super) struct Selection {
    /// In the order of the list. The client's order decides all the same, as with EventMachine.
    pub(super) suites: Vec<SupportedCipherSuite>,
    /// Names in the list that there is nothing of.
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
    for word in list_of_words.split([':', ',', ';', ' ']).filter(|word| !word.is_empty()) {
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
    Ok(Selection { suites: active.iter().map(|suite| *suite.suite).collect(), left_out })
}

/// The suite that was agreed on, with OpenSSL's name for it.
pub(super) fn named(suite: SupportedCipherSuite) -> Option<&'static Suite> {
    SUITES.iter().find(|known| known.suite.suite() == suite.suite())
}

/// A suite, with OpenSSL's name for it.
#[derive(PartialEq)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    suite: &'static SupportedCipherSuite,
}

/// Strongest first, as OpenSSL has them.
static SUITES: [Suite; 9] = [
    Suite { name: "TLS_AES_256_GCM_SHA384", suite: &ring::TLS13_AES_256_GCM_SHA384 },
    Suite { name: "TLS_CHACHA20_POLY1305_SHA256", suite: &ring::TLS13_CHACHA20_POLY1305_SHA256 },
    Suite { name: "TLS_AES_128_GCM_SHA256", suite: &ring::TLS13_AES_128_GCM_SHA256 },
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

    pub(super) fn is_256(&self) -> bool {
        !self.name.contains("AES128") && !self.name.contains("AES_128")
    }

    /// True if a cipher string of openssl-ciphers(1), or the suite's own name by OpenSSL or IANA,
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
            SUITES.iter().find(|known| known.suite == suite).unwrap().name
        };
        selected.iter().map(name).collect()
    }

    const TLS13: [&str; 3] =
        ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];
    const A256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384";
    const CHACHA: &str = "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305";
    const A128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256";

    /// Selection that `openssl ciphers -s -tls1_2` of OpenSSL 3.0 makes, less what is not here.
    #[test]
    fn lists_mean_what_they_mean_to_openssl() {
        let rsa128 = "ECDHE-RSA-AES128-GCM-SHA256";
        for (list, expected) in [
            ("ALL", vec![A256, CHACHA, A128]),
            ("ALL:!ADH:!LOW:!EXP:!DES-CBC3-SHA:@STRENGTH", vec![A256, CHACHA, A128]),
            ("HIGH:!aNULL:!MD5", vec![A256, CHACHA, A128]),
            ("DEFAULT@SECLEVEL=1", vec![A256, CHACHA, A128]),
            ("EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH", vec![A256, A128]),
            ("ECDH+AESGCM:DH+AESGCM", vec![A256, A128]),
            ("ECDHE+CHACHA20, ECDHE+AESGCM", vec![CHACHA, A256, A128]),
            ("AES128:CHACHA20:@STRENGTH", vec![CHACHA, A128]),
            ("ALL:-CHACHA20:CHACHA20", vec![A256, A128, CHACHA]),
            ("ALL:!CHACHA20:CHACHA20", vec![A256, A128]),
            ("ALL!CHACHA20", vec![A256, A128]),
            ("ALL:+AES256", vec![CHACHA, A128, A256]),
            ("ECDHE+aRSA+AES128", vec![rsa128]),
            ("AES128;!aECDSA", vec![rsa128]),
            (rsa128, vec![rsa128]),
        ] {
            let expected = expected.iter().flat_map(|some| some.split(' '));
            let expected: Vec<_> = TLS13.into_iter().chain(expected).collect();
            assert_eq!(names(list), expected, "{list}");
        }
        assert_eq!(names("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").last(), Some(&rsa128));
    }

    #[test]
    fn tls13_is_untouched_unless_it_is_named() {
        let [aes256, chacha, aes128] = TLS13;
        let rsa128 = "ECDHE-RSA-AES128-GCM-SHA256";
        assert_eq!(names(aes128), [aes128]);
        assert_eq!(names(&format!("{rsa128}:{aes256}")), [rsa128, aes256]);
        assert_eq!(names(&format!("{rsa128}:!{chacha}")), [aes256, aes128, rsa128]);
        assert_eq!(names(&format!("{rsa128}:!CHACHA20")), [aes256, chacha, aes128, rsa128]);
    }

    #[test]
    fn ciphers_that_are_not_here_are_left_out_by_name() {
        let list = "DHE-RSA-AES128-GCM-SHA256:ECDHE+AESGCM:ECDHE-RSA-AES128-SHA:ECDHE+3DES:!RC4";
        let left_out = select(list).unwrap().left_out;
        assert_eq!(left_out, ["DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE+3DES"]);
        assert_eq!(select("ALL:@SECLEVEL=5:@FAST").unwrap().left_out, ["@SECLEVEL=5", "@FAST"]);
        assert!(select("ALL:!aNULL:-LOW:+SHA:@SECLEVEL=2").unwrap().left_out.is_empty());
    }

    #[test]
    fn a_list_of_nothing_is_refused() {
        for list in
            ["AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "NOPE", "ALL:!ALL", "!ALL", ":", "!"]
        {
            let error = select(list).err();
            assert_eq!(error, Some(TlsError::NoUsableCipher(list.to_owned())));
        }
    }
}
