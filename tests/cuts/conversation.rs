//! Conversations of clients: whole, or damaged on the way.

use em_websocket::protocol::Limits;
use proptest::{prelude::*, sample::Index};

use crate::support::{close_body, machine::Seen, Draft, Kind, DRAFTS};

/// Part of what a client says.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A message in as many fragments, with control frames between them.
    Message { kind: Kind, fragments: Vec<Filling>, between: Vec<(Kind, Filling)> },
    /// A ping or a pong.
    Control(Kind, Filling),
}

/// A payload, told shortly: so many bytes, beginning somewhere in an endless text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// One thing done to the bytes that may make no sense of them.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    None,
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Truncate(Index),
}

#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) draft: Draft,
    pub(crate) items: Vec<Item>,
    /// The body of a close frame at the end.
    pub(crate) close: Option<Vec<u8>>,
    pub(crate) damage: Damage,
    pub(crate) limits: Limits,
}

/// Text whose characters have one to four bytes.
const TEXT: &str = "Ein Fähnlein weht €-weise im 風 und 😀 lacht 🦀. ";

impl Filling {
    fn bytes(self) -> impl Iterator<Item = u8> {
        TEXT.bytes().cycle().skip(self.start % TEXT.len()).take(self.len)
    }
}

impl Conversation {
    /// The bytes of it, and what they mean while they are whole.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<Seen>) {
        let mut bytes = Vec::new();
        let mut meaning = Vec::new();
        for item in &self.items {
            match item {
                Item::Message { kind, fragments, between } => {
                    self.message(*kind, fragments, between, &mut bytes, &mut meaning);
                }
                Item::Control(kind, body) => self.control(*kind, *body, &mut bytes, &mut meaning),
            }
        }
        if let Some(body) = &self.close {
            bytes.extend(self.draft.frame(Kind::Close, body));
            let code = body.first_chunk().filter(|_| self.draft.has_codes());
            let reason = match code {
                Some(_) => String::from_utf8_lossy(&body[2..]).into_owned(),
                None => String::new(),
            };
            let body = if self.draft.sentinel { Vec::new() } else { body.clone() };
            meaning.push(Seen::Close(code.map(|code| u16::from_be_bytes(*code)), reason, body));
        }
        self.damage.inflict(&mut bytes);
        (bytes, meaning)
    }

    fn message(
        &self,
        kind: Kind,
        fragments: &[Filling],
        between: &[(Kind, Filling)],
        bytes: &mut Vec<u8>,
        meaning: &mut Vec<Seen>,
    ) {
        let kind = if self.draft.sentinel { Kind::Text } else { kind };
        let len = fragments.iter().map(|fragment| fragment.len).sum();
        let mut payload: Vec<u8> = Filling { len, ..fragments[0] }.bytes().collect();
        // A text begins and ends with a whole character; its fragments need not.
        if kind == Kind::Text {
            let text = String::from_utf8_lossy(&payload).replace('\u{fffd}', "x");
            payload = text.into_bytes();
        }
        if self.draft.sentinel {
            bytes.extend(self.draft.frame(Kind::Text, &payload));
        } else {
            let mut rest = &payload[..];
            for (index, fragment) in fragments.iter().enumerate() {
                let is_last = index + 1 == fragments.len();
                let cut = if is_last { rest.len() } else { fragment.len.min(rest.len()) };
                let (piece, behind) = rest.split_at(cut);
                rest = behind;
                let kind = if index == 0 { kind } else { Kind::Continuation };
                bytes.extend(self.draft.fragment(kind, is_last, piece));
                if let (false, Some((kind, body))) = (is_last, between.get(index)) {
                    self.control(*kind, *body, bytes, meaning);
                }
            }
        }
        meaning.push(match kind {
            Kind::Text => Seen::Text(payload),
            _ => Seen::Binary(payload),
        });
    }

    /// A ping or a pong; in the drafts that have none, a frame whose bytes are discarded.
    fn control(&self, kind: Kind, body: Filling, bytes: &mut Vec<u8>, meaning: &mut Vec<Seen>) {
        let body: Vec<u8> = body.bytes().take(125).collect();
        if self.draft.sentinel {
            bytes.extend([0x80, body.len() as u8]);
            bytes.extend(body);
            return;
        }
        bytes.extend(self.draft.frame(kind, &body));
        meaning.push(match kind {
            Kind::Ping => Seen::Ping(body),
            _ => Seen::Pong(body),
        });
    }
}

impl Damage {
    fn inflict(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::None => {}
            Self::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Self::Insert(at, garbage) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, garbage.iter().copied());
            }
            Self::Remove(at, len) => {
                let at = at.index(bytes.len());
                bytes.drain(at..bytes.len().min(at + len));
            }
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn filling() -> impl Strategy<Value = Filling> {
    // On both sides of the lengths at which the header, and the way of reading, change.
    let len = prop_oneof![
        8 => 0usize..40,
        3 => 120usize..132,
        3 => 8_000usize..9_000,
        1 => 65_500usize..65_600,
        1 => 65_536usize..200_000,
    ];
    (any::<u8>(), len).prop_map(|(start, len)| Filling { start: start.into(), len })
}

fn control() -> impl Strategy<Value = (Kind, Filling)> {
    (prop_oneof![Just(Kind::Ping), Just(Kind::Pong)], filling())
}

fn item() -> impl Strategy<Value = Item> {
    let message = (
        prop_oneof![2 => Just(Kind::Text), 1 => Just(Kind::Binary)],
        prop::collection::vec(filling(), 1..5),
        prop::collection::vec(control(), 0..3),
    );
    prop_oneof![
        3 => message.prop_map(|(kind, fragments, between)| Item::Message { kind, fragments, between }),
        1 => control().prop_map(|(kind, body)| Item::Control(kind, body)),
    ]
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), 1u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, garbage)| Damage::Insert(at, garbage)),
        (any::<Index>(), 1usize..20).prop_map(|(at, len)| Damage::Remove(at, len)),
        any::<Index>().prop_map(Damage::Truncate),
    ]
}

pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    let small = (0usize..300, 0usize..600, any::<bool>())
        .prop_map(|(frame, message, require_masked)| Limits { frame, message, require_masked });
    prop_oneof![3 => Just(Limits::default()), 1 => small]
}

pub(crate) fn conversation(
    damage: impl Strategy<Value = Damage>,
    limits: impl Strategy<Value = Limits>,
) -> impl Strategy<Value = Conversation> {
    let close = prop::option::of(prop_oneof![
        Just(Vec::new()),
        Just(close_body(1000, "")),
        Just(close_body(4999, "tschüß")),
    ]);
    let items = prop::collection::vec(item(), 0..5);
    (prop::sample::select(&DRAFTS[..]), items, close, damage, limits).prop_map(
        |(draft, items, close, damage, limits)| Conversation {
            draft,
            items,
            close,
            damage,
            limits,
        },
    )
}
