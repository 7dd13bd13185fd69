//! Answers to offers (RFC 7692 sections 5 and 7), and their places in the answer.

use em_websocket::protocol::{
    deflate::{negotiate, Config, Params},
    handshake::{Accepted, Handshake, Progress, RequestLimits},
};

fn answer(offers: &[&str], config: &Config) -> Option<String> {
    let values = offers.iter().map(|offer| offer.as_bytes());
    negotiate(values, config).map(|agreed| agreed.to_string())
}

/// Each offer, and the parameters of its answer; `None` where it is declined.
#[rustfmt::skip]
const ANSWERS: [(&str, Option<&str>); 67] = [
    ("permessage-deflate", Some("")),
    // What browsers send.
    ("permessage-deflate; client_max_window_bits", Some("")),
    ("permessage-deflate;client_max_window_bits", Some("")),
    ("  permessage-deflate ;\tclient_max_window_bits  ", Some("")),
    // Every parameter.
    ("permessage-deflate; server_no_context_takeover", Some("; server_no_context_takeover")),
    ("permessage-deflate; client_no_context_takeover", Some("; client_no_context_takeover")),
    ("permessage-deflate; client_no_context_takeover; server_no_context_takeover",
     Some("; server_no_context_takeover; client_no_context_takeover")),
    ("permessage-deflate; server_max_window_bits=15", Some("; server_max_window_bits=15")),
    ("permessage-deflate; server_max_window_bits=10", Some("; server_max_window_bits=10")),
    ("permessage-deflate; server_max_window_bits=9", Some("; server_max_window_bits=9")),
    ("permessage-deflate; server_max_window_bits=8", Some("; server_max_window_bits=8")),
    ("permessage-deflate; client_max_window_bits=15", Some("")),
    ("permessage-deflate; client_max_window_bits=14", Some("; client_max_window_bits=14")),
    ("permessage-deflate; client_max_window_bits=8", Some("; client_max_window_bits=8")),
    ("permessage-deflate; client_max_window_bits=9; server_max_window_bits=12; \
      client_no_context_takeover; server_no_context_takeover",
     Some("; server_no_context_takeover; client_no_context_takeover; \
           server_max_window_bits=12; client_max_window_bits=9")),
    // Quoted values, and space where RFC 9110 has it.
    ("permessage-deflate; server_max_window_bits=\"10\"", Some("; server_max_window_bits=10")),
    ("permessage-deflate; server_max_window_bits=\"1\\0\"", Some("; server_max_window_bits=10")),
    ("permessage-deflate; client_max_window_bits=\"\\1\\1\"", Some("; client_max_window_bits=11")),
    ("permessage-deflate; server_max_window_bits = 10", Some("; server_max_window_bits=10")),
    ("permessage-deflate; server_max_window_bits=\"\"", None),
    ("permessage-deflate; server_max_window_bits=\" 10\"", None),
    ("permessage-deflate; server_max_window_bits=\"10", None),
    ("permessage-deflate; server_max_window_bits=10\"", None),
    ("permessage-deflate; server_max_window_bits=\"10\\\"", None),
    ("permessage-deflate; server_max_window_bits=\"1\"\"0\"", None),
    ("permessage-deflate; server_max_window_bits='10'", None),
    ("permessage-deflate; server_max_window_bits=\"", None),
    // Values that are none.
    ("permessage-deflate; server_max_window_bits", None),
    ("permessage-deflate; server_max_window_bits=", None),
    ("permessage-deflate; server_max_window_bits=7", None),
    ("permessage-deflate; server_max_window_bits=16", None),
    ("permessage-deflate; server_max_window_bits=0", None),
    ("permessage-deflate; server_max_window_bits=08", None),
    ("permessage-deflate; server_max_window_bits=010", None),
    ("permessage-deflate; server_max_window_bits=+10", None),
    ("permessage-deflate; server_max_window_bits=-10", None),
    ("permessage-deflate; server_max_window_bits=0xa", None),
    ("permessage-deflate; server_max_window_bits=1 0", None),
    ("permessage-deflate; server_max_window_bits=10.0", None),
    ("permessage-deflate; server_max_window_bits=100000000000000000000", None),
    ("permessage-deflate; server_max_window_bits==10", None),
    ("permessage-deflate; client_max_window_bits=", None),
    ("permessage-deflate; client_max_window_bits=7", None),
    ("permessage-deflate; client_max_window_bits=16", None),
    ("permessage-deflate; client_max_window_bits=09", None),
    ("permessage-deflate; client_max_window_bits=x", None),
    ("permessage-deflate; server_no_context_takeover=1", None),
    ("permessage-deflate; server_no_context_takeover=\"\"", None),
    ("permessage-deflate; server_no_context_takeover=", None),
    ("permessage-deflate; client_no_context_takeover=true", None),
    // Repeated and unknown parameters.
    ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
    ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
    ("permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", None),
    ("permessage-deflate; client_max_window_bits; client_max_window_bits=10", None),
    ("permessage-deflate; mystery", None),
    ("permessage-deflate; client_max_window_bits; mystery=1", None),
    ("permessage-deflate; Server_No_Context_Takeover", None),
    ("permessage-deflate;", None),
    ("permessage-deflate;; server_no_context_takeover", None),
    // Other extensions.
    ("", None),
    ("x-webkit-deflate-frame", None),
    ("permessage-deflate-2", None),
    ("Permessage-Deflate", None),
    ("permessage-bzip2; client_max_window_bits", None),
    ("mux; permessage-deflate", None),
    ("\"permessage-deflate\"", None),
    ("permessage-deflate=1", None),
];

