use super::*;

fn at(elapsed: u64) -> Now {
    Now { wall: 1_700_000_000_000, elapsed }
}

fn target<'a>(hash: &'a str, generation: &'a str, epoch: &'a str, ttl: u64) -> Target<'a> {
    let [hash, generation, epoch] = [hash, generation, epoch].map(str::as_bytes);
    Target { hash, generation, epoch, ttl }
}

/// Publishes a message; epoch and offset.
fn publish(store: &mut Store, to: Target<'_>, number: u64, kept: usize, now: u64) -> (String, u64) {
    let publication = Publication {
        node: b"node",
        number,
        channel: b"room",
        line: b"line",
        payload: b"payload",
        kept,
    };
    let published = store.publish(to, &publication, at(now));
    assert_eq!(published.message.is_some(), published.offset > 0);
    (String::from_utf8_lossy(&published.epoch).into_owned(), published.offset)
}

/// Epoch, end, and the offsets of the messages after one.
fn load(store: &mut Store, from: Target<'_>, after: u64, now: u64) -> (String, u64, Vec<u64>) {
    let epoch = store.channels.get(from.hash).map(|it| it.epoch.clone()).unwrap_or_default();
    let wanted = Wanted { kept: 1_000, epoch: &epoch, after, count: 100 };
    let loaded = store.load(from, &wanted, at(now));
    let offset = |message: &Bytes| {
        let text = String::from_utf8_lossy(message).into_owned();
        text.split(' ').nth(2).and_then(|offset| offset.parse().ok()).unwrap()
    };
    let offsets = loaded.messages.iter().map(offset).collect();
    (String::from_utf8_lossy(&loaded.epoch).into_owned(), loaded.end, offsets)
}

/// Panics where what is counted is not what is there.
fn check(store: &Store) {
    let bytes = |(key, channel): (&Bytes, &Channel)| {
        channel.messages.iter().map(|it| cost(key, it)).sum::<usize>()
    };
    assert_eq!(store.bytes, store.channels.iter().map(bytes).sum::<usize>());
    assert_eq!(store.by_write.len(), store.channels.len());
    for (key, channel) in &store.channels {
        assert_eq!(store.by_write.get(&channel.written), Some(key));
        assert_eq!(store.filled.contains_key(&channel.written), !channel.messages.is_empty());
    }
    let filled = store.channels.values().filter(|it| !it.messages.is_empty()).count();
    assert_eq!(store.filled.len(), filled);
}

#[test]
fn messages_expire_before_their_channel_does() {
    let mut store = Store::default();
    let room = target("room", "g", "e1", 100);
    assert_eq!(publish(&mut store, room, 1, 10, 0), ("e1".into(), 1));
    assert_eq!(publish(&mut store, room, 2, 10, 50), ("e1".into(), 2));
    assert_eq!(load(&mut store, room, 0, 149), ("e1".into(), 2, vec![1, 2]));
    assert_eq!(load(&mut store, room, 0, 150), ("e1".into(), 2, vec![]));
    check(&store);
    assert_eq!(publish(&mut store, room, 3, 10, 200), ("e1".into(), 3));
    assert_eq!(load(&mut store, room, 0, 200), ("e1".into(), 3, vec![3]));
    let again = target("room", "g", "e2", 100);
    assert_eq!(load(&mut store, again, 0, 400), ("e2".into(), 0, vec![]));
    check(&store);
}

#[test]
fn without_a_time_to_live_nothing_expires() {
    let mut store = Store::default();
    publish(&mut store, target("room", "g", "e1", 100), 1, 10, 0);
    let room = target("room", "g", "e2", 0);
    publish(&mut store, room, 2, 10, 50);
    assert_eq!(load(&mut store, room, 0, u64::MAX / 2), ("e1".into(), 2, vec![1, 2]));
}

