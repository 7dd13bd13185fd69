//! The opening handshake: any bytes, however they are cut, under any configuration.
//!
//! What comes of a request does not depend on its cuts (but for what
//! [`Handshake::receive`](em_websocket::protocol::handshake::Handshake::receive) excepts), takes no
//! more memory than the limits allow, and an answer is well-formed whatever the client has put in.

use em_websocket::{
    error::HandshakeError,
    protocol::{
        deflate::{Config, Params},
        handshake::{Accepted, Handshake, Progress, Rejected, Request, RequestLimits},
        version::{self, Opening, Profile},
    },
};

use crate::{cuts::Cuts, input::Input, meter};

/// See [the module](self).
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let options = Options::read(&mut input);
    let cuts = Cuts::read(&mut input);
    let bytes = input.swollen();

    let (whole, peak) = meter::peak_of(|| outcome(&options, &bytes, &Cuts::whole()));
    assert!(peak <= options.memory(bytes.len()), "{peak} bytes of memory");
    whole.check(&options, &bytes);
    for cuts in cuts.and_single(bytes.len()) {
        let (cut, peak) = meter::peak_of(|| outcome(&options, &bytes, &cuts));
        assert!(peak <= options.memory(bytes.len()), "{peak} bytes of memory, {cuts:?}");
        if cut != whole {
            cut.check(&options, &bytes);
            assert!(may_differ(&whole, &cut), "{whole:#?}\n{cuts:?}: {cut:#?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Options {
    secure: bool,
    strict: bool,
    compression: Option<Config>,
    limits: RequestLimits,
}

impl Options {
    fn read(input: &mut Input<'_>) -> Self {
        let flags = input.byte();
        let header_bytes = input.choose(&[16 * 1024, 600, 200, 64, 1, 0, usize::MAX]);
        let headers = input.choose(&[100, 12, 3, 1, 0]);
        let sparing = Config { context_takeover: false, window_bits: 8, ..Config::default() };
        let compression = input.choose(&[None, Some(Config::default()), Some(sparing)]);
        Self {
            secure: flags & 1 != 0,
            strict: flags & 2 != 0,
            compression,
            limits: RequestLimits { header_bytes, headers },
        }
    }

    fn handshake(&self) -> Handshake {
        Handshake::new(self.secure, self.limits).strict(self.strict).compression(self.compression)
    }

    /// Memory of a handshake for a request of so many bytes, at most: the header as it came (twice
    /// while its buffer grows, and once in the request), where its fields stand, and texts that show
    /// a byte as four; and the first frames.
    fn memory(&self, len: usize) -> usize {
        let header = len.min(self.limits.header_bytes);
        let fields = self.limits.headers.min(header);
        16 * header + 64 * fields + 3 * len + 4 * 1024
    }
}

/// Outcome of a handshake, as far as it must not depend on the cuts.
#[derive(Debug, PartialEq)]
enum Outcome {
    Incomplete,
    Accepted(Answer),
    Healthcheck,
    FlashPolicy,
    Rejected { error: HandshakeError, response: Option<Vec<u8>>, headers: Option<Headers> },
}

/// Parts of a request, each as it is asked for.
type Headers = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, PartialEq)]
struct Answer {
    profile: &'static Profile,
    response: Vec<u8>,
    deflate: Option<Params>,
    /// All that was behind the request.
    rest: Vec<u8>,
    path: String,
    query_string: String,
    headers: Headers,
}

