//! Addresses of brokers.

use std::{fmt, path::PathBuf};

/// Name that keys and channels of a broker begin with.
const PREFIX: &str = "em-websocket";

/// Address of a broker.
#[derive(Clone, Eq, PartialEq)]
pub struct Url {
    pub(super) target: Target,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
    prefix: String,
    /// File with the certificates of authorities that are trusted instead of the system's.
    pub(super) authorities: Option<PathBuf>,
}

/// Place at which a broker is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Target {
    Tcp {
        host: String,
        port: u16,
        is_secure: bool,
    },
    Unix(PathBuf),
    /// Directory in which the processes of one host meet.
    Directory(PathBuf),
}

/// Text that is no address of a broker. It never has the password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("is no URL of redis://, rediss://, unix:// or ipc:")]
    Scheme,
    /// No path where one has to be.
    #[error("has no path: unix:///run/redis.sock, ipc:/run/app")]
    Path,
    /// No name or address of a host.
    #[error("has no host: redis://127.0.0.1:6379/0")]
    Host,
    /// No number of a port.
    #[error("has no port between 1 and 65535 behind the host")]
    Port,
    /// No number of a database.
    #[error("has no number of a database behind the host: redis://127.0.0.1:6379/0")]
    Database,
    /// A percent sign without two hexadecimal digits, or no UTF-8.
    #[error("has a % that is not followed by two hexadecimal digits of UTF-8")]
    Escape,
    /// An unknown part behind the question mark.
    #[error("has ?{0}=, which is not ?prefix=, ?db=, ?user=, ?password= or ?ca=")]
    Parameter(String),
}

impl Url {
    /// Reads an address: `redis://user:password@host:port/database`, `rediss://` with TLS,
    /// `unix:///path`, `ipc:/directory`; and behind a question mark `prefix`, `ca` (a file), and for
    /// a Unix socket `db`, `user` and `password`.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let mut url = if let Some(path) = address.strip_prefix("ipc:") {
            Self::to(Target::Directory(path_of(path)?))
        } else if let Some(path) =
            address.strip_prefix("unix:").or_else(|| address.strip_prefix("redis+unix:"))
        {
            Self::to(Target::Unix(path_of(path)?))
        } else if let Some(rest) = address.strip_prefix("redis://") {
            Self::tcp(rest, false)?
        } else if let Some(rest) = address.strip_prefix("rediss://") {
            Self::tcp(rest, true)?
        } else {
            return Err(UrlError::Scheme);
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            url.set(pair)?;
        }
        Ok(url)
    }

    fn to(target: Target) -> Self {
        Self {
            target,
            user: None,
            password: None,
            database: 0,
            prefix: PREFIX.to_owned(),
            authorities: None,
        }
    }

    fn tcp(rest: &str, is_secure: bool) -> Result<Self, UrlError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host)?;
        let mut url = Self::to(Target::Tcp { host, port, is_secure });
        if let Some(login) = login {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            url.user = Some(decoded(user)?).filter(|user| !user.is_empty());
            url.password = Some(decoded(password)?).filter(|password| !password.is_empty());
        }
        if !path.is_empty() {
            url.database = database(path)?;
        }
        Ok(url)
    }

    fn set(&mut self, pair: &str) -> Result<(), UrlError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "prefix" => self.prefix = decoded(value)?,
            "ca" => self.authorities = Some(decoded(value)?.into()),
            "db" => self.database = database(value)?,
            "user" => self.user = Some(decoded(value)?),
            "password" => self.password = Some(decoded(value)?),
            _ => return Err(UrlError::Parameter(name.to_owned())),
        }
        Ok(())
    }

    /// Beginning of all names there. Pub/sub knows no databases, so it says the one.
    fn beginning(&self) -> String {
        match self.database {
            0 => format!("{}:", self.prefix),
            database => format!("{}/{database}:", self.prefix),
        }
    }

    /// Name that a channel has there.
    pub(super) fn channel(&self, name: &[u8]) -> Vec<u8> {
        [self.beginning().as_bytes(), name].concat()
    }

    /// Name of a channel here; `None` where it is none of ours.
    pub(super) fn name<'a>(&self, channel: &'a [u8]) -> Option<&'a [u8]> {
        channel.strip_prefix(self.beginning().as_bytes())
    }

    /// Name of a key there.
    pub(super) fn key(&self, kind: &str, name: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"-", kind.as_bytes(), b":", name].concat()
    }
}