#[test]
fn one_offer() {
    for (offer, parameters) in ANSWERS {
        let expected = parameters.map(|rest| format!("permessage-deflate{rest}"));
        assert_eq!(answer(&[offer], &Config::default()), expected, "{offer}");
    }
}

/// The first valid one is the one.
#[test]
fn several_offers() {
    for (offers, parameters) in [
        (&["permessage-deflate, permessage-deflate; server_no_context_takeover"][..], Some("")),
        (
            &["permessage-deflate; server_no_context_takeover, permessage-deflate"],
            Some("; server_no_context_takeover"),
        ),
        (
            &["permessage-deflate; server_max_window_bits=7, permessage-deflate; \
               server_max_window_bits=12, permessage-deflate"],
            Some("; server_max_window_bits=12"),
        ),
        (&["permessage-deflate; mystery, permessage-deflate"], Some("")),
        (&["mux; max-channels=4; flow-control, permessage-deflate"], Some("")),
        (&[" , ,permessage-deflate,, "], Some("")),
        // A comma in a quoted string ends no offer.
        (&["mux; a=\", permessage-deflate, \""], None),
        (&["mux; a=\"\\\", permessage-deflate, \""], None),
        (&["mux; a=\"x\\\\\", permessage-deflate"], Some("")),
        (&["mux; a=\"unending, permessage-deflate"], None),
        // Over several header fields.
        (&["mux", "permessage-deflate"], Some("")),
        (&["mux; a=\"unending", "permessage-deflate"], Some("")),
        (
            &[
                "permessage-deflate; server_max_window_bits=99",
                "",
                "permessage-deflate; client_no_context_takeover, permessage-deflate",
            ],
            Some("; client_no_context_takeover"),
        ),
        (&["permessage-deflate; server_max_window_bits=99", "mux"], None),
        (&[], None),
    ] {
        let expected = parameters.map(|rest| format!("permessage-deflate{rest}"));
        assert_eq!(answer(offers, &Config::default()), expected, "{offers:?}");
    }
}

