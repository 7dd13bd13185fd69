use std::{
    env,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
/// Directory that a process of a test is to meet others in.
const MEET_IN: &str = "EM_WEBSOCKET_TEST_MEET_IN";

/// Directory of a test, which is not there yet.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("em-ipc-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed));
        Self(env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0).or_else(|_| fs::remove_file(&self.0));
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Name of the hub at a socket, if one answers.
fn hub_at(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"*1\r\n$4\r\nINFO\r\n").ok()?;
    let mut text = String::new();
    while !text.contains("role:master\r\n\r\n") {
        let mut buffer = [0; 1_024];
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => text.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
            _ => return None,
        }
    }
    text.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned)
}

/// True once the hub is gone.
fn is_cut(member: &mut UnixStream) -> bool {
    member.set_read_timeout(Some(PATIENCE)).unwrap();
    match member.read(&mut [0]) {
        Ok(length) => length == 0,
        // It had not been accepted yet.
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_first_that_wants_to_connect_is_the_hub_and_stays_it() {
    let (scratch, runtime) = (Scratch::new(), runtime());
    let socket = runtime.block_on(reach(&scratch.0)).unwrap();
    assert_eq!(fs::metadata(&scratch.0).unwrap().mode() & 0o7777, 0o700);
    let hub = hub_at(&socket);
    assert!(hub.is_some());
    assert_eq!(runtime.block_on(reach(&scratch.0)).unwrap(), socket);
    assert_eq!(hub_at(&socket), hub);
    // By another path to the same directory.
    let alias = Scratch::new();
    std::os::unix::fs::symlink(&scratch.0, &alias.0).unwrap();
    let other = runtime.block_on(reach(&alias.0)).unwrap();
    assert_eq!(other, alias.0.join(SOCKET));
    assert_eq!(hub_at(&other), hub);
}

#[test]
fn a_hub_whose_runtime_or_files_are_gone_has_a_successor() {
    let (scratch, first) = (Scratch::new(), runtime());
    let socket = first.block_on(reach(&scratch.0)).unwrap();
    let mut hub = hub_at(&socket);
    drop(first);
    let runtime = runtime();
    let ways: [fn(&Path); 4] = [
        |_| {},
        |directory| fs::remove_file(directory.join(SOCKET)).unwrap(),
        |directory| fs::remove_file(directory.join(LOCK)).unwrap(),
        |directory| fs::remove_dir_all(directory).unwrap(),
    ];
    for (way, remove) in ways.into_iter().enumerate() {
        remove(&scratch.0);
        assert_eq!(runtime.block_on(reach(&scratch.0)).unwrap(), socket);
        let successor = hub_at(&socket);
        assert!(successor.is_some() && successor != hub, "{way}");
        hub = successor;
    }
}

#[test]
fn a_hub_that_nobody_finds_any_more_disconnects_its_members() {
    let (scratch, runtime) = (Scratch::new(), runtime());
    let socket = runtime.block_on(reach(&scratch.0)).unwrap();
    let mut member = UnixStream::connect(&socket).unwrap();
    assert!(hub_at(&socket).is_some());
    fs::remove_file(&socket).unwrap();
    assert!(is_cut(&mut member));
}

#[test]
fn a_directory_that_others_have_access_to_or_that_is_none_is_refused() {
    let runtime = runtime();
    let refusal = |path: &Path| runtime.block_on(reach(path)).unwrap_err();
    let scratch = Scratch::new();
    fs::create_dir(&scratch.0).unwrap();
    for mode in [0o755, 0o710, 0o701, 0o770, 0o1777] {
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(refusal(&scratch.0), IpcError::TooOpen(seen) if seen == mode));
    }
    assert!(refusal(&scratch.0).to_string().starts_with("has mode 1777: "));
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);

    let file = Scratch::new();
    fs::write(&file.0, "").unwrap();
    assert!(matches!(refusal(&file.0), IpcError::NotADirectory));
    let missing = refusal(&file.0.join("below"));
    assert!(missing.to_string().starts_with("cannot be used: "), "{missing}");
    let long = env::temp_dir().join("x".repeat(100));
    assert!(matches!(refusal(&long), IpcError::PathTooLong(length) if length > 107));
    assert!(refusal(&long).to_string().contains("/hub.sock"));
    if geteuid().is_root() {
        let stranger = Scratch::new();
        DirBuilder::new().mode(0o700).create(&stranger.0).unwrap();
        std::os::unix::fs::chown(&stranger.0, Some(65_534), None).unwrap();
        assert!(matches!(refusal(&stranger.0), IpcError::NotOurs));
    }
}

/// Another process, which is killed at the end.
struct Other(Child);

impl Other {
    fn meet_in(directory: &Path) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "server::pubsub::ipc::tests::another_process", "--nocapture"])
            .env(MEET_IN, directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other process of the tests below: it wants to connect, until its standard input ends.
#[test]
fn another_process() {
    let Some(directory) = env::var_os(MEET_IN) else { return };
    let runtime = runtime();
    runtime.block_on(reach(Path::new(&directory))).unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn there_is_one_hub_whichever_process_it_is_and_one_that_is_killed_has_a_successor() {
    let (scratch, runtime) = (Scratch::new(), runtime());
    let other = Other::meet_in(&scratch.0);
    let socket = scratch.0.join(SOCKET);
    let mut theirs = None;
    wait_until("it is the hub", || {
        theirs = hub_at(&socket);
        theirs.is_some()
    });
    for _ in 0..3 {
        assert_eq!(runtime.block_on(reach(&scratch.0)).unwrap(), socket);
        assert_eq!(hub_at(&socket), theirs);
    }
    let mut member = UnixStream::connect(&socket).unwrap();
    drop(other);
    assert!(is_cut(&mut member));
    assert_eq!(hub_at(&socket), None);
    runtime.block_on(reach(&scratch.0)).unwrap();
    let ours = hub_at(&socket);
    assert!(ours.is_some() && ours != theirs);
    // It has our lock, and does not take it from us.
    let mut third = Other::meet_in(&scratch.0);
    drop(third.0.stdin.take());
    assert!(third.0.wait().unwrap().success());
    runtime.block_on(reach(&scratch.0)).unwrap();
    assert_eq!(hub_at(&socket), ours);
}
