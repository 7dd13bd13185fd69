//! Frames of every version: any bytes mean the same however they are cut, stay within the limits,
//! and text is UTF-8 where that is checked.

use em_websocket::{
    error::ProtocolError,
    protocol::{
        version::{frames, profile, Framing, Profile},
        Event, Limits, Receiver,
    },
};

use crate::{
    cuts::{hear, heard, Cuts, Way},
    input::Input,
    meter,
    support::machine::Seen,
};

/// See [the module](self).
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let spoken = [75, 76, 3, 5, 6, 7, 8, 13].map(profile);
    // As em-websocket's framing modules are used by themselves.
    let framed = [3, 4, 5, 7].map(frames);
    let profile = input.choose(&[&spoken[..], &framed].concat()).expect("it is known");
    let limits = limits(&mut input);
    let cuts = Cuts::read(&mut input);
    let mut bytes = input.swollen();

    let whole = events(profile, limits, &bytes, &Cuts::whole(), Way::Receive);
    check(profile, limits, &whole, bytes.len());
    for cuts in cuts.clone().and_single(bytes.len()) {
        for way in [Way::Receive, Way::Direct] {
            let cut = events(profile, limits, &bytes, &cuts, way);
            assert!(cut == whole, "{way:?} {cuts:?}:\n{cut:?}\n{whole:?}");
        }
    }

    let allowed = memory(profile, limits, bytes.len());
    let receiver = Receiver::new(profile, limits);
    let ignore = &mut |_: Event<'_>| {};
    let ((), peak) = meter::peak_of(|| hear(receiver, &mut bytes, &cuts, Way::Receive, ignore));
    assert!(peak <= allowed, "{peak} bytes of memory, of {allowed}");
}

fn limits(input: &mut Input<'_>) -> Limits {
    let (frame, message) = input.choose(&[
        (10 << 20, 64 << 20),
        (1_000, 3_000),
        (3_000, 1_000),
        (125, 125),
        (20_000, 70_000),
        (1, 1),
        (0, 0),
        (usize::MAX, usize::MAX),
    ]);
    Limits { frame, message, require_masked: input.byte() & 1 != 0 }
}

fn events(
    profile: &'static Profile,
    limits: Limits,
    bytes: &[u8],
    cuts: &Cuts,
    way: Way,
) -> Vec<Seen> {
    let mut seen = heard(Receiver::new(profile, limits), bytes, cuts, way);
    // Drafts 75 and 76 count what has come, so the number depends on how much that is.
    if let (Framing::Sentinel, Some(Seen::Error(ProtocolError::FrameTooLong(len)))) =
        (profile.framing, seen.last_mut())
    {
        len.clear();
    }
    seen
}

fn check(profile: &Profile, limits: Limits, seen: &[Seen], received: usize) {
    let mut total = 0;
    for event in seen {
        let (payload, is_control) = match event {
            Seen::Text(payload) | Seen::Binary(payload) => (payload, false),
            Seen::Ping(payload) | Seen::Pong(payload) => (payload, true),
            Seen::Close(code, reason, body) => {
                assert!(code.is_none_or(|code| body[..2] == code.to_be_bytes()));
                assert!(reason.is_empty() || body[2..] == *reason.as_bytes());
                assert!(profile.close_codes || (code.is_none() && reason.is_empty()));
                (body, true)
            }
            Seen::Error(error) => {
                assert!(!error.to_string().is_empty() && error.close_code().may_be_received());
                continue;
            }
        };
        total += payload.len();
        assert!(payload.len() <= limits.message, "{} bytes", payload.len());
        // Elsewhere they may be fragmented, as anything may.
        if is_control && profile.strict_frames {
            assert!(payload.len() <= 125 && payload.len() + 2 <= limits.frame);
        }
        match event {
            Seen::Text(text) if profile.checks_text => assert!(std::str::from_utf8(text).is_ok()),
            Seen::Text(text) if profile.framing == Framing::Sentinel => {
                assert!(text.len() + 2 <= limits.frame && !text.contains(&0xff));
            }
            Seen::Text(_) => {}
            Seen::Binary(_) => assert!(profile.binary),
            Seen::Ping(_) | Seen::Pong(_) => assert!(profile.pingable),
            _ => {}
        }
    }
    assert!(total <= received, "more than there was");
}

/// Memory that a receiver may take: a message, a frame between its fragments, each twice more while
/// its buffer grows; and what it sets aside on the word of a header.
fn memory(profile: &Profile, limits: Limits, received: usize) -> usize {
    let most = match profile.framing {
        Framing::Sentinel => limits.frame,
        Framing::Length => limits.message.saturating_add(limits.frame),
    };
    let trusted = |limit: usize| limit.min(64 * 1024);
    3 * received.min(most) + trusted(limits.message) + trusted(limits.frame) + 4 * 1024
}
