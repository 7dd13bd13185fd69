//! Every error of the core, and who made it.
//!
//! The texts are em-websocket's: applications match on them, so they are API. A [`HandshakeError`]
//! and a [`ProtocolError`] are the client's doing, a [`UsageError`] is the caller's.

use super::close_code::CloseCode;

/// Anything that can go wrong on one connection.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The client's opening handshake was refused.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The client broke a rule of its draft after the opening handshake.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The caller asked for what may not be done.
    #[error(transparent)]
    Usage(#[from] UsageError),
}

/// Reason for which an opening handshake was refused (RFC 6455 section 4.2, and the older drafts').
///
/// [`HandshakeError::status`] is the HTTP status of the answer, if the request gets one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HandshakeError {
    /// The method is not GET.
    #[error("Must be GET request")]
    NotGet,
    /// The request target cannot be read as a URI.
    #[error("Invalid request URI: {0}")]
    InvalidUri(String),
    /// The request has no `Upgrade`: plain HTTP.
    #[error("Not an upgrade request")]
    NotUpgrade,
    /// `Connection` does not list `Upgrade`, though there is one (RFC 9110 section 7.8).
    #[error("Not an upgrade request")]
    NoConnectionUpgrade,
    /// `Upgrade` names something else; the value as Ruby's `inspect` shows it.
    #[error("Invalid upgrade header: {0}")]
    InvalidUpgrade(String),
    /// A version that is not spoken here.
    #[error("Protocol version {0} not supported")]
    UnsupportedVersion(i64),
    /// `Sec-WebSocket-Key` without `Sec-WebSocket-Version` (RFC 6455 section 4.4).
    #[error("sec-websocket-version header is required")]
    VersionRequired,
    /// `Sec-WebSocket-Version` more than once (RFC 6455 section 11.3.5).
    #[error("sec-websocket-version header must not be repeated")]
    RepeatedVersion,
    /// `Sec-WebSocket-Version` only begins like a version (RFC 6455 section 11.3.5).
    #[error("Invalid sec-websocket-version header: {0}")]
    InvalidVersion(String),
    /// Draft 75: nothing may follow the header before the server has answered.
    #[error("Extra bytes after header")]
    ExtraBytesAfterHeader,
    /// Draft 76: nothing may follow the eight bytes of the third key before the server has answered.
    #[error("Extra bytes after third key")]
    ExtraBytesAfterThirdKey,
    /// No `Sec-WebSocket-Key`.
    #[error("sec-websocket-key header is required")]
    KeyRequired,
    /// `Sec-WebSocket-Key` is not the base64 of 16 bytes, or comes more than once.
    #[error("Invalid sec-websocket-key header: {0}")]
    InvalidAcceptKey(String),
    /// `Sec-WebSocket-Protocol` is there and empty.
    #[error("Invalid WebSocket-Protocol: empty")]
    EmptyProtocol,
    /// Draft 76: one of the two keys is missing.
    #[error("WebSocket key1 or key2 is missing")]
    KeysMissing,
    /// Draft 76: a key without spaces.
    #[error(
        "Websocket Key1 or Key2 does not contain spaces - \
         this is a symptom of a cross-protocol attack"
    )]
    NoSpacesInKey,
    /// Draft 76: the number in a key does not divide by its spaces; the key as `inspect` shows it.
    #[error("Invalid Key {0}")]
    InvalidKey(String),
    /// Draft 76: the quotient does not fit 32 bits; the key as `inspect` shows it.
    #[error("Challenge computation out of range for key {0}")]
    ChallengeOutOfRange(String),
    /// The bytes are not an HTTP request: how many could be read, of how many given.
    #[error("Invalid HTTP header: Could not parse data entirely ({parsed} != {given})")]
    InvalidHeader {
        /// Bytes before the first one that cannot belong to an HTTP request.
        parsed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The header is longer than the limit, in bytes.
    #[error("HTTP header too long (limit {0} bytes)")]
    HeaderTooLong(usize),
    /// The header has more fields than the limit.
    #[error("Too many HTTP headers (limit {0})")]
    TooManyHeaders(usize),
    /// HTTP/1.0, which cannot upgrade (RFC 6455 section 4.2.1).
    #[error("HTTP/1.1 or later is required")]
    HttpVersion,
    /// No `Host` (RFC 6455 section 4.2.1), or more than one (RFC 9112 section 3.2).
    #[error("host header is required exactly once")]
    Host,
    /// `Host` is neither a name nor an address (RFC 9112 section 3.2).
    #[error("Invalid host header: {0}")]
    InvalidHost(String),
    /// A line that LF alone ends (RFC 9112 section 2.2): two readers may disagree about it.
    #[error("Header lines must end with CRLF")]
    BareLineFeed,
    /// More than one `Origin` (RFC 6454 section 7.3).
    #[error("origin header must not be repeated")]
    RepeatedOrigin,
    /// Proxies that are trusted do not agree on the client, or `Forwarded` cannot be read.
    #[error(
        "Forwarded and X-Forwarded-For do not name one client: have the proxy send one of them"
    )]
    Forwarded,
    /// A request with a body, which an opening handshake has not.
    #[error("The request must not have a body")]
    Body,
    /// Plain HTTP whose method is for proxies (CONNECT), or for nobody (TRACE).
    #[error("This method is not implemented")]
    Method,
    /// Plain HTTP whose body's end is not clear (RFC 9112 section 6.3).
    #[error("The length of the request's body is not clear")]
    BodyFraming,
    /// Plain HTTP whose body is encoded in other ways than `chunked`.
    #[error("This transfer coding is not implemented")]
    TransferCoding,
    /// Plain HTTP whose body is longer than the limit, in bytes.
    #[error("The request's body is too long (limit {0} bytes)")]
    BodyTooLong(usize),
    /// A chunk that is none (RFC 9112 section 7.1).
    #[error("Invalid chunk in the request's body")]
    InvalidChunk,
    /// More bytes of chunk extensions and trailer fields than a body may have.
    #[error("Too many chunk extensions or trailer fields")]
    ChunkMetadata,
    /// `Expect` of anything but `100-continue` (RFC 9110 section 10.1.1).
    #[error("This expectation cannot be met")]
    Expectation,
    /// Others wait for the room that a body takes whose rest does not come.
    #[error("Request given up: its rest does not come, and others wait for its room")]
    GivenUp,
    /// None of the subprotocols that are required is offered.
    #[error("None of the offered subprotocols is supported")]
    NoSubprotocol,
    /// The client's address has as many connections as it may, so many.
    #[error("Too many connections from this address (limit {0})")]
    TooManyConnections(usize),
    /// The client's address begins connections too fast; it may again after so many seconds.
    #[error("Too many handshakes from this address, retry after {0} s")]
    TooFast(u64),
    /// The server lets nobody in any more.
    #[error("The server is being restarted")]
    Restarting,
    /// The opening handshake took longer than the limit.
    #[error("Opening handshake timed out")]
    TimedOut,
}

