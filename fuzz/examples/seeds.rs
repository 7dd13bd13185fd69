//! Writes `fuzz/seeds`: what every draft's clients say, as the targets read it.
//!
//! `fuzz/run --seeds` runs it, after a change of how an input is read.

use std::{fs, path::Path};

#[path = "../../src/server/tls/tests/fixtures.rs"]
#[allow(dead_code, missing_docs)]
mod fixtures;
#[allow(dead_code)]
#[path = "../../tests/handshakes/requests.rs"]
mod requests;
#[path = "../../tests/support/mod.rs"]
mod support;

use requests::{get, request, upgrade, KEY, KEY_1, KEY_2, KEY_3, VERSION_13};
use support::{close_body, Draft, Frame, Kind, DRAFTS, RFC_6455};

/// No cuts, and nothing swollen.
const PLAIN: [u8; 2] = [0, 0];
/// Pieces of 1, 0, 5 and 251 bytes.
const CUT: [u8; 6] = [4, 1, 0, 5, 0x80, 0];

fn main() {
    for (target, seeds) in [
        ("handshake", handshakes()),
        ("frames", frames()),
        ("connection", connections()),
        ("deflate", deflate()),
        ("proxy", proxy()),
        ("tls_files", tls_files()),
    ] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("the old seeds can be removed");
        }
        fs::create_dir_all(&directory).expect("the seeds have a directory");
        for (name, bytes) in &seeds {
            assert!(bytes.len() <= 4096, "{target}/{name} is longer than an input may be");
            fs::write(directory.join(name), bytes).expect("a seed can be written");
        }
        println!("{target}: {}", seeds.len());
    }
}

type Seeds = Vec<(String, Vec<u8>)>;

