use redis::{
    aio::MultiplexedConnection, AsyncConnectionConfig, Client as Library, ConnectionInfo,
    IntoConnectionInfo, PushInfo, PushKind,
};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver};

use super::*;

/// Connection of the library that the link uses, and what is pushed to it.
async fn connect(socket: &Path) -> (MultiplexedConnection, UnboundedReceiver<PushInfo>) {
    let url = format!("redis+unix://{}?protocol=resp3&db=2&user=u&pass=p", socket.display());
    let address: ConnectionInfo = url.into_connection_info().unwrap();
    let (pushes, pushed) = unbounded_channel();
    let config = AsyncConnectionConfig::new().set_push_sender(pushes);
    let client = Library::open(address).unwrap();
    let connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    (connection, pushed)
}

async fn next(pushed: &mut UnboundedReceiver<PushInfo>) -> (PushKind, Vec<Value>) {
    let next = tokio::time::timeout(PATIENCE, pushed.recv()).await;
    next.map(|push| push.map(|push| (push.kind, push.data))).unwrap().unwrap()
}

#[test]
fn the_library_connects_subscribes_and_publishes() {
    let served = Served::new();
    let socket = served.scratch.socket();
    served.runtime.block_on(async {
        let (mut one, mut first) = connect(&socket).await;
        let (mut two, mut second) = connect(&socket).await;
        let (mut three, _third) = connect(&socket).await;
        one.subscribe(&["a", "b"]).await.unwrap();
        two.subscribe("a").await.unwrap();
        for (name, count) in [("a", 1), ("b", 2)] {
            let acknowledged = (PushKind::Subscribe, vec![text(name), Value::Int(count)]);
            assert_eq!(next(&mut first).await, acknowledged);
        }
        next(&mut second).await;
        let mut publish = redis::cmd("PUBLISH");
        let receivers: i64 = publish.arg("a").arg("hi").query_async(&mut three).await.unwrap();
        assert_eq!(receivers, 2);
        for pushed in [&mut first, &mut second] {
            assert_eq!(next(pushed).await, (PushKind::Message, vec![text("a"), text("hi")]));
        }
        one.unsubscribe("a").await.unwrap();
        let acknowledged = (PushKind::Unsubscribe, vec![text("a"), Value::Int(1)]);
        assert_eq!(next(&mut first).await, acknowledged);
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut one).await.unwrap();
        assert!(info.contains("\r\nrun_id:"), "{info}");
        drop(served.hub);
        assert_eq!(next(&mut second).await.0, PushKind::Disconnection);
    });
}

#[test]
fn the_library_runs_the_scripts() {
    let served = Served::new();
    let socket = served.scratch.socket();
    served.runtime.block_on(async {
        let (mut one, _pushed) = connect(&socket).await;
        let (mut two, mut pushed) = connect(&socket).await;
        two.subscribe("room").await.unwrap();
        next(&mut pushed).await;
        let script = redis::Script::new(crate::server::pubsub::scripts::PUBLISH);
        for offset in 1..=3 {
            let mut call = script.prepare_invoke();
            for key in ["stream", "hash", "node"] {
                call.key(key);
            }
            for argument in ["g", "e", "0", "room", "line"] {
                call.arg(argument);
            }
            call.arg(b"\xff").arg(offset).arg(100);
            let reply: (String, u64) = call.invoke_async(&mut one).await.unwrap();
            assert_eq!(reply, ("e".to_owned(), offset));
            let (kind, data) = next(&mut pushed).await;
            assert_eq!((kind, &data[0]), (PushKind::Message, &text("room")));
            let Value::BulkString(message) = &data[1] else { panic!("{data:?}") };
            assert!(message.starts_with(format!("line e {offset} ").as_bytes()));
            assert!(message.ends_with(b"\n\xff"));
        }
        let script = redis::Script::new(crate::server::pubsub::scripts::LOAD);
        let mut call = script.key("stream");
        call.key("hash");
        for argument in ["g", "x", "0", "100", "e", "1", "10"] {
            call.arg(argument);
        }
        let reply: (String, u64, u64, Vec<Vec<u8>>) = call.invoke_async(&mut one).await.unwrap();
        assert_eq!((reply.0.as_str(), reply.1, reply.3.len()), ("e", 3, 2));
    });
}