fn outcome(options: &Options, bytes: &[u8], cuts: &Cuts) -> Outcome {
    let mut handshake = options.handshake();
    let mut pieces = cuts.pieces(bytes);
    while let Some(piece) = pieces.next() {
        let progress = handshake.receive(piece);
        if !matches!(progress, Progress::Incomplete) {
            let after = handshake.receive(b"GET / HTTP/1.1\r\n\r\n");
            assert!(matches!(after, Progress::Incomplete), "{after:?} once it is over");
        }
        match progress {
            Progress::Incomplete => {}
            Progress::Accepted(accepted) => {
                assert!(piece.ends_with(&accepted.rest));
                let Accepted { request, profile, response, deflate, mut rest } = *accepted;
                check_request(&request, options);
                assert_eq!(request.protocol_version().and_then(version::profile), Some(profile));
                pieces.for_each(|piece| rest.extend_from_slice(piece));
                return Outcome::Accepted(Answer {
                    profile,
                    response: response.to_bytes(),
                    deflate,
                    rest,
                    path: request.path().to_owned(),
                    query_string: request.query_string().to_owned(),
                    headers: headers(&request),
                });
            }
            Progress::Continue | Progress::Http(_) => panic!("plain HTTP is not asked for"),
            Progress::Healthcheck => return Outcome::Healthcheck,
            Progress::FlashPolicy => return Outcome::FlashPolicy,
            Progress::Rejected(refused) => {
                let Rejected { error, response, request } = *refused;
                if let Some(request) = &request {
                    check_request(request, options);
                }
                let error = match error {
                    // Counted per call.
                    HandshakeError::InvalidHeader { parsed, given } => {
                        assert!(parsed <= given && given == piece.len());
                        HandshakeError::InvalidHeader { parsed: 0, given: 0 }
                    }
                    error => error,
                };
                let headers = request.as_ref().map(headers);
                return Outcome::Rejected { error, response, headers };
            }
        }
    }
    Outcome::Incomplete
}

fn headers(request: &Request) -> Headers {
    request.headers().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// Check that what a request tells the application can be relied on.
fn check_request(request: &Request, options: &Options) {
    assert_eq!(request.secure(), options.secure);
    let path = request.path();
    assert!(path.is_empty() || path == "*" || path.starts_with('/'), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
    assert!(request.query_string().bytes().all(|byte| byte > b' ' && byte < 0x7f));
    let pairs = request.query().map(|(name, value)| name.len() + value.map_or(0, |v| v.len() + 1));
    assert!(pairs.sum::<usize>() <= request.query_string().len());

    assert!(request.headers().count() <= options.limits.headers);
    for (name, value) in request.headers() {
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic), "{name:?}");
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        assert!(!value.iter().any(is_control), "{value:?}");
        assert_eq!(value, value.trim_ascii());
        let name = std::str::from_utf8(name).expect("ASCII");
        assert!(request.header_all(name).any(|listed| listed == value));
        assert!(request.header_all(&name.to_ascii_uppercase()).any(|listed| listed == value));
    }
    assert_eq!(request.host(), request.header("Host"));
}

impl Outcome {
    fn check(&self, options: &Options, bytes: &[u8]) {
        match self {
            Self::Accepted(answer) => answer.check(options, bytes),
            Self::Rejected { error, response, .. } => {
                let text = error.to_string();
                assert!(!text.contains(|c: char| c.is_ascii_control()), "{text}");
                assert_ne!(*error, HandshakeError::TimedOut);
                if let Some(response) = response {
                    let (status, said) = match error {
                        HandshakeError::NotUpgrade if options.strict => (Some(426), &*text),
                        // Its text has counts that are not the client's.
                        HandshakeError::InvalidHeader { .. } => (Some(400), "Invalid HTTP header"),
                        error => (error.status(), &*text),
                    };
                    let (answered, fields, body) = parts(response);
                    assert_eq!(Some(answered), status);
                    assert_eq!(body, said.as_bytes());
                    assert_eq!(field(&fields, "Content-Length"), Some(&*body.len().to_string()));
                    assert!(field(&fields, "Connection").is_some_and(|it| it.ends_with("close")));
                }
                if *error == HandshakeError::NotUpgrade {
                    assert_eq!(response.is_some(), options.strict);
                }
            }
            Self::Incomplete => {
                assert!(bytes.len() < options.limits.header_bytes.saturating_add(8));
            }
            Self::Healthcheck | Self::FlashPolicy => {}
        }
    }
}

