//! Connections to a Redis, and whether it is one that can be used.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{
    aio::MultiplexedConnection, cmd, AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, ProtocolVersion, PushInfo, RedisConnectionInfo, TlsCertificates, Value,
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    error::LinkError,
    ipc,
    receiver::Inbox,
    scripts,
    url::{Target, Url},
};
use crate::server::channels::new_epoch;

/// Time within which a broker has to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// Connection to a broker that can be used.
pub(super) struct Broker {
    pub(super) connection: MultiplexedConnection,
    pub(super) inbox: Arc<Inbox>,
    /// Names of the scripts there.
    pub(super) publish: String,
    pub(super) load: String,
    /// Name of its data: those of another generation may be older, or none.
    pub(super) generation: String,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

/// Waits for an answer.
pub(super) async fn answered<T, E: Into<LinkError>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, LinkError> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(LinkError::Timeout(ANSWER.as_secs())),
    }
}

/// Connects, and finds out whether the broker can be used.
pub(super) async fn connect(url: &Url) -> Result<(Broker, UnboundedReceiver<PushInfo>), LinkError> {
    let client = client(url).await?;
    let inbox = Arc::new(Inbox::default());
    let (sender, pushes) = inbox.open();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(None)
        .set_push_sender(sender);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = answered(connecting).await?;
    let info: String = answered(cmd("INFO").query_async(&mut connection)).await?;
    let run = usable(&info)?;
    let generation = if is_durable(&mut connection).await? { "durable".to_owned() } else { run };
    let publish = load(&mut connection, scripts::PUBLISH).await?;
    let load = load(&mut connection, scripts::LOAD).await?;
    Ok((Broker { connection, inbox, publish, load, generation }, pushes))
}

async fn client(url: &Url) -> Result<Client, LinkError> {
    let address = match &url.target {
        Target::Tcp { host, port, is_secure: false } => ConnectionAddr::Tcp(host.clone(), *port),
        Target::Tcp { host, port, is_secure: true } => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        },
        Target::Unix(path) => ConnectionAddr::Unix(path.clone()),
        Target::Directory(path) => ConnectionAddr::Unix(ipc::reach(path).await?),
    };
    let mut settings =
        RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(url.database);
    if let Some(user) = &url.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &url.password {
        settings = settings.set_password(password);
    }
    let info: ConnectionInfo = address.into_connection_info()?.set_redis_settings(settings);
    let Some(authorities) = &url.authorities else { return Ok(Client::open(info)?) };
    let root_cert = Some(std::fs::read(authorities).map_err(LinkError::Authorities)?);
    Ok(Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })?)
}

/// Number of the run of a broker that can be used, by what it says of itself.
fn usable(info: &str) -> Result<String, LinkError> {
    let field = |name: &str| {
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    };
    let version = field("redis_version").ok_or(LinkError::Answer("it does not say its version"))?;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 6) {
        return Err(LinkError::Version(version.to_owned()));
    }
    match (field("redis_mode"), field("role")) {
        (Some("cluster"), _) => Err(LinkError::Cluster),
        (_, Some("slave")) => Err(LinkError::Replica),
        _ => Ok(field("run_id").map_or_else(|| format!("{:x}", new_epoch()), str::to_owned)),
    }
}

/// True if what it has said was done survives it whatever happens: it may come back as another run.
async fn is_durable(connection: &mut MultiplexedConnection) -> Result<bool, LinkError> {
    for (name, durable) in [("appendonly", "yes"), ("appendfsync", "always")] {
        let mut get = cmd("CONFIG");
        get.arg("GET").arg(name);
        let answer: Result<Value, _> = tokio::time::timeout(ANSWER, get.query_async(connection))
            .await
            .map_err(|_| LinkError::Timeout(ANSWER.as_secs()))?;
        match answer {
            Ok(Value::Map(pairs)) => {
                let says = |value: &Value| matches!(value, Value::BulkString(it) if it == durable.as_bytes());
                if !pairs.iter().any(|(_, value)| says(value)) {
                    return Ok(false);
                }
            }
            Err(error) if error.is_unrecoverable_error() => return Err(error.into()),
            // Where it does not say, it is taken for no.
            _ => return Ok(false),
        }
    }
    Ok(true)
}

async fn load(connection: &mut MultiplexedConnection, text: &str) -> Result<String, LinkError> {
    let mut load = cmd("SCRIPT");
    load.arg("LOAD").arg(text);
    answered(load.query_async(connection)).await
}

/// Bytes of an answer.
pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        _ => None,
    }
}

/// Number of an answer that is text.
pub(super) fn number(value: &Value, radix: u32) -> Option<u64> {
    let Value::BulkString(bytes) = value else { return None };
    u64::from_str_radix(std::str::from_utf8(bytes).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_used_if_it_is_new_enough_and_takes_what_is_published() {
        let info = |version: &str, mode: &str, role: &str| {
            let text = format!("# Server\r\nredis_version:{version}\r\nredis_mode:{mode}\r\nrun_id:abc\r\n\r\n# Replication\r\nrole:{role}\r\n");
            usable(&text).map_err(|error| error.to_string())
        };
        assert_eq!(info("7.0.15", "standalone", "master").as_deref(), Ok("abc"));
        assert!(info("5.0.14", "standalone", "master").unwrap_err().contains("5.0.14"));
        assert!(info("7.0.15", "cluster", "master").unwrap_err().contains("Cluster"));
        assert!(info("7.0.15", "standalone", "slave").unwrap_err().contains("replica"));
        assert!(usable("hello").is_err());
    }
}
