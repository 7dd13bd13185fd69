//! Conversations, in any fragments, and however the network cuts them: all is heard.

use em_websocket::protocol::{
    deflate::{negotiate, Config, Deflater, Params},
    version::RFC_6455 as PROFILE,
    Limits, Opcode,
};
use proptest::{prelude::*, sample::Index};

use super::{
    compressed, hear_cut, receiver_with, sending::payload, strict::Strict, support, text, Peer,
};
use support::{machine::Seen, Kind, RFC_6455};

/// A message of the client's.
#[derive(Clone, Debug)]
struct Message {
    content: Content,
    compressed: bool,
    /// Places where it is cut into fragments, each with a ping behind it or not.
    cuts: Vec<(Index, bool)>,
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    Binary(Vec<u8>),
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    let words = prop::collection::vec(prop_oneof!["[a-e]{1,4} ", "\\PC{0,3}"], 0..60);
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        4 => (words, 1_usize..40).prop_map(|(words, times)| Content::Text(words.concat().repeat(times))),
        1 => noise.prop_map(Content::Binary),
        1 => (any::<u8>(), 0_usize..100_000).prop_map(|(byte, len)| Content::Binary(vec![byte; len])),
    ]
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let cuts = prop::collection::vec(any::<(Index, bool)>(), 0..4);
    let message = (content(), prop::bool::weighted(0.8), cuts)
        .prop_map(|(content, compressed, cuts)| Message { content, compressed, cuts });
    prop::collection::vec(message, 1..8)
}

/// The frames of the messages, and what they mean.
fn encode(messages: &[Message], peer: &mut Peer) -> (Vec<u8>, Vec<Seen>) {
    let (mut bytes, mut meaning) = (Vec::new(), Vec::new());
    for message in messages {
        let content = message.content.bytes();
        let (kind, seen) = match &message.content {
            Content::Text(text) => (Kind::Text, Seen::text(text)),
            Content::Binary(bytes) => (Kind::Binary, Seen::Binary(bytes.clone())),
        };
        let payload = if message.compressed { peer.message(content) } else { content.to_vec() };
        let mut cuts: Vec<_> =
            message.cuts.iter().map(|(at, ping)| (at.index(payload.len() + 1), *ping)).collect();
        cuts.sort_unstable();
        cuts.push((payload.len(), false));
        let mut start = 0;
        for (at, (end, ping)) in cuts.iter().enumerate() {
            let last = at + 1 == cuts.len();
            let piece = &payload[start..*end];
            bytes.extend(match (at, message.compressed) {
                (0, true) => compressed(kind, last, piece),
                (0, false) => RFC_6455.fragment(kind, last, piece),
                _ => RFC_6455.fragment(Kind::Continuation, last, piece),
            });
            if *ping && !last {
                bytes.extend(RFC_6455.frame(Kind::Ping, b"ping"));
                meaning.push(Seen::Ping(b"ping".to_vec()));
            }
            start = *end;
        }
        meaning.push(seen);
    }
    (bytes, meaning)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let piece = prop_oneof![4 => 1_usize..5, 3 => 1_usize..200, 1 => 1_usize..70_000];
    prop::collection::vec(piece, 1..20)
}