impl Answer {
    fn check(&self, options: &Options, bytes: &[u8]) {
        assert!(bytes.ends_with(&self.rest));
        let (status, fields, body) = parts(&self.response);
        assert_eq!(status, 101);
        let has = |name: &str| field(&fields, name).is_some();
        assert!(field(&fields, "Upgrade").is_some_and(|it| it.eq_ignore_ascii_case("websocket")));
        assert_eq!(field(&fields, "Connection"), Some("Upgrade"));

        let (first, second, body_len) = match self.profile.opening {
            Opening::Echo => ("WebSocket-Origin", "WebSocket-Location", 0),
            Opening::Challenge => ("Sec-WebSocket-Origin", "Sec-WebSocket-Location", 16),
            Opening::Accept => ("Sec-WebSocket-Accept", "Sec-WebSocket-Accept", 0),
        };
        assert!(has(first) && has(second) && body.len() == body_len);
        if self.profile.opening == Opening::Accept {
            assert_eq!(field(&fields, first).map(str::len), Some(28));
        }
        if let Some(selected) = field(&fields, "Sec-WebSocket-Protocol") {
            assert!(self.offers(selected), "{selected} was not offered");
        }
        let agreed = self.deflate.map(|agreed| agreed.to_string());
        assert_eq!(field(&fields, "Sec-WebSocket-Extensions"), agreed.as_deref());
        if agreed.is_some() {
            assert!(options.compression.is_some() && self.profile.extensions);
        }
        let optional = ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"];
        let optional = optional.into_iter().filter(|name| has(name)).count();
        let own = if self.profile.opening == Opening::Accept { 1 } else { 2 };
        assert_eq!(fields.len(), 2 + own + optional, "{fields:?}");
    }

    /// True if the client has offered this subprotocol.
    fn offers(&self, selected: &str) -> bool {
        let fields = self.headers.iter();
        let lists = fields.filter(|(name, _)| name.eq_ignore_ascii_case(b"sec-websocket-protocol"));
        let mut tokens = lists.flat_map(|(_, list)| list.split(|byte| *byte == b','));
        // A control byte is answered as a space.
        tokens.any(|token| text(token.trim_ascii()).replace('\t', " ") == selected)
    }
}

/// An answer's status, its fields and its body. No field has been smuggled into another's value.
fn parts(response: &[u8]) -> (u16, Vec<(String, String)>, &[u8]) {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n").expect("a blank line");
    let (header, body) = (&response[..end], &response[end + 4..]);
    let header = text(header);
    let mut lines = header.split("\r\n");
    let status = lines.next().expect("a status line");
    let status = status.strip_prefix("HTTP/1.1 ").and_then(|status| status[..3].parse().ok());
    let fields = lines.map(|line| {
        assert!(!line.contains(|c: char| c.is_ascii_control()), "{line:?}");
        let (name, value) = line.split_once(": ").expect("a name and a value");
        (name.to_owned(), value.to_owned())
    });
    (status.expect("a status"), fields.collect(), body)
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut named = fields.iter().filter(|(spelled, _)| spelled == name);
    let (_, value) = named.next()?;
    assert!(named.next().is_none(), "{name} twice");
    Some(value)
}

/// Text of what a client sent, which may be in any encoding: each byte is a character here.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Drafts 75 to 03 judge what follows the request by its coming in the same call.
fn may_differ(whole: &Outcome, cut: &Outcome) -> bool {
    let Outcome::Rejected { error, headers, .. } = whole else {
        return false;
    };
    let opening = match error {
        HandshakeError::ExtraBytesAfterHeader => Opening::Echo,
        HandshakeError::ExtraBytesAfterThirdKey => Opening::Challenge,
        _ => return false,
    };
    match cut {
        Outcome::Accepted(answer) => {
            answer.profile.opening == opening
                && !answer.rest.is_empty()
                && Some(&answer.headers) == headers.as_ref()
        }
        // The keys are looked at when it is settled that nothing follows them.
        Outcome::Rejected { headers: these, .. } => {
            opening == Opening::Challenge && these == headers
        }
        _ => false,
    }
}
