//! Tests through sockets: with a client that sends what it likes, and with the library that the
//! link uses.

mod library;
mod protocol;
mod scripts;

use std::{
    env, fs,
    io::{BufReader, ErrorKind, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use redis::{Parser, Value};
use tokio::runtime::{Builder, Runtime};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Directory of a test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("em-hub-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("hub.sock")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A hub on a runtime of its own.
struct Served {
    runtime: Runtime,
    hub: Hub,
    scratch: Scratch,
}

impl Served {
    fn new() -> Self {
        let scratch = Scratch::new();
        let listener = UnixListener::bind(scratch.socket()).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let hub = runtime.block_on(async { Hub::serve(listener, || true) }).unwrap();
        Self { runtime, hub, scratch }
    }

    fn connect(&self) -> Client {
        Client::connect(&self.scratch.socket())
    }

    fn members(&self) -> usize {
        self.hub.shared.lock().fds().len()
    }
}

/// Client that sends what it likes.
struct Client {
    stream: BufReader<UnixStream>,
    parser: Parser,
}

impl Client {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::with_capacity(1 << 16, stream), parser: Parser::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn send(&mut self, elements: &[&str]) {
        self.write(&request(elements));
    }

    fn read(&mut self) -> Value {
        self.parser.parse_value(&mut self.stream).unwrap()
    }

    fn ask(&mut self, elements: &[&str]) -> Value {
        self.send(elements);
        self.read()
    }

    /// True once there is nothing more to read, and never will be.
    fn is_cut(&mut self) -> bool {
        let mut buffer = [0; 1 << 16];
        loop {
            match std::io::Read::read(&mut self.stream, &mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}

fn request(elements: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", elements.len()).into_bytes();
    for element in elements {
        bytes.extend_from_slice(format!("${}\r\n{element}\r\n", element.len()).as_bytes());
    }
    bytes
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn push(kind: redis::PushKind, data: Vec<Value>) -> Value {
    Value::Push { kind, data }
}

fn message(channel: &str, payload: &str) -> Value {
    push(redis::PushKind::Message, vec![text(channel), text(payload)])
}

/// Text of an error that was answered.
fn refusal(value: Value) -> String {
    match value {
        Value::ServerError(error) => format!("{} {}", error.code(), error.details().unwrap_or("")),
        other => panic!("{other:?}"),
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
