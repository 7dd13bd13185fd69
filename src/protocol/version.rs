//! The drafts, as data: what each version of the protocol does, and nothing else.
//!
//! No other file compares version numbers. Each [`Profile`] is written as the one before it,
//! "except ...".

/// Profile of one version of the protocol.
#[derive(Debug, Eq, PartialEq)]
pub struct Profile {
    /// The number: 75, 76, 3, 5, 6, 7, 8 or 13.
    pub version: u16,
    /// Answer to the opening handshake.
    pub opening: Opening,
    /// Delimiting of a frame.
    pub framing: Framing,
    /// Meaning of a frame's top bit.
    pub top_bit: TopBit,
    /// Numbers of the opcodes.
    pub opcodes: Opcodes,
    /// Place of a client's masking key.
    pub masking: Masking,
    /// Size that `max_frame_size` is compared with.
    pub size_limit: SizeLimit,
    /// True if RFC 6455 section 5.2, 5.4 and 5.5 are insisted upon: order of fragments, reserved
    /// bits, short and whole control frames, minimal meaning of lengths.
    pub strict_frames: bool,
    /// Bytes that our own close sends.
    pub close: Close,
    /// Answer to the peer's close.
    pub close_reply: CloseReply,
    /// True where text is checked to be UTF-8: in every version, and not in [`frames`].
    pub checks_text: bool,
    /// True if there are ping and pong frames.
    pub pingable: bool,
    /// True if there are binary frames.
    pub binary: bool,
    /// True if close frames carry a code.
    pub close_codes: bool,
    /// True if extensions are negotiated, and the first reserved bit may mean compression.
    pub extensions: bool,
}

/// Answer to the opening handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// Draft 75: origin and location come back.
    Echo,
    /// Drafts 76 to 03: the MD5 of two keys and eight bytes.
    Challenge,
    /// Drafts 04 and later: `Sec-WebSocket-Accept`.
    Accept,
}

/// Delimiting of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// 00 ... FF.
    Sentinel,
    /// Opcode and length.
    Length,
}

/// Meaning of a frame's top bit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TopBit {
    /// Set: more fragments follow (draft 03).
    More,
    /// Set: this is the last fragment (drafts 04 and later).
    Fin,
}

/// Numbers of the opcodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcodes {
    /// 0 continuation, 1 close, 2 ping, 3 pong, 4 text, 5 binary (drafts 03 to 06).
    Draft,
    /// 0 continuation, 1 text, 2 binary, 8 close, 9 ping, A pong (drafts 07 and later).
    Rfc,
}

/// Place of a client's masking key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Masking {
    /// Nowhere.
    Never,
    /// The four bytes before each frame; the header is masked too (drafts 04 to 06).
    Leading,
    /// After the length, where the mask bit is set (drafts 07 and later).
    Flagged,
}

/// Size that `max_frame_size` is compared with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SizeLimit {
    /// The bytes that wait for the end of their frame.
    Buffer,
    /// The payload.
    Payload,
    /// The payload, its header and its masking key.
    Frame,
}

/// Bytes that our own close sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Close {
    /// Nothing: the TCP connection ends (drafts 75 and 76).
    Tcp,
    /// A close frame without a body (draft 03).
    Empty,
    /// A close frame whose body is "S" (draft 05).
    S,
    /// A close frame with code and reason.
    Code,
}

/// Answer to the peer's close.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CloseReply {
    /// FF 00, then the TCP connection ends (drafts 75 and 76).
    Terminate,
    /// A close frame with the same body.
    Body,
    /// A close frame with the same code, or 1000 where there was none.
    Code,
}

/// draft-hixie-thewebsocketprotocol-75.
pub static DRAFT_75: Profile = BASE_75;
/// draft-hixie-thewebsocketprotocol-76.
pub static DRAFT_76: Profile = BASE_76;
/// draft-ietf-hybi-thewebsocketprotocol-03 (01 and 02 alike).
pub static DRAFT_03: Profile = BASE_03;
/// draft-ietf-hybi-thewebsocketprotocol-05.
pub static DRAFT_05: Profile = BASE_05;
/// draft-ietf-hybi-thewebsocketprotocol-06.
pub static DRAFT_06: Profile = BASE_06;
/// draft-ietf-hybi-thewebsocketprotocol-07.
pub static DRAFT_07: Profile = BASE_07;
/// draft-ietf-hybi-thewebsocketprotocol-08 (up to 12).
pub static DRAFT_08: Profile = Profile { version: 8, ..BASE_07 };
/// RFC 6455.
pub static RFC_6455: Profile = Profile { version: 13, ..BASE_07 };

/// Every version that is spoken, oldest first.
pub static ALL: [&Profile; 8] =
    [&DRAFT_75, &DRAFT_76, &DRAFT_03, &DRAFT_05, &DRAFT_06, &DRAFT_07, &DRAFT_08, &RFC_6455];

/// The profile of a version number as a client asks for it, if it is spoken here.
pub fn profile(version: i64) -> Option<&'static Profile> {
    match version {
        75 => Some(&DRAFT_75),
        76 => Some(&DRAFT_76),
        1..=3 => Some(&DRAFT_03),
        5 => Some(&DRAFT_05),
        6 => Some(&DRAFT_06),
        7 => Some(&DRAFT_07),
        8 => Some(&DRAFT_08),
        13 => Some(&RFC_6455),
        _ => None,
    }
}

/// Every number that a client may ask for, the newest first.
pub static NUMBERS: [u16; 10] = [13, 8, 7, 6, 5, 3, 2, 1, 76, 75];

/// Some of the [`NUMBERS`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Versions(u16);

