//! However the network cuts the bytes, the events are the same; and so they are where large
//! payloads are read straight into their own buffers.

mod conversation;
#[path = "../support/mod.rs"]
mod support;

use std::iter;

use conversation::{conversation, damage, limits, Conversation, Damage, Filling, Item};
use em_websocket::{
    error::ProtocolError,
    protocol::{Event, Limits, Receiver},
};
use proptest::prelude::*;
use support::{close_body, machine::Seen, Kind, DRAFTS};

/// Way in which a piece of the network's reaches the receiver.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// From a buffer of the caller's, always.
    Receive,
    /// As the server reads: into the payload's own buffer where there is one.
    Direct,
}

/// Events that a receiver makes of the bytes, cut into pieces of these lengths, over and over.
fn events(talk: &Conversation, bytes: &[u8], cuts: &[usize], way: Way) -> Vec<Seen> {
    let mut receiver = Receiver::new(talk.draft.profile(), talk.limits);
    let mut seen = Vec::new();
    let mut sink = |event: Event<'_>| seen.push(Seen::from(event));
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut piece, behind) = rest.split_at((*cut).min(rest.len()));
        rest = behind;
        if let Way::Receive = way {
            receiver.receive(&mut piece.to_vec(), &mut sink);
            continue;
        }
        while !piece.is_empty() {
            let taken = match receiver.buffer() {
                Some((buffer, limit)) => {
                    assert!(limit > 0);
                    let taken = limit.min(piece.len());
                    buffer.extend_from_slice(&piece[..taken]);
                    receiver.received(taken, &mut sink);
                    taken
                }
                None => {
                    let taken = piece.len().min(64 * 1024);
                    receiver.receive(&mut piece[..taken].to_vec(), &mut sink);
                    taken
                }
            };
            piece = &piece[taken..];
        }
    }
    // Drafts 75 and 76 count what has come, so the number depends on how much that is.
    if let (true, Some(Seen::Error(ProtocolError::FrameTooLong(len)))) =
        (talk.draft.sentinel, seen.last_mut())
    {
        len.clear();
    }
    seen
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let piece =
        prop_oneof![4 => 0usize..5, 3 => 1usize..200, 2 => 1usize..20_000, 1 => 1usize..90_000];
    prop::collection::vec(piece, 1..30)
        .prop_filter("some progress", |cuts| cuts.iter().any(|cut| *cut > 0))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_is_whole_is_heard_however_it_is_cut(
        talk in conversation(Just(Damage::None), Just(Limits::default())),
        cuts in cuts(),
    ) {
        let (bytes, meaning) = talk.encode();
        for (cuts, way) in ways(&bytes, &cuts) {
            // Not `prop_assert_eq`: it would print what may be a megabyte, at every shrinking.
            prop_assert!(events(&talk, &bytes, &cuts, way) == meaning, "{way:?} {cuts:?}");
        }
    }

    #[test]
    fn what_is_broken_is_refused_alike_however_it_is_cut(
        talk in conversation(damage(), limits()),
        cuts in cuts(),
    ) {
        let (bytes, _) = talk.encode();
        let whole = events(&talk, &bytes, &[bytes.len().max(1)], Way::Receive);
        for (cuts, way) in ways(&bytes, &cuts) {
            prop_assert!(events(&talk, &bytes, &cuts, way) == whole, "{way:?} {cuts:?}");
        }
    }

    #[test]
    fn garbage_is_refused_alike_however_it_is_cut(
        garbage in prop::collection::vec(prop_oneof![Just(0x00), Just(0xff), any::<u8>()], 0..200),
        limits in limits(),
        cuts in cuts(),
    ) {
        for draft in DRAFTS {
            let talk = Conversation {
                draft, items: Vec::new(), close: None, damage: Damage::None, limits,
            };
            let whole = events(&talk, &garbage, &[garbage.len().max(1)], Way::Receive);
            for (cuts, way) in ways(&garbage, &cuts) {
                prop_assert_eq!(&events(&talk, &garbage, &cuts, way), &whole);
            }
        }
    }
}

/// All in one piece, as the cuts say, and byte by byte where that is not too long.
fn ways(bytes: &[u8], cuts: &[usize]) -> Vec<(Vec<usize>, Way)> {
    let mut all = vec![vec![bytes.len().max(1)], cuts.to_vec()];
    if bytes.len() < 3_000 {
        all.push(vec![1]);
    }
    all.into_iter().flat_map(|cuts| [(cuts.clone(), Way::Receive), (cuts, Way::Direct)]).collect()
}

#[test]
fn every_cut_into_two_of_every_kind_of_frame() {
    for draft in DRAFTS {
        let fillings = [0, 5, 126].map(|len| Filling { start: 3, len });
        let messages = iter::once(Item::Message {
            kind: Kind::Text,
            fragments: fillings.to_vec(),
            between: vec![(Kind::Ping, fillings[1]), (Kind::Pong, fillings[2])],
        });
        let controls = fillings.into_iter().map(|body| Item::Control(Kind::Ping, body));
        let talk = Conversation {
            draft,
            items: messages.chain(controls).collect(),
            close: Some(close_body(1000, "bye")),
            damage: Damage::None,
            limits: Limits::default(),
        };
        let (bytes, meaning) = talk.encode();
        for cut in 1..bytes.len() {
            let seen = events(&talk, &bytes, &[cut, bytes.len()], Way::Receive);
            assert_eq!(seen, meaning, "draft {}, cut at {cut}", draft.version);
        }
    }
}