impl HandshakeError {
    /// Name of the error where it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotGet => "not_get",
            Self::InvalidUri(_) => "invalid_uri",
            Self::NotUpgrade | Self::NoConnectionUpgrade => "not_upgrade",
            Self::InvalidUpgrade(_) => "invalid_upgrade",
            Self::UnsupportedVersion(_)
            | Self::InvalidVersion(_)
            | Self::VersionRequired
            | Self::RepeatedVersion => "version",
            Self::ExtraBytesAfterHeader | Self::ExtraBytesAfterThirdKey => "extra_bytes",
            Self::KeyRequired
            | Self::InvalidAcceptKey(_)
            | Self::KeysMissing
            | Self::NoSpacesInKey
            | Self::InvalidKey(_)
            | Self::ChallengeOutOfRange(_) => "key",
            Self::EmptyProtocol | Self::NoSubprotocol => "subprotocol",
            Self::InvalidHeader { .. } | Self::BareLineFeed => "invalid_header",
            Self::HeaderTooLong(_) | Self::TooManyHeaders(_) => "header_too_long",
            Self::HttpVersion => "http_version",
            Self::Host | Self::InvalidHost(_) => "host",
            Self::RepeatedOrigin => "origin",
            Self::Forwarded => "forwarded",
            Self::Method => "method",
            Self::Body
            | Self::BodyFraming
            | Self::TransferCoding
            | Self::BodyTooLong(_)
            | Self::InvalidChunk
            | Self::ChunkMetadata
            | Self::Expectation
            | Self::GivenUp => "body",
            Self::TooManyConnections(_) => "connections_per_ip",
            Self::TooFast(_) => "handshakes_per_second",
            Self::Restarting => "restarting",
            Self::TimedOut => "timed_out",
        }
    }

    /// True for a client that is turned away whatever it asks for, which is counted elsewhere.
    pub fn is_turned_away(&self) -> bool {
        matches!(self, Self::TooManyConnections(_) | Self::TooFast(_) | Self::Restarting)
    }

    /// The HTTP status of the answer; `None` where there is none: what is no WebSocket request is
    /// closed without a word, as em-websocket does. (But 400 tells of an
    /// [`InvalidHeader`](Self::InvalidHeader) whose first line is HTTP.)
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotUpgrade | Self::InvalidHeader { .. } | Self::TimedOut => None,
            Self::UnsupportedVersion(_) | Self::InvalidVersion(_) | Self::VersionRequired => {
                Some(426)
            }
            Self::HeaderTooLong(_) | Self::TooManyHeaders(_) => Some(431),
            Self::BodyTooLong(_) => Some(413),
            Self::Expectation => Some(417),
            Self::Method | Self::TransferCoding => Some(501),
            Self::GivenUp | Self::TooManyConnections(_) | Self::TooFast(_) | Self::Restarting => {
                Some(503)
            }
            _ => Some(400),
        }
    }
}