impl Versions {
    /// Every version.
    pub const ALL: Self = Self((1 << NUMBERS.len()) - 1);
    /// 13 and 8, which browsers of this day and the one before speak.
    pub const STRICT: Self = Self(0b11);

    /// `None` where there is none, or one that is not spoken here.
    pub fn of(numbers: &[i64]) -> Option<Self> {
        let bits = numbers.iter().try_fold(0, |bits, number| Some(bits | Self::bit(*number)?))?;
        (bits != 0).then_some(Self(bits))
    }

    /// True for a number that is among them.
    pub fn contains(self, number: i64) -> bool {
        Self::bit(number).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Value of `Sec-WebSocket-Version` for them: the newest of all, and where there are not all,
    /// those that a client asks for by that field; `None` where there is no such one.
    pub(crate) fn to_header(self) -> Option<String> {
        if self == Self::ALL {
            return Some(RFC_6455.version.to_string());
        }
        let asked_by_it = |number: &u16| {
            profile((*number).into()).is_some_and(|profile| profile.opening == Opening::Accept)
        };
        let numbers = NUMBERS.iter().filter(|number| self.contains((**number).into()));
        let listed: Vec<_> =
            numbers.copied().filter(asked_by_it).map(|it| it.to_string()).collect();
        (!listed.is_empty()).then(|| listed.join(", "))
    }

    fn bit(number: i64) -> Option<u16> {
        NUMBERS.iter().position(|known| i64::from(*known) == number).map(|at| 1 << at)
    }
}

/// Frames by themselves, for a caller who judges for himself what a text says and
/// which code a close frame bears: as em-websocket's framing modules 03, 04, 05 and 07. (Draft 04 is
/// framed there, although the version is not spoken.)
pub fn frames(draft: i64) -> Option<&'static Profile> {
    static FRAMES_03: Profile = Profile { checks_text: false, ..BASE_03 };
    static FRAMES_04: Profile = Profile { version: 4, masking: Masking::Never, ..FRAMES_05 };
    static FRAMES_05: Profile = Profile { checks_text: false, ..BASE_05 };
    static FRAMES_07: Profile = Profile { checks_text: false, close_codes: false, ..BASE_07 };
    match draft {
        3 => Some(&FRAMES_03),
        4 => Some(&FRAMES_04),
        5 => Some(&FRAMES_05),
        7 => Some(&FRAMES_07),
        _ => None,
    }
}

const BASE_75: Profile = Profile {
    version: 75,
    opening: Opening::Echo,
    framing: Framing::Sentinel,
    top_bit: TopBit::Fin,
    opcodes: Opcodes::Draft,
    masking: Masking::Never,
    size_limit: SizeLimit::Buffer,
    strict_frames: false,
    close: Close::Tcp,
    close_reply: CloseReply::Terminate,
    checks_text: true,
    pingable: false,
    binary: false,
    close_codes: false,
    extensions: false,
};

const BASE_76: Profile = Profile { version: 76, opening: Opening::Challenge, ..BASE_75 };

const BASE_03: Profile = Profile {
    version: 3,
    framing: Framing::Length,
    top_bit: TopBit::More,
    size_limit: SizeLimit::Payload,
    close: Close::Empty,
    close_reply: CloseReply::Body,
    pingable: true,
    binary: true,
    ..BASE_76
};

const BASE_05: Profile = Profile {
    version: 5,
    opening: Opening::Accept,
    top_bit: TopBit::Fin,
    masking: Masking::Leading,
    close: Close::S,
    ..BASE_03
};

const BASE_06: Profile = Profile {
    version: 6,
    close: Close::Code,
    close_reply: CloseReply::Code,
    close_codes: true,
    ..BASE_05
};

const BASE_07: Profile = Profile {
    version: 7,
    opcodes: Opcodes::Rfc,
    masking: Masking::Flagged,
    size_limit: SizeLimit::Frame,
    strict_frames: true,
    extensions: true,
    ..BASE_06
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_profile_and_every_profile_a_number() {
        for number in -1..100 {
            let is_number = NUMBERS.iter().any(|known| i64::from(*known) == number);
            assert_eq!(profile(number).is_some(), is_number, "{number}");
            assert_eq!(Versions::ALL.contains(number), is_number, "{number}");
        }
        for profile in ALL {
            assert!(NUMBERS.contains(&profile.version));
        }
    }

    #[test]
    fn some_versions_are_these_and_no_others() {
        for chosen in [&[13_i64][..], &[13, 8], &[8, 13, 13], &[75], &[76, 3, 1], &[5, 6, 7]] {
            let versions = Versions::of(chosen).unwrap();
            for number in NUMBERS.map(i64::from) {
                assert_eq!(versions.contains(number), chosen.contains(&number), "{chosen:?}");
            }
        }
        assert_eq!(Versions::of(&[13, 8]), Some(Versions::STRICT));
        assert_eq!(Versions::of(&NUMBERS.map(i64::from)), Some(Versions::ALL));
        for wrong in [&[][..], &[4], &[13, 9], &[0], &[-13], &[i64::MAX]] {
            assert_eq!(Versions::of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_header_lists_what_it_can_ask_for() {
        for (chosen, header) in [
            (&[13, 8][..], Some("13, 8")),
            (&[8, 13], Some("13, 8")),
            (&[75, 6, 76, 5], Some("6, 5")),
            (&[7], Some("7")),
            (&[75, 76, 1, 2, 3], None),
        ] {
            let versions = Versions::of(chosen).unwrap();
            assert_eq!(versions.to_header().as_deref(), header, "{chosen:?}");
        }
        assert_eq!(Versions::ALL.to_header().as_deref(), Some("13"));
    }
}