/// An offer with any of the parameters.
fn offer() -> impl Strategy<Value = String> {
    let bits = || prop::option::of(8_u8..=15);
    (any::<(bool, bool)>(), bits(), prop::option::of(bits())).prop_map(
        |((server_alone, client_alone), server_bits, client_bits)| {
            let mut offer = "permessage-deflate".to_owned();
            if server_alone {
                offer += "; server_no_context_takeover";
            }
            if client_alone {
                offer += "; client_no_context_takeover";
            }
            if let Some(bits) = server_bits {
                offer += &format!("; server_max_window_bits={bits}");
            }
            if let Some(hint) = client_bits {
                offer += "; client_max_window_bits";
                offer += &hint.map(|bits| format!("={bits}")).unwrap_or_default();
            }
            offer
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let threshold = prop_oneof![Just(0), 0_usize..2_000];
    (0_u8..=9, threshold, any::<bool>(), 8_u8..=15, 1_u8..=9).prop_map(
        |(level, threshold, context_takeover, window_bits, memory_level)| Config {
            level,
            threshold,
            context_takeover,
            window_bits,
            memory_level,
        },
    )
}

fn agree(offer: &str, config: &Config) -> Params {
    negotiate([offer.as_bytes()], config).expect("a valid offer")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_a_client_says_is_heard(
        messages in messages(), offer in offer(), config in config(), cuts in cuts(),
    ) {
        let agreed = agree(&offer, &config);
        let (bytes, meaning) = encode(&messages, &mut Peer::new(!agreed.client_no_context_takeover));
        let mut all = vec![vec![bytes.len()], cuts];
        if bytes.len() < 3_000 {
            all.push(vec![1]);
        }
        for cuts in all {
            let mut receiver = receiver_with(RFC_6455, &agreed, Limits::default());
            // Not `prop_assert_eq`: it would print what may be a megabyte, at every shrinking.
            prop_assert!(hear_cut(&mut receiver, &bytes, &cuts) == meaning, "{cuts:?}");
        }
    }

    #[test]
    fn what_is_sent_is_read(
        contents in prop::collection::vec((content(), any::<bool>()), 1..8),
        offer in offer(),
        config in config(),
    ) {
        let agreed = agree(&offer, &config);
        let bits = agreed.server_max_window_bits.unwrap_or(15);
        let mut strict = Strict::new(bits, !agreed.server_no_context_takeover);
        let mut deflater = Deflater::new(&agreed, &config);
        for (content, releases) in contents {
            let opcode = match &content {
                Content::Text(_) => Opcode::Text,
                Content::Binary(_) => Opcode::Binary,
            };
            let mut out = b"what is there already".to_vec();
            let before = out.len();
            deflater.message(&PROFILE, opcode, content.bytes(), &mut out);
            prop_assert!(payload(&out[before..], opcode, &mut strict) == content.bytes());
            if releases {
                deflater.release();
            }
        }
    }

    /// Damage is found at the same byte, and called the same, wherever the network cuts.
    #[test]
    fn what_is_broken_is_refused_alike_however_it_is_cut(
        messages in messages(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        limit in prop_oneof![Just(usize::MAX), 0_usize..3_000],
        cuts in cuts(),
    ) {
        let mut peer = Peer::new(true);
        let mut payloads: Vec<Vec<u8>> =
            messages.iter().map(|message| peer.message(message.content.bytes())).collect();
        for (at, byte) in damage {
            let payload = &mut payloads[at.index(messages.len())];
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let bytes = payloads.iter().map(|payload| text(payload)).collect::<Vec<_>>().concat();
        let limits = Limits { message: limit, ..Limits::default() };
        let hear = |cuts: &[usize]| {
            hear_cut(&mut receiver_with(RFC_6455, &Params::default(), limits), &bytes, cuts)
        };
        let whole = hear(&[bytes.len()]);
        prop_assert!(hear(&cuts) == whole, "{cuts:?}");
        if bytes.len() < 3_000 {
            prop_assert!(hear(&[1]) == whole);
        }
    }

    #[test]
    fn noise_is_refused_alike_however_it_is_cut(
        noise in prop::collection::vec(prop_oneof![Just(0x00), Just(0xff), any::<u8>()], 0..200),
        cuts in cuts(),
    ) {
        let bytes = compressed(Kind::Binary, true, &noise);
        let hear = |cuts: &[usize]| {
            hear_cut(&mut receiver_with(RFC_6455, &Params::default(), Limits::default()), &bytes, cuts)
        };
        let whole = hear(&[bytes.len()]);
        prop_assert_eq!(hear(&cuts), whole.clone());
        prop_assert_eq!(hear(&[1]), whole);
    }
}