#[test]
fn a_channel_without_messages_keeps_its_offsets() {
    let mut store = Store::default();
    let room = target("room", "g", "e1", 0);
    for number in 1..=3 {
        publish(&mut store, room, number, 0, 0);
    }
    assert_eq!(load(&mut store, room, 0, 0), ("e1".into(), 3, vec![]));
    check(&store);
    publish(&mut store, room, 4, 2, 0);
    publish(&mut store, room, 5, 2, 0);
    publish(&mut store, room, 6, 2, 0);
    assert_eq!(load(&mut store, room, 0, 0), ("e1".into(), 6, vec![5, 6]));
    assert_eq!(load(&mut store, room, 5, 0), ("e1".into(), 6, vec![6]));
    assert_eq!(load(&mut store, room, 9, 0), ("e1".into(), 6, vec![]));
    check(&store);
}

#[test]
fn another_generation_begins_an_epoch_and_a_message_that_is_known_does_not() {
    let mut store = Store::default();
    publish(&mut store, target("room", "g1", "e1", 0), 1, 10, 0);
    let other = target("room", "g2", "e2", 0);
    assert_eq!(publish(&mut store, other, 1, 10, 0), ("e2".into(), 0));
    assert_eq!(load(&mut store, target("room", "g1", "e3", 0), 0, 0), ("e1".into(), 1, vec![1]));
    assert_eq!(publish(&mut store, other, 2, 10, 0), ("e2".into(), 1));
    assert_eq!(load(&mut store, other, 0, 0), ("e2".into(), 1, vec![1]));
    check(&store);
}

#[test]
fn past_the_bound_of_bytes_the_channel_that_was_written_first_loses_its_messages() {
    let one = cost(b"a", &Bytes::from_static(b"$34\r\nline e 1 1700000000000\npayload\r\n"));
    let mut store = Store::new(Limits { bytes: 4 * one + one / 2, ..Limits::default() });
    let [a, b] = ["a", "b"].map(|hash| target(hash, "g", "e", 0));
    let mut number = 0;
    for to in [a, a, b, b, a] {
        number += 1;
        publish(&mut store, to, number, 10, 0);
        check(&store);
    }
    assert_eq!(load(&mut store, b, 0, 0), ("e".into(), 2, vec![]));
    assert_eq!(load(&mut store, a, 0, 0), ("e".into(), 3, vec![1, 2, 3]));
    for _ in 0..3 {
        number += 1;
        publish(&mut store, a, number, 10, 0);
        check(&store);
    }
    assert_eq!(load(&mut store, a, 0, 0), ("e".into(), 6, vec![3, 4, 5, 6]));
    assert_eq!(publish(&mut store, b, number + 1, 10, 0), ("e".into(), 3));
    check(&store);
}

#[test]
fn past_the_bound_of_channels_the_one_that_was_written_first_is_forgotten() {
    let mut store = Store::new(Limits { channels: 2, ..Limits::default() });
    for (number, hash) in ["a", "b", "a", "c"].into_iter().enumerate() {
        publish(&mut store, target(hash, "g", "e", 0), number as u64 + 1, 10, 0);
        check(&store);
    }
    assert_eq!(load(&mut store, target("a", "g", "e2", 0), 0, 0).1, 2);
    assert_eq!(load(&mut store, target("b", "g", "e2", 0), 0, 0), ("e2".into(), 0, vec![]));
}

#[test]
fn a_sweep_goes_through_all_channels_in_parts() {
    let mut store = Store::default();
    for number in 1..=2_500_u64 {
        let hash = number.to_string();
        let ttl = if number % 2 == 0 { 100 } else { 1_000 };
        publish(&mut store, target(&hash, "g", "e", ttl), number, 10, 0);
    }
    let sweep = |store: &mut Store, now| {
        let (mut cursor, mut parts) = (Some(0), 0);
        while let Some(from) = cursor {
            cursor = store.sweep(from, at(now));
            parts += 1;
        }
        check(store);
        parts
    };
    assert_eq!(sweep(&mut store, 100), 3);
    assert_eq!((store.channels.len(), store.filled.len()), (2_500, 1_250));
    sweep(&mut store, 200);
    assert_eq!((store.channels.len(), store.filled.len()), (1_250, 1_250));
    sweep(&mut store, 1_000);
    assert_eq!((store.channels.len(), store.filled.len(), store.bytes), (1_250, 0, 0));
    sweep(&mut store, 2_000);
    assert!(store.channels.is_empty());
}
