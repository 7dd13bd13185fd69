//! Mistakes on the way to a broker.

use redis::RedisError;

use super::ipc::IpcError;

/// Reason for which a broker is not used. No text has a password.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// It was not reached, or has gone away, or does not speak Redis's protocol.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// The directory in which processes meet cannot be used.
    #[error("it {0}")]
    Directory(#[from] IpcError),
    /// It has not answered in time.
    #[error("no answer within {0} seconds")]
    Timeout(u64),
    /// It has closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// It copies another one.
    #[error("this Redis is a read-only replica; name the one that it replicates")]
    Replica,
    /// It is one of a cluster.
    #[error("this Redis is a node of a Cluster, which is not supported; name several servers instead: channels are spread over them")]
    Cluster,
    /// It is older than what is needed.
    #[error("this Redis has version {0}; 6.0 or newer is needed")]
    Version(String),
    /// Its answer is none of a Redis.
    #[error("the answer is not one of Redis's: {0}")]
    Answer(&'static str),
    /// The file of authorities cannot be read.
    #[error("the file of ?ca= cannot be read: {0}")]
    Authorities(std::io::Error),
}