/// Breach of its draft's rules by a client, after the opening handshake.
///
/// The [`close_code`](ProtocolError::close_code) is what the connection is failed with (RFC 6455
/// section 7.1.7).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame over the limit; its length in bytes, decimal (draft 76 lengths may exceed 64 bits).
    #[error("Frame length too long ({0} bytes)")]
    FrameTooLong(String),
    /// The fragments of a message add up to more than the limit, in bytes.
    #[error("Message length too long ({0} bytes)")]
    MessageTooLong(usize),
    /// Drafts 75 and 76: a frame that starts with neither a type nor a length.
    #[error("Invalid frame received")]
    InvalidFrame,
    /// A continuation frame with nothing to continue.
    #[error("Continuation frame not expected")]
    UnexpectedContinuation,
    /// A new message while the fragments of another are still coming.
    #[error("Continuation frame expected")]
    ContinuationExpected,
    /// A control frame without Fin.
    #[error("Control frames must not be fragmented")]
    FragmentedControl,
    /// A control frame over 125 bytes.
    #[error("Control frames must not be longer than 125 bytes")]
    ControlTooLong,
    /// A reserved opcode.
    #[error("Unknown opcode {0}")]
    UnknownOpcode(u8),
    /// A reserved bit without an extension that gives it a meaning.
    #[error("Reserved bits must be 0")]
    ReservedBits,
    /// A 64-bit length with the top bit set.
    #[error("Invalid frame length")]
    InvalidLength,
    /// An unmasked frame where masking is insisted upon (RFC 6455 section 5.1).
    #[error("Frames from the client must be masked")]
    Unmasked,
    /// Text, or a close reason, that is not UTF-8.
    #[error("Invalid UTF8 data")]
    InvalidUtf8,
    /// A compressed message that is not what DEFLATE makes (RFC 7692 section 7.2.2).
    #[error("Invalid compressed data")]
    InvalidDeflate,
    /// A close frame with one byte of payload.
    #[error("Close frames with a body must contain a 2 byte status code")]
    ShortClose,
    /// A close code that may not be sent (RFC 6455 section 7.4).
    #[error("Invalid close code {0}")]
    InvalidCloseCode(u16),
    /// Our close frame was not answered in time; the limit in seconds, as it was given.
    #[error("Close handshake un-acked after {0}s, closing tcp connection")]
    CloseTimeout(String),
    /// Others wait for the room that a message takes whose rest does not come.
    #[error("Message given up: its rest does not come, and others wait for its room")]
    GivenUp,
    /// More messages than the limit on their rate, in messages a second.
    #[error("Too many messages (limit {0} a second)")]
    TooManyMessages(String),
    /// This side failed: a defect here, contained to the one connection.
    #[error("Internal error: {0}")]
    Internal(String),
}

impl ProtocolError {
    /// The close code that goes to the client.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::FrameTooLong(_) | Self::MessageTooLong(_) => CloseCode::TOO_BIG,
            // RFC 7692 names no code. 1007 is for a message whose bytes are not what its type says
            // (RFC 6455 section 7.4.1), and RSV1 is part of a message's type; the frames are sound.
            Self::InvalidUtf8 | Self::InvalidDeflate => CloseCode::INVALID_DATA,
            Self::GivenUp => CloseCode::TRY_AGAIN,
            Self::TooManyMessages(_) => CloseCode::POLICY,
            Self::Internal(_) => CloseCode::INTERNAL,
            _ => CloseCode::PROTOCOL,
        }
    }
}

/// Mistake of a caller.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UsageError {
    /// `send` before `onopen`.
    #[error("Cannot send data before onopen callback")]
    SendBeforeOpen,
    /// `send_binary` before `onopen`.
    #[error("Cannot send binary before onopen callback")]
    SendBinaryBeforeOpen,
    /// `ping` before `onopen`.
    #[error("Cannot ping before onopen callback")]
    PingBeforeOpen,
    /// `pong` before `onopen`.
    #[error("Cannot pong before onopen callback")]
    PongBeforeOpen,
    /// `pingable?` before `onopen`.
    #[error("Cannot test whether pingable before onopen callback")]
    PingableBeforeOpen,
    /// `supports_close_codes?` before `onopen`.
    #[error("Cannot test before onopen callback")]
    CloseCodesBeforeOpen,
    /// A frame after the closing handshake has begun.
    #[error("Cannot send data frame since connection is closing")]
    Closing,
    /// Binary messages in a draft that has none.
    #[error("Cannot send binary data: draft {0} has no binary frames")]
    NoBinary(u16),
    /// A control frame over 125 bytes (RFC 6455 section 5.5).
    #[error("Control frames must not be longer than 125 bytes, but this one is {0}")]
    ControlTooLong(usize),
    /// Name of what is no header field of HTTP, or none that may be set.
    #[error("{0:?} cannot be added as an HTTP header field")]
    HeaderField(String),
    /// Number that is no status of an HTTP answer that refuses.
    #[error("{0} is no HTTP status to refuse with (200 to 599)")]
    Status(u16),
    /// A close code that applications may not use.
    #[error("Application code may only use codes from 1000, 3000-4999")]
    CloseCode(u16),
}