/// Configurations that show in the answer, as far as an offer lets them.
#[test]
fn the_configuration() {
    let narrow = |window_bits| Config { window_bits, ..Config::default() };
    let alone = Config { context_takeover: false, ..Config::default() };
    for (config, offer, parameters) in [
        (alone, "", "; server_no_context_takeover; client_no_context_takeover"),
        (
            alone,
            "; server_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover",
        ),
        // The server's window is named to those who have named it.
        (narrow(11), "", ""),
        (narrow(11), "; server_max_window_bits=12", "; server_max_window_bits=11"),
        (narrow(11), "; server_max_window_bits=10", "; server_max_window_bits=10"),
        (narrow(11), "; client_max_window_bits", "; client_max_window_bits=11"),
        (narrow(11), "; client_max_window_bits=12", "; client_max_window_bits=11"),
        (narrow(11), "; client_max_window_bits=10", "; client_max_window_bits=10"),
        (
            narrow(11),
            "; client_max_window_bits=10; server_max_window_bits=15",
            "; server_max_window_bits=11; client_max_window_bits=10",
        ),
        // 8 is for those who name it.
        (narrow(8), "; client_max_window_bits", "; client_max_window_bits=9"),
        (narrow(8), "; client_max_window_bits=8", "; client_max_window_bits=8"),
        (narrow(8), "; client_max_window_bits=10", "; client_max_window_bits=9"),
        (narrow(8), "; server_max_window_bits=15", "; server_max_window_bits=8"),
        // Out of range.
        (narrow(0), "; server_max_window_bits=15", "; server_max_window_bits=8"),
        (narrow(99), "; client_max_window_bits", ""),
    ] {
        let offer = format!("permessage-deflate{offer}");
        let expected = Some(format!("permessage-deflate{parameters}"));
        assert_eq!(answer(&[&offer], &config), expected, "{offer} {config:?}");
    }
}

fn accepted(fields: &[&str], config: Option<Config>) -> Accepted {
    let fields = fields.join("\r\n");
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n\r\n"
    );
    let mut handshake = Handshake::new(false, RequestLimits::default()).compression(config);
    match handshake.receive(request.as_bytes()) {
        Progress::Accepted(accepted) => *accepted,
        other => panic!("{other:?}"),
    }
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";

#[test]
fn the_answer_has_it_last() {
    let fields = [
        "Sec-WebSocket-Version: 13",
        "sec-websocket-extensions: mux",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12",
        "Sec-WebSocket-Protocol: chat",
    ];
    let accepted = accepted(&fields, Some(Config::default()));
    assert_eq!(
        String::from_utf8(accepted.response.to_bytes()).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n\r\n"
    );
    let agreed = Params { server_max_window_bits: Some(12), ..Params::default() };
    assert_eq!(accepted.deflate, Some(agreed));
}

/// Drafts before 07 give the reserved bits no meaning that an extension could have.
#[test]
fn only_drafts_with_extensions_answer() {
    for (version, answers) in [(5, false), (6, false), (7, true), (8, true), (13, true)] {
        let version = format!("Sec-WebSocket-Version: {version}");
        let accepted = accepted(&[&version, OFFER], Some(Config::default()));
        assert_eq!(accepted.deflate.is_some(), answers, "{version}");
        let response = String::from_utf8(accepted.response.to_bytes()).unwrap();
        assert_eq!(response.contains("Extensions: permessage-deflate\r\n"), answers, "{version}");
        assert_eq!(response.contains("Extensions"), answers, "{version}");
    }
}

#[test]
fn nothing_is_said_unless_it_is_wanted_and_offered() {
    let version = "Sec-WebSocket-Version: 13";
    let declined = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7";
    for (fields, config) in [
        (&[version, OFFER][..], None),
        (&[version], Some(Config::default())),
        (&[version, declined], Some(Config::default())),
    ] {
        let accepted = accepted(fields, config);
        assert_eq!(accepted.deflate, None);
        assert!(!String::from_utf8(accepted.response.to_bytes()).unwrap().contains("Extensions"));
    }
}
