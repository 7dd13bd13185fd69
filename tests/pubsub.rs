//! Channels in common with other processes, in one process that is the broker, too. It is a program
//! of its own, for the engine is the whole process's.

#![cfg(feature = "redis")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "it is a test")]

use std::{
    fs, process,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use em_websocket::server::{
    channels::{channels, Except, Fate, History, Mailbox, MailboxKind, Publication, Taken},
    pubsub::{Events, LinkState, PubSub, Url, BACKLOG},
    Broadcast, Flush,
};

fn wait_for<T>(what: &str, mut it: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(it) = it() {
            return it;
        }
        assert!(Instant::now() < end, "{what} did not come");
        sleep(Duration::from_millis(2));
    }
}

fn publish(name: &str, text: &str) -> Publication {
    let message = Broadcast::text(text.as_bytes());
    channels().publish(name.as_bytes(), message, Except::Nobody, Flush::Now).unwrap()
}

fn listen(name: &str) -> Arc<Mailbox> {
    let mailbox = channels().open_mailbox(MailboxKind::Application);
    channels().subscribe_mailbox(&mailbox, name.as_bytes(), None, 9).unwrap();
    mailbox
}

fn take(mailbox: &Mailbox) -> String {
    wait_for("a message", || match channels().take_mail(mailbox) {
        Some(Taken::Message(message)) => Some(String::from_utf8(message.payload().to_vec())),
        _ => None,
    })
    .unwrap()
}

fn settled(publication: &Publication) -> Fate {
    let receipt = publication.receipt.as_ref().unwrap();
    wait_for("a receipt", || Some(receipt.fate()).filter(|fate| *fate != Fate::Pending))
}

fn history(size: usize) -> History {
    History { size, ttl: Duration::from_secs(60), envelope: None }
}

#[test]
fn a_process_gets_what_it_publishes_once_by_way_of_the_broker_and_locks_keep_their_order() {
    let directory = std::env::temp_dir().join(format!("em-websocket-pubsub-{}", process::id()));
    let url = Url::parse(&format!("ipc:{}", directory.display())).unwrap();
    channels().keep_history(b"kept:*", history(10));
    let early = listen("early");
    let events = Arc::new(Events::new().unwrap());
    let pubsub = PubSub::start(vec![url], BACKLOG, &events);
    let (plain, kept) = (listen("plain"), listen("kept:1"));
    wait_for("the broker", || (pubsub.stats().connected == 1).then_some(()));
    wait_for("its history", || channels().await_load(b"kept:1").unwrap().then_some(()));

    assert_eq!(publish("plain", "a").receivers, 1);
    assert_eq!(publish("early", "a").receivers, 1);
    let first = publish("kept:1", "a");
    assert_eq!((first.receivers, first.position), (1, None));
    let Fate::Done(Some(position)) = settled(&first) else { panic!("it has no position") };
    assert_eq!(position.offset, 1);
    assert_eq!(settled(&publish("plain", "b")), Fate::Done(None));
    publish("kept:1", "b");
    for mailbox in [&plain, &kept] {
        assert_eq!([take(mailbox), take(mailbox)], ["a", "b"]);
    }
    assert_eq!(take(&early), "a");

    // Who comes back gets what is after its position, though nobody has listened meanwhile.
    channels().close_mailbox(&kept);
    settled(&publish("kept:1", "c"));
    if !channels().await_load(b"kept:1").unwrap() {
        wait_for("the load", || {
            events.take().loaded.iter().any(|name| **name == *b"kept:1").then_some(())
        });
    }
    let back = channels().open_mailbox(MailboxKind::Application);
    let subscribed = channels().subscribe_mailbox(&back, b"kept:1", Some(position), 9).unwrap();
    assert_eq!(subscribed.unwrap().recovered, Some(true));
    channels().release(b"kept:1");
    assert_eq!([take(&back), take(&back)], ["b", "c"]);

    let connected = |told: &em_websocket::server::pubsub::LinkEvent| {
        told.state == LinkState::Connected && told.error.is_none()
    };
    assert!(events.take().states.iter().all(connected));
    assert_eq!(pubsub.pending(), 0);
    pubsub.stop();
    assert!(publish("kept:1", "alone").receipt.is_none());
    assert_eq!([take(&back)], ["alone"]);
    fs::remove_dir_all(directory).unwrap();
}
