//! permessage-deflate: any compressed bytes stay within the limit and mean the same however they
//! are cut; any message comes back whatever was agreed; and any offer is answered within it.

use em_websocket::protocol::{
    apply_mask,
    deflate::{negotiate, Config, Deflater, Params},
    version::RFC_6455 as PROFILE,
    Event, Limits, Opcode, Receiver,
};

use crate::{
    cuts::{hear, heard, Cuts, Way},
    input::Input,
    meter,
    strict::Strict,
    support::{machine::Seen, Frame, Kind, Length, RFC_6455},
};

/// See [the module](self).
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => inflates(&mut input),
        1 => comes_back(&mut input),
        2 => is_answered(&mut input),
        _ => is_answered_as_the_rfc_says(&mut input),
    }
}

/// Compressed frames of any content.
fn inflates(input: &mut Input<'_>) {
    let client_no_context_takeover = input.byte() & 1 != 0;
    let agreed = Params { client_no_context_takeover, ..Params::default() };
    let message = input.choose(&[64 << 20, 100_000, 3_000, 100, 1, 0, usize::MAX]);
    let limits = Limits { message, ..Limits::default() };
    let cuts = Cuts::read(input);
    let bytes = frames(input);

    let receiver = || Receiver::new(&PROFILE, limits).with_deflate(&agreed);
    let mut most = 0;
    let measure = &mut |event: Event<'_>| {
        let (payload, is_text) = match &event {
            Event::Text(payload, _) => (payload, true),
            Event::Binary(payload) => (payload, false),
            _ => return,
        };
        assert!(payload.len() <= message, "{} bytes", payload.len());
        assert!(!is_text || std::str::from_utf8(payload).is_ok());
        most = most.max(payload.len());
    };
    let received = bytes.len();
    let mut copy = bytes.clone();
    let ((), peak) =
        meter::peak_of(|| hear(receiver(), &mut copy, &Cuts::whole(), Way::Receive, measure));
    // What it inflates to, three times while its buffer grows; the window and the tables.
    let largest = message.min(most.max(received.saturating_mul(MOST_EXPANSION)));
    let allowed = largest.saturating_mul(3).saturating_add(3 * received + 192 * 1024);
    assert!(peak <= allowed, "{peak} bytes of memory, of {allowed}");

    // A bomb of a megabyte has been heard once, that is enough.
    if most > 64 * 1024 {
        return;
    }
    let whole = heard(receiver(), &bytes, &Cuts::whole(), Way::Receive);
    for cuts in cuts.and_single(bytes.len()) {
        for way in [Way::Receive, Way::Direct] {
            let cut = heard(receiver(), &bytes, &cuts, way);
            assert!(cut == whole, "{way:?} {cuts:?}:\n{cut:?}\n{whole:?}");
        }
    }
}

/// DEFLATE makes no more of a byte (RFC 1951: 258 bytes of two bits).
const MOST_EXPANSION: usize = 1_032;

/// Frames of a client: whole ones and fragments, compressed or not, of any payload.
fn frames(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !input.is_empty() {
        let flags = input.byte();
        let kind = match flags & 7 {
            0..=2 => Kind::Text,
            3 | 4 => Kind::Binary,
            5 => Kind::Continuation,
            6 => Kind::Ping,
            _ => Kind::Close,
        };
        let payload = match flags & 0x40 {
            0 => input.counted().to_vec(),
            // Enough for a payload to get a buffer of its own, or a bomb.
            _ => {
                let times = usize::from(input.byte()) * 64;
                input.counted().repeat(times).into_iter().take(64 * 1024).collect()
            }
        };
        let is_data = matches!(kind, Kind::Text | Kind::Binary);
        let reserved = if is_data && flags & 0x10 == 0 { 0b100 } else { 0 };
        bytes.extend(RFC_6455.encode(&Frame {
            opcode: RFC_6455.opcode(kind),
            last: flags & 8 == 0,
            reserved,
            length: Length::Shortest,
            masked: flags & 0x20 == 0,
            payload: &payload,
        }));
    }
    bytes
}