impl fmt::Display for Url {
    /// The address without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Unix(path) => write!(f, "unix://{}", path.display()),
            Target::Directory(path) => write!(f, "ipc:{}", path.display()),
            Target::Tcp { host, port, is_secure } => {
                let scheme = if *is_secure { "rediss" } else { "redis" };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                write!(f, "{scheme}://{host}:{port}/{}", self.database)
            }
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn path_of(text: &str) -> Result<PathBuf, UrlError> {
    let text = text.strip_prefix("//").unwrap_or(text);
    let path = decoded(text)?;
    if path.is_empty() {
        return Err(UrlError::Path);
    }
    Ok(path.into())
}

fn host_and_port(text: &str) -> Result<(String, u16), UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("6379")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("6379")),
        },
    };
    if host.is_empty() {
        return Err(UrlError::Host);
    }
    let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0);
    Ok((decoded(host)?, port.ok_or(UrlError::Port)?))
}

fn database(text: &str) -> Result<i64, UrlError> {
    text.parse::<u32>().map(i64::from).map_err(|_| UrlError::Database)
}

fn decoded(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or(UrlError::Escape)?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_all_its_forms_and_shown_without_its_password() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://:s%40crt@10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
            ("rediss://user:s@crt@[::1]:7000", "rediss://[::1]:7000/0"),
            ("redis://[::1]", "redis://[::1]:6379/0"),
            ("unix:///run/redis.sock?db=2&password=s%40crt", "unix:///run/redis.sock"),
            ("redis+unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("ipc:/run/app", "ipc:/run/app"),
            ("ipc:///run/app", "ipc:/run/app"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        let url = Url::parse("redis://user:s%40crt@host/3?prefix=app&ca=/etc/ca.pem").unwrap();
        assert_eq!(url.user.as_deref(), Some("user"));
        assert_eq!(url.password.as_deref(), Some("s@crt"));
        assert_eq!(url.authorities, Some("/etc/ca.pem".into()));
        assert_eq!(url.channel(b"a"), b"app/3:a");
        assert_eq!(url.name(b"app/3:a:b"), Some(b"a:b".as_slice()));
        assert_eq!(url.name(b"app:a"), None);
        assert_eq!(url.key("stream", b"a"), b"app-stream:a");
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason_that_has_no_password() {
        for (text, error) in [
            ("", UrlError::Scheme),
            ("localhost:6379", UrlError::Scheme),
            ("http://:s3cret@localhost", UrlError::Scheme),
            ("redis://", UrlError::Host),
            ("redis://:s3cret@", UrlError::Host),
            ("redis://:s3cret@:1", UrlError::Host),
            ("redis://[::1", UrlError::Host),
            ("redis://:s3cret@host:0", UrlError::Port),
            ("redis://:s3cret@host:x", UrlError::Port),
            ("redis://[::1]x", UrlError::Port),
            ("redis://:s3cret@host:65536", UrlError::Port),
            ("redis://:s3cret@host/x", UrlError::Database),
            ("redis://:s3cret@host/-1", UrlError::Database),
            ("redis://:s3cret%4@host", UrlError::Escape),
            ("redis://:s3cret%ff@host", UrlError::Escape),
            ("redis://host?timeout=1", UrlError::Parameter("timeout".into())),
            ("unix:", UrlError::Path),
            ("ipc:", UrlError::Path),
        ] {
            let refused = Url::parse(text).unwrap_err();
            assert!(!refused.to_string().contains("s3cret"), "{refused}");
            assert_eq!(refused, error, "{text}");
        }
    }
}
