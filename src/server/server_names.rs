//! TLS configurations by the name that a client asks for (RFC 6066 section 3), chosen as nginx
//! chooses by its `server_name`.

use std::{collections::HashMap, sync::Arc};

use rustls::ServerConfig;
use rustls_pki_types::DnsName;

/// Configurations of the names that have their own.
#[derive(Clone, Debug, Default)]
pub struct ServerNames {
    exact: HashMap<String, Arc<ServerConfig>>,
    /// Wildcards, by what follows `*.`.
    wildcards: HashMap<String, Arc<ServerConfig>>,
}

/// Reason why a name cannot have a configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NameError {
    /// A name that no client can ask for.
    Invalid,
    /// A name that has one already.
    Repeated,
}

impl ServerNames {
    /// Adds `a.example`; `*.example`, which is every name that ends so; or `.example`, which is
    /// both `example` and `*.example`.
    pub(crate) fn add(&mut self, name: &str, config: &Arc<ServerConfig>) -> Result<(), NameError> {
        let name = name.to_ascii_lowercase();
        let (base, is_exact, is_wildcard) = match (name.strip_prefix("*."), name.strip_prefix('.'))
        {
            (Some(base), _) => (base, false, true),
            (_, Some(base)) => (base, true, true),
            _ => (name.as_str(), true, false),
        };
        if DnsName::try_from(base).is_err() || base.ends_with('.') {
            return Err(NameError::Invalid);
        }
        let is_taken = |map: &HashMap<_, _>| map.contains_key(base);
        if is_exact && is_taken(&self.exact) || is_wildcard && is_taken(&self.wildcards) {
            return Err(NameError::Repeated);
        }
        if is_exact {
            self.exact.insert(base.to_owned(), Arc::clone(config));
        }
        if is_wildcard {
            self.wildcards.insert(base.to_owned(), Arc::clone(config));
        }
        Ok(())
    }

    /// Configuration of a name in lower case: its own, or else that of the longest wildcard.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ServerConfig>> {
        let mut parents = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        self.exact.get(name).or_else(|| parents.find_map(|parent| self.wildcards.get(parent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tls::{server_config, TlsOptions};

    fn config() -> Arc<ServerConfig> {
        server_config(&TlsOptions::default()).unwrap().config
    }

    #[test]
    fn a_name_is_found_as_nginx_finds_it() {
        let mut names = ServerNames::default();
        let hosts = ["a.example", "*.example", "*.B.example", ".c.test", "localhost"];
        let configs = hosts.map(|host| {
            let config = config();
            names.add(host, &config).unwrap();
            config
        });
        for (name, expected) in [
            ("a.example", Some(0)),
            ("z.example", Some(1)),
            ("z.a.example", Some(1)),
            ("b.example", Some(1)),
            ("z.b.example", Some(2)),
            ("y.z.b.example", Some(2)),
            ("c.test", Some(3)),
            ("z.c.test", Some(3)),
            ("localhost", Some(4)),
            ("example", None),
            ("z.localhost", None),
            ("cc.test", None),
            ("a.example.org", None),
        ] {
            let found = names.get(name).map(Arc::as_ptr);
            assert_eq!(found, expected.map(|index: usize| Arc::as_ptr(&configs[index])), "{name}");
        }
    }

    #[test]
    fn what_no_client_can_ask_for_is_no_name() {
        for name in [
            "",
            ".",
            "*",
            "*.",
            "mail.*",
            "a.*.example",
            "**.example",
            "a b",
            "a.example.",
            "b\u{fc}cher.example",
            "a..example",
            "a.example:443",
            "https://a.example",
        ] {
            assert_eq!(
                ServerNames::default().add(name, &config()),
                Err(NameError::Invalid),
                "{name}"
            );
        }
    }

    #[test]
    fn no_name_has_two() {
        for (first, second) in
            [("a.example", "A.example"), (".example", "*.example"), ("example", ".example")]
        {
            let mut names = ServerNames::default();
            names.add(first, &config()).unwrap();
            assert_eq!(names.add(second, &config()), Err(NameError::Repeated), "{second}");
        }
    }
}