/// Messages that are compressed here, read by the receiver of the other role, and by an inflater
/// that keeps no larger window than was agreed.
fn comes_back(input: &mut Input<'_>) {
    let config = config(input);
    let agreed = parameters(input);
    let cuts = Cuts::read(input);
    let key = [input.byte(), input.byte(), input.byte(), input.byte()];

    let own = config.window_bits.clamp(8, 15);
    let bits = agreed.server_max_window_bits.unwrap_or(15).min(own);
    let mut strict = Strict::new(bits.max(9), !agreed.server_no_context_takeover);
    let mut deflater = Deflater::new(&agreed, &config);
    let (mut bytes, mut sent) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        let flags = input.byte();
        let message = message(input);
        if flags & 4 != 0 {
            deflater.release();
        }
        let is_text = flags & 1 != 0 && std::str::from_utf8(&message).is_ok();
        let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
        let mut frame = Vec::new();
        deflater.message(&PROFILE, opcode, &message, &mut frame);
        let read = payload(&frame, &mut strict);
        assert!(read == message, "{} bytes came back as {}", message.len(), read.len());
        bytes.extend(masked(frame, key));
        sent.push(if is_text { Seen::Text(message) } else { Seen::Binary(message) });
    }

    let swapped = Params {
        client_no_context_takeover: agreed.server_no_context_takeover,
        client_max_window_bits: agreed.server_max_window_bits,
        ..Params::default()
    };
    for cuts in cuts.and_single(bytes.len()) {
        for way in [Way::Receive, Way::Direct] {
            let receiver = Receiver::new(&PROFILE, Limits::default()).with_deflate(&swapped);
            assert!(heard(receiver, &bytes, &cuts, way) == sent, "{way:?} {cuts:?}");
        }
    }
}

/// A message that repeats itself, or not.
fn message(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        times @ 0x80.. => {
            let times = usize::from(times & 0x7f) * 16;
            input.counted().repeat(times).into_iter().take(40_000).collect()
        }
        times => input.counted().repeat(usize::from(times % 8) + 1),
    }
}

fn config(input: &mut Input<'_>) -> Config {
    Config {
        level: input.byte() % 12,
        threshold: input.choose(&[0, 1, 100, 860]),
        context_takeover: input.byte() & 1 == 0,
        window_bits: input.byte() % 18,
        memory_level: input.byte() % 11,
    }
}

fn parameters(input: &mut Input<'_>) -> Params {
    let flags = input.byte();
    let bits = input.byte();
    Params {
        server_no_context_takeover: flags & 1 != 0,
        client_no_context_takeover: flags & 2 != 0,
        server_max_window_bits: (flags & 4 != 0).then_some(8 + bits % 8),
        client_max_window_bits: (flags & 8 != 0).then_some(8 + bits / 8 % 8),
    }
}

/// The message in a server's frame.
fn payload(frame: &[u8], strict: &mut Strict) -> Vec<u8> {
    let mut plain = frame.to_vec();
    plain[0] &= !0x40;
    let mut frames = RFC_6455.decode_all(&plain);
    let (_, payload) = frames.pop().expect("a frame");
    assert!(frames.is_empty());
    match frame[0] & 0x40 {
        0 => payload,
        _ => strict.message(&payload),
    }
}

/// A server's frame, masked, as a client would send it.
fn masked(mut frame: Vec<u8>, key: [u8; 4]) -> Vec<u8> {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame[1] |= 0x80;
    apply_mask(&mut frame[header..], key, 0);
    frame.splice(header..header, key);
    frame
}

