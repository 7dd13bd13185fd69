//! The command line: `load CELL --name value ...`.

use std::{net::SocketAddr, time::Duration};

use crate::Failure;

/// Load, server and duration of a run.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// Name of the load.
    pub(crate) cell: String,
    /// The server's port on loopback.
    pub(crate) address: SocketAddr,
    /// The server's process.
    pub(crate) pid: u32,
    pub(crate) connections: usize,
    /// Of payload, in a message.
    pub(crate) bytes: usize,
    /// Messages in flight; of each connection, where not said otherwise.
    pub(crate) depth: usize,
    /// Connections that send, of those (`broadcast`).
    pub(crate) publishers: usize,
    /// Messages a second, of all connections together (`open`).
    pub(crate) rate: u32,
    /// Load before the clock starts.
    pub(crate) warm: Duration,
    /// Load while it runs.
    pub(crate) seconds: Duration,
    /// Time after which it gives up.
    pub(crate) limit: Duration,
    pub(crate) tls: bool,
    /// Never sleep: for latencies, where the client has a CPU of its own.
    pub(crate) spin: bool,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut arguments = Self {
            cell: words.next().ok_or("which cell?")?,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            pid: 0,
            connections: 64,
            bytes: 64,
            depth: 1,
            publishers: 1,
            rate: 5_000,
            warm: Duration::from_millis(300),
            seconds: Duration::from_secs(1),
            limit: Duration::from_secs(30),
            tls: false,
            spin: false,
        };
        while let Some(name) = words.next() {
            let mut value = || words.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--port" => arguments.address.set_port(value()?.parse()?),
                "--pid" => arguments.pid = value()?.parse()?,
                "--connections" => arguments.connections = value()?.parse()?,
                "--bytes" => arguments.bytes = value()?.parse()?,
                "--depth" => arguments.depth = value()?.parse()?,
                "--publishers" => arguments.publishers = value()?.parse()?,
                "--rate" => arguments.rate = value()?.parse()?,
                "--warm" => arguments.warm = Duration::from_secs_f64(value()?.parse()?),
                "--seconds" => arguments.seconds = Duration::from_secs_f64(value()?.parse()?),
                "--limit" => arguments.limit = Duration::from_secs_f64(value()?.parse()?),
                "--tls" => arguments.tls = true,
                "--spin" => arguments.spin = true,
                _ => return Err(format!("what is {name}?").into()),
            }
        }
        if arguments.address.port() == 0 || arguments.pid == 0 {
            return Err("--port and --pid say who is measured".into());
        }
        if arguments.connections < arguments.publishers
            || arguments.publishers == 0
            || arguments.depth == 0
        {
            return Err("no connection, or nothing in flight, is no load".into());
        }
        Ok(arguments)
    }
}