/// Headers of both versions of the PROXY protocol, and a request behind them.
fn proxy() -> Seeds {
    let binary = |command: u8, family: u8, rest: &[u8]| {
        let len = u16::try_from(rest.len()).expect("a short header").to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &len[..], rest].concat()
    };
    let rows = [
        ("text", b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n".to_vec()),
        ("text6", b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n".to_vec()),
        ("unknown", b"PROXY UNKNOWN\r\n".to_vec()),
        ("binary", binary(0x21, 0x11, &[192, 0, 2, 1, 203, 0, 113, 9, 1, 2, 3, 4, 4, 0, 1, 0])),
        ("binary6", binary(0x21, 0x21, &[1; 36])),
        ("local", binary(0x20, 0, &[])),
        ("unix", binary(0x21, 0x31, &[b'/'; 216])),
    ];
    let behind = b"GET / HTTP/1.1\r\n";
    rows.into_iter()
        .flat_map(|(name, header)| {
            let all = [&header[..], behind].concat();
            [
                (name.to_owned(), [&PLAIN[..], &all].concat()),
                (format!("{name}_cut"), [&CUT[..], &all].concat()),
            ]
        })
        .collect()
}

/// Flags, limits, compression, and a request.
fn handshakes() -> Seeds {
    let asks = |version: &str, more: &[&str], behind: &[u8]| {
        let version = format!("Sec-WebSocket-Version: {version}");
        upgrade(&[&[KEY, &version], more].concat(), behind)
    };
    let first_frame = RFC_6455.frame(Kind::Text, b"hello");
    let offers = [
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; \
         server_max_window_bits=10, x-other",
    ];
    let long = format!("Cookie: {}", "a".repeat(700));
    let rows = [
        ("75", upgrade(&[], b"")),
        ("75-and-more", upgrade(&["WebSocket-Protocol: sample"], b"\0hi\xff")),
        ("76", upgrade(&[KEY_1, KEY_2], KEY_3)),
        ("76-and-more", upgrade(&[KEY_1, KEY_2], &[KEY_3, b"\0hi\xff"].concat())),
        ("76-without-key", upgrade(&[KEY_1], KEY_3)),
        ("03", upgrade(&[KEY_1, KEY_2, "Sec-WebSocket-Draft: 3"], KEY_3)),
        ("05", asks("5", &[], b"\0\0\0\0\x84\x02hi")),
        ("06", asks("6", &[], b"")),
        ("07", asks("7", &["Sec-WebSocket-Origin: http://example.com"], b"")),
        ("08", asks("8", &[], b"")),
        ("13", asks("13", &[], b"")),
        ("13-offers", asks("13", &offers, &first_frame)),
        ("13-twice", asks("13", &[VERSION_13], b"")),
        ("13-two-keys", asks("13", &[KEY], b"")),
        ("99", asks("99", &[], b"")),
        ("no-version", upgrade(&[KEY], b"")),
        ("bad-uri", get("/%", &["Host: x", "Upgrade: WebSocket"], b"")),
        ("absolute-uri", get("http://u@h:1/p?a=b&c#d", &["Host: h"], b"")),
        ("plain", get("/index.html?x=1", &["Host: x", "Accept: */*"], b"")),
        ("post", request("POST / HTTP/1.1", &["Host: x", "Content-Length: 3"], b"abc")),
        ("other-upgrade", get("/", &["Connection: upgrade", "Upgrade: h2c", "Upgrade: x"], b"")),
        ("healthcheck", get("/healthcheck", &["Host: x"], b"")),
        ("flash", b"<policy-file-request />\0".to_vec()),
        ("long", get("/", &[&long], b"")),
        ("many", get("/", &["A: b"; 15], b"")),
        ("folded", get("/", &["A: b", " c", "D : e"], b"")),
        ("newlines", b"\r\n\nGET / HTTP/1.0\nHost: x\nA:\n\n".to_vec()),
        ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ];
    let mut seeds = Seeds::new();
    for (at, (name, bytes)) in rows.into_iter().enumerate() {
        // Flags, header bytes, header fields, compression.
        let options = [at as u8, (at % 2) as u8, 0, (at % 3) as u8];
        let cuts: &[u8] = if at % 2 == 0 { &PLAIN } else { &CUT };
        seeds.push((name.into(), [&options, cuts, &bytes].concat()));
    }
    seeds
}

/// The index of a draft among the target's profiles, which are those of the numbers it is told by.
const SPOKEN: [i64; 8] = [75, 76, 3, 5, 6, 7, 8, 13];

/// Seeds of profiles, limits, cuts, and frames.
fn frames() -> Seeds {
    let mut seeds = Seeds::new();
    for (at, version) in SPOKEN.into_iter().enumerate() {
        let draft = *DRAFTS.iter().find(|draft| draft.version == version).expect("it is spoken");
        for (name, bytes) in conversations(draft) {
            let options = [at as u8, 0, 0];
            let cuts: &[u8] = if seeds.len() % 2 == 0 { &PLAIN } else { &CUT };
            seeds.push((format!("{version}-{name}"), [&options, cuts, &bytes].concat()));
        }
    }
    let large = RFC_6455.frame(Kind::Binary, &[7; 200]);
    // One swelling: 20,000 bytes of the hundredth.
    let swelling = [2, 9, 200, 1, 100, 0, 0x20, 0x4e];
    seeds.push(("13-swollen".into(), [&[7, 0, 0][..], &swelling, &large].concat()));
    // A length that says 20,000, with a buffer of its own.
    let header = [0x82, 0xfe, 0x4e, 0x20, 0, 0, 0, 0, 1, 2, 3];
    let swelling = [2, 9, 200, 1, 10, 0, 0x20, 0x4e];
    seeds.push(("13-direct".into(), [&[7, 0, 0][..], &swelling, &header].concat()));
    seeds
}

fn conversations(draft: Draft) -> Seeds {
    let mut seeds = Seeds::new();
    let mut add = |name: &str, frames: &[Vec<u8>]| seeds.push((name.into(), frames.concat()));
    let text = draft.frame(Kind::Text, "Κόσμε 😀".as_bytes());
    let close = draft.frame(Kind::Close, b"");
    add("text", &[text.clone(), draft.frame(Kind::Text, b""), close.clone()]);
    add("behind-close", &[close, text.clone()]);
    if draft.sentinel {
        add("discarded", &[b"\x80\x03abc".to_vec(), b"\x81\x80\x00".to_vec(), text]);
        add("length", &[b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec()]);
        add("bad", &[b"\x01".to_vec()]);
        return seeds;
    }
    let fragment = |kind, last, payload: &[u8]| draft.fragment(kind, last, payload);
    add("binary", &[draft.frame(Kind::Binary, &[0, 0xff, 7]), draft.frame(Kind::Ping, b"ping")]);
    add("medium", &[draft.frame(Kind::Text, &[b'x'; 300])]);
    add(
        "fragments",
        &[
            fragment(Kind::Text, false, b"\xce"),
            draft.frame(Kind::Ping, b"?"),
            fragment(Kind::Continuation, false, b"\x9a"),
            draft.frame(Kind::Pong, b""),
            fragment(Kind::Continuation, true, b"!"),
        ],
    );
    add("close-code", &[draft.frame(Kind::Close, &close_body(1000, "bye"))]);
    add("close-bad", &[draft.frame(Kind::Close, b"\x03")]);
    add("continuation", &[fragment(Kind::Continuation, true, b"x")]);
    add("two-texts", &[fragment(Kind::Text, false, b"a"), text]);
    add("bad-text", &[draft.frame(Kind::Text, b"ab\xed\xa0\x80")]);
    add("ping-of-fragments", &[fragment(Kind::Ping, false, b"x")]);
    let plain = draft.plain(Kind::Text, true, b"hi");
    add("reserved", &[draft.encode(&Frame { reserved: 7, ..plain })]);
    add("unmasked", &[draft.encode(&Frame { masked: false, ..plain })]);
    add("unknown", &[draft.encode(&Frame { opcode: 0xb, ..plain })]);
    let length = support::Length::Bits64(1 << 62);
    add("endless", &[draft.encode(&Frame { length, ..plain })]);
    seeds
}

/// Seeds of drafts, open or not, and of what happens; see `step` of the target.
fn connections() -> Seeds {
    const OPEN: u8 = 0;
    let send = |op: u8| [op, 20];
    let close = |code: u8| vec![6, code, 3, b'b', b'y', b'e'];
    // The kind, in the target's order; masked, last, in one piece.
    let hear = |kind: u8, payload: &[u8]| [&[7, kind, payload.len() as u8], payload].concat();
    let wait = |ms: u16| [&[11][..], &ms.to_le_bytes()].concat();
    let mut seeds = Seeds::new();
    for at in 0..DRAFTS.len() as u8 {
        let mut add = |name: &str, is_closed: u8, steps: &[Vec<u8>]| {
            let name = format!("{}-{name}", DRAFTS[usize::from(at)].version);
            seeds.push((name, [&[at, is_closed][..], &steps.concat()].concat()));
        };
        let talk: Vec<u8> = [1, 2, 4, 5].map(send).concat();
        add("talk", OPEN, &[talk.clone(), hear(0, b"hi"), hear(2, b"ping"), hear(1, b"\xff")]);
        add("we-close", OPEN, &[close(1), talk.clone(), hear(4, b"\x03\xe8"), vec![13, 1], talk]);
        add("peer-closes", OPEN, &[hear(4, b"\x03\xe9bye"), send(1).into(), close(2), wait(500)]);
        add("unanswered", OPEN, &[close(0), wait(99), wait(2), vec![13, 1]]);
        add("fails", OPEN, &[hear(0, b"\xff\xff"), send(1).into(), vec![10, 0], close(1)]);
        add("late", 1, &[send(1).into(), close(1), vec![0], send(1).into(), vec![12, 0xff]]);
        add("long", OPEN, &[vec![3, 4, 3, 5], vec![6, 1, 200], vec![b'x'; 200]]);
        add("limited", OPEN, &[vec![13, 0, 2, 0], hear(0, b"too long"), vec![8, 2, 0x81, 0xfe, 1]]);
    }
    seeds
}

/// One of four ways; see the target.
fn deflate() -> Seeds {
    const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let compressed = |payload: &[u8]| [&[0, payload.len() as u8], payload].concat();
    let mut seeds = Seeds::new();
    let mut add = |name: &str, bytes: &[&[u8]]| seeds.push((name.into(), bytes.concat()));

    // Takeover, limit, cuts; flags and payload of each frame. RFC 7692 section 7.2.3 has these.
    let two = [compressed(HELLO), compressed(&[0xf2, 0x00, 0x11, 0x00, 0x00])].concat();
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    add("inflate-shared", &[&[0, 0, 0, 0], &two]);
    add("inflate-alone", &[&[0, 1, 0, 2, 1, 3], &two]);
    add("inflate-stored", &[&[0, 0, 1, 0], &compressed(&stored)]);
    add("inflate-last", &[&[0, 0, 0, 0], &compressed(&last), &compressed(HELLO)]);
    add("inflate-blocks", &[&[0, 0, 0, 0], &compressed(&blocks)]);
    add("inflate-empty", &[&[0, 0, 0, 0], &compressed(&[0x00]), &compressed(&[])]);
    // A fragment, a ping, and the rest.
    add("inflate-fragments", &[&[0, 0, 0, 0, 8, 3], &HELLO[..3], &[6, 1, b'?', 5, 4], &HELLO[3..]]);
    add("inflate-limit", &[&[0, 0, 5, 0], &compressed(HELLO)]);
    // A bomb: fixed codes for the longest match, again and again.
    let matches = [0xed, 0xc1, 0x01, 0x01, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a];
    add("inflate-dynamic", &[&[0, 0, 3, 0], &compressed(&matches)]);
    add("inflate-large", &[&[0, 0, 0, 1, 200, 0x43, 200, 5], b"\x00\x05\x00\xfa\xff"]);

    // Level, threshold, takeover, window, memory; flags, bits; cuts; key; and messages.
    let key = [1, 2, 3, 4];
    let words: &[u8] = b"the quick brown fox jumps over the lazy dog, and over the lazy fox";
    for (at, flags) in [0, 1, 2, 4, 8, 12, 15].into_iter().enumerate() {
        let config = [(at * 2) as u8, 0, 0, 15 - at as u8, 8, flags, at as u8, 2, 1, 9];
        let message =
            |flags: u8, times: u8, text: &[u8]| [&[flags, times, text.len() as u8], text].concat();
        let messages = [
            message(1, 0, words),
            message(1, 3, words),
            message(0, 0x90, b"\0\xff\x01"),
            message(4, 0, b""),
            message(5, 0xff, words),
        ];
        add(&format!("back-{flags}"), &[&[1], &config, &key, &messages.concat()]);
    }

    let config = [3, 3, 0, 15, 8];
    for (name, offer) in [
        ("plain", "permessage-deflate"),
        ("chrome", "permessage-deflate; client_max_window_bits"),
        ("bits", "permessage-deflate; server_max_window_bits=10; client_max_window_bits=\"9\""),
        ("alone", "permessage-deflate;server_no_context_takeover;client_no_context_takeover"),
        ("second", "x-webkit-deflate-frame, permessage-deflate; foo, permessage-deflate"),
        ("quoted", "a;b=\"c,\\\"d\", permessage-deflate;server_max_window_bits=\"1\\5\""),
        ("lines", "permessage-deflate; server_max_window_bits=07\npermessage-deflate"),
    ] {
        add(&format!("offer-{name}"), &[&[2], &config, offer.as_bytes()]);
    }
    for flags in 0..16 {
        // One invalid offer, and then any parameters.
        let offer = [1, flags, flags, flags * 8 + 1, flags, flags, 0];
        add(&format!("valid-{flags}"), &[&[3], &config, &offer]);
    }
    seeds
}

/// Flags, and the texts of the options.
fn tls_files() -> Seeds {
    use fixtures::*;
    let all = "ECDHE+AESGCM:!aNULL:@STRENGTH\0prime256v1:X25519\0TLSv1_2 TLSv1_3";
    [
        ("ec", 0, EC_PKCS8, EC_CERT_V1, all),
        ("sec1", 2, EC_SEC1, EC_CERT_V1, "HIGH:-SHA:+CHACHA20\0P-384\0TLSv1.2"),
        ("aes128", 7, EC_AES128, EC_CERT_V1, ""),
        ("des3", 1, EC_DES3, EC_CERT_V1, "DEFAULT"),
        ("camellia", 1, EC_CAMELLIA, EC_CERT_V1, ""),
        ("pbes2", 0, EC_PBES2_ONE_ROUND, EC_CERT_V1, ""),
        ("ed25519", 0, ED25519, EC_CERT_V1, "TLS_AES_128_GCM_SHA256"),
        ("ed448", 0, ED448, EC_CERT_V1, ""),
        ("secp256k1", 0, SECP256K1_SEC1, EC_CERT_V1, ""),
        ("openssh", 0, OPENSSH, EC_CERT_V1, ""),
        ("rsa", 0, RSA_1024, EC_CERT_V1, ""),
        ("none", 0, "", "", all),
        ("key-only", 0, EC_PKCS8, "", ""),
    ]
    .into_iter()
    .map(|(name, flags, key, cert, options)| {
        (name.into(), [&[flags], [key, cert, options].join("\0").as_bytes()].concat())
    })
    .collect()
}