/// The values of `Sec-WebSocket-Extensions`, a line each.
fn is_answered(input: &mut Input<'_>) {
    let config = config(input);
    let offers = input.rest();
    let values = || offers.split(|byte| *byte == b'\n');
    let Some(agreed) = negotiate(values(), &config) else {
        return;
    };
    let named = |name: &str| offers.windows(name.len()).any(|it| it == name.as_bytes());
    let own = config.window_bits.clamp(8, 15);
    assert!(named("permessage-deflate"));
    for bits in [agreed.server_max_window_bits, agreed.client_max_window_bits] {
        assert!(bits.is_none_or(|bits| (8..=15).contains(&bits)), "{agreed}");
    }
    // Of our own, too, nothing is said to a client that has not offered it.
    if let Some(bits) = agreed.server_max_window_bits {
        assert!(named("server_max_window_bits") && bits <= own);
    }
    // Nothing is asked of a client that has not offered it.
    if let Some(bits) = agreed.client_max_window_bits {
        assert!(named("client_max_window_bits") && bits <= own.max(9));
    }
    if agreed.server_no_context_takeover && config.context_takeover {
        assert!(named("server_no_context_takeover"));
    }
    if agreed.client_no_context_takeover && config.context_takeover {
        assert!(named("client_no_context_takeover"));
    }
    assert!(config.context_takeover || agreed.server_no_context_takeover);

    // The offer that was taken is one of a list, and alone comes to the same.
    let is_taken = |offer: &[u8]| negotiate([offer], &config) == Some(agreed);
    let plain = !offers.iter().any(|byte| matches!(byte, b'"' | b'\\'));
    assert!(!plain || values().flat_map(|value| value.split(|byte| *byte == b',')).any(is_taken));
    // An answer is a valid offer, and what it names is agreed to again.
    let again = negotiate([agreed.to_string().as_bytes()], &config).expect("a valid offer");
    assert_eq!(again.server_max_window_bits, agreed.server_max_window_bits);
    assert_eq!(again.server_no_context_takeover, agreed.server_no_context_takeover);
    assert_eq!(again.client_no_context_takeover, agreed.client_no_context_takeover);
}

/// A valid offer behind invalid ones, and what RFC 7692 section 7.1 has the answer be.
fn is_answered_as_the_rfc_says(input: &mut Input<'_>) {
    let config = config(input);
    let mut elements = Vec::new();
    for _ in 0..input.byte() % 4 {
        elements.push(input.choose(&[
            "",
            "x-other; a=\"b, permessage-deflate\"",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        ]));
    }
    let wanted = parameters(input);
    let flags = input.byte();
    let names_no_bits = flags & 1 != 0;
    let mut parameters: Vec<_> =
        wanted.to_string().split("; ").skip(1).map(str::to_owned).collect();
    if names_no_bits && wanted.client_max_window_bits.is_some() {
        // It is the last of them.
        parameters.pop();
        parameters.push("client_max_window_bits".to_owned());
    }
    if flags & 2 != 0 {
        parameters.reverse();
    }
    let separator = input.choose(&["; ", ";", " ;\t"]);
    let offer = [&["permessage-deflate".to_owned()], &parameters[..]].concat().join(separator);
    let separator = input.choose(&[", ", ",", "\n"]);
    elements.push(&offer);
    elements.push("permessage-deflate");
    let offers = elements.join(separator);

    let values = offers.split('\n').map(str::as_bytes);
    let agreed = negotiate(values, &config).expect("one of them is valid");
    let alone = !config.context_takeover;
    assert_eq!(agreed.server_no_context_takeover, wanted.server_no_context_takeover || alone);
    assert_eq!(agreed.client_no_context_takeover, wanted.client_no_context_takeover || alone);
    let own = config.window_bits.clamp(8, 15);
    // An answer without the parameter would not accept the offer (section 7.1.2.1).
    let server_bits = wanted.server_max_window_bits.map(|bits| bits.min(own));
    assert_eq!(agreed.server_max_window_bits, server_bits, "{offers}");
    let client_bits = match wanted.client_max_window_bits {
        None => 15,
        Some(_) if names_no_bits => own.max(9),
        // 8 is asked of nobody who has not named it.
        Some(bits) => own.max(9).min(bits),
    };
    assert_eq!(agreed.client_max_window_bits.unwrap_or(15), client_bits, "{offers}");
}
