//! The opening handshake: an HTTP request in, the answer of its draft out (RFC 6455 section 4.2).
//!
//! [`Handshake::receive`] takes the bytes as they come. Which draft a request asks for decides how
//! it is answered ([`Opening`]): by an echo, a challenge, or an accepted key. The order of the
//! checks is em-websocket's, since a request that fails several of them is told of the first.

mod accept;
mod body;
mod challenge;
mod echo;
mod forwarded;
mod non_websocket;
mod plain;
mod rejection;
mod request;
mod response;
mod response_writer;
mod ruby_format;
mod rules;
mod scan;
mod subprotocol;
mod target;

use std::{mem, net::IpAddr, sync::Arc};

pub use non_websocket::{FLASH_POLICY, HEALTHCHECK_RESPONSE};
pub use plain::{HttpRequest, Unfinished, CONTINUE};
pub use rejection::{unavailable, BodyLength, Rejection};
pub use request::Request;
pub use response::Response;
pub use subprotocol::Subprotocols;

use crate::error::HandshakeError;
use crate::protocol::deflate;
use crate::protocol::networks::Networks;
use crate::protocol::version::{profile, Opening, Profile, Versions};
use plain::PlainRequest;
use scan::{Found, Scan};

/// Limits on a request's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestLimits {
    /// Bytes, from the first one received to the blank line.
    pub header_bytes: usize,
    /// Header fields.
    pub headers: usize,
}

impl Default for RequestLimits {
    /// 16 KiB and 100 fields.
    fn default() -> Self {
        Self { header_bytes: 16 * 1024, headers: 100 }
    }
}

/// The opening handshake of one connection.
#[derive(Debug)]
pub struct Handshake {
    secure: bool,
    strict: bool,
    versions: Option<Versions>,
    compression: Option<deflate::Config>,
    subprotocols: Subprotocols,
    limits: RequestLimits,
    /// Limit on the body of plain HTTP, in bytes; `None` where that is not for the application.
    max_body: Option<usize>,
    /// Proxies that are trusted, if there are any.
    proxies: Option<Box<Proxies>>,
    /// The header so far, then the third key so far.
    received: Vec<u8>,
    phase: Phase,
}

/// Proxies that are trusted, and what they say of the client.
#[derive(Debug)]
struct Proxies {
    trusted: Arc<Networks>,
    /// `None` for a socket of Unix.
    peer: Option<IpAddr>,
    client: Option<IpAddr>,
}

#[derive(Debug)]
enum Phase {
    Header(Scan),
    /// The header is whole and asks for a challenge, whose third key is still coming.
    ThirdKey(Request, &'static Profile),
    /// The header is whole and plain HTTP, whose body is still coming.
    Body(Box<PlainRequest>),
    Over,
}

/// Progress that the bytes so far amount to. All but `Incomplete` and `Continue` are final.
#[derive(Debug)]
pub enum Progress {
    /// More bytes are needed.
    Incomplete,
    /// More bytes are needed, and the client waits for [`CONTINUE`] before it sends them.
    Continue,
    /// A WebSocket is open once the response has been sent.
    Accepted(Box<Accepted>),
    /// A load balancer asks whether the server lives: [`HEALTHCHECK_RESPONSE`] answers, then close.
    Healthcheck,
    /// Flash asks for [`FLASH_POLICY`]: send it, then close.
    FlashPolicy,
    /// Plain HTTP, for the application to answer ([`Handshake::plain_http`]).
    Http(Box<HttpRequest>),
    /// There will be no WebSocket: send the response if there is one, then close.
    Rejected(Box<Rejected>),
}

/// A handshake that succeeded.
#[derive(Debug)]
pub struct Accepted {
    /// The client's request.
    pub request: Request,
    /// The draft to go on with.
    pub profile: &'static Profile,
    /// Response to send.
    pub response: Response,
    /// Parameters of compression, where that was offered and wanted.
    pub deflate: Option<deflate::Params>,
    /// Bytes that the client sent behind its handshake: its first frames.
    pub rest: Vec<u8>,
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Rejected {
    /// Reason.
    pub error: HandshakeError,
    /// Response to send. Garbage and plain HTTP requests get no answer, as in em-websocket.
    pub response: Option<Vec<u8>>,
    /// The request, if it could be read.
    pub request: Option<Request>,
}

impl Handshake {
    /// A handshake that waits for its first byte. `secure` makes answers name `wss://`: the
    /// connection is encrypted, here or by a proxy.
    pub fn new(secure: bool, limits: RequestLimits) -> Self {
        let header_bytes = limits.header_bytes.min(u32::MAX as usize);
        Self {
            secure,
            limits: RequestLimits { header_bytes, ..limits },
            strict: false,
            versions: None,
            compression: None,
            subprotocols: Subprotocols::default(),
            max_body: None,
            proxies: None,
            received: Vec::new(),
            phase: Phase::Header(Scan::default()),
        }
    }

    /// Holds every request to RFC 6455 and RFC 9112, whatever its version, which is 13 or 8 unless
    /// [`versions`](Self::versions) says otherwise; and answers a plain HTTP request with 426 (RFC
    /// 9110 section 15.5.22), too: by default it is closed without a word.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Says which versions are spoken; by default all of them.
    pub fn versions(mut self, versions: Option<Versions>) -> Self {
        self.versions = versions;
        self
    }

    /// Agrees to permessage-deflate where a client offers it (RFC 7692); by default no extension is
    /// looked at.
    pub fn compression(mut self, compression: Option<deflate::Config>) -> Self {
        self.compression = compression;
        self
    }

    /// Says which subprotocols are spoken; by default the client's first is taken.
    pub fn subprotocols(mut self, subprotocols: Subprotocols) -> Self {
        self.subprotocols = subprotocols;
        self
    }

    /// Takes requests that ask for no WebSocket, their bodies of up to so many bytes included, for
    /// the application to answer; by default they are refused, and health checks answered.
    pub fn plain_http(mut self, max_body: Option<usize>) -> Self {
        self.max_body = max_body;
        self
    }

    /// Believes what these proxies say of the client, if the request comes from one of them (`None`:
    /// by a socket of Unix); by default nothing of that is believed.
    pub fn trusted_proxies(
        mut self,
        trusted: Option<&Arc<Networks>>,
        peer: Option<IpAddr>,
    ) -> Self {
        self.proxies = trusted
            .map(|trusted| Box::new(Proxies { trusted: Arc::clone(trusted), peer, client: None }));
        self
    }

    /// Sets where the request comes from, in place of what was given with
    /// [`trusted_proxies`](Self::trusted_proxies).
    pub fn set_peer(&mut self, peer: IpAddr) {
        if let Some(proxies) = &mut self.proxies {
            proxies.peer = Some(peer);
        }
    }

    /// The client's address as trusted proxies say it is, once the request's header has come; `None`
    /// where they say nothing.
    pub fn client(&self) -> Option<IpAddr> {
        self.proxies.as_ref()?.client
    }

    /// Memory that it takes.
    pub fn held(&self) -> usize {
        let body = self.body().map_or(0, PlainRequest::held);
        self.received.capacity() + body
    }

    /// The body of plain HTTP that is still coming.
    pub fn unfinished(&self) -> Option<Unfinished> {
        self.body().map(PlainRequest::unfinished)
    }

    fn body(&self) -> Option<&PlainRequest> {
        match &self.phase {
            Phase::Body(request) => Some(request),
            _ => None,
        }
    }

    /// A body is not waited for any more, for others are.
    pub fn give_up(&self) -> Rejected {
        let error = HandshakeError::GivenUp;
        let response = rejection::rejection(&error, self.spoken());
        Rejected { error, response, request: None }
    }

    /// The response to a client whose time is over; `None` where it gets none. `is_whole` where its
    /// request has come, and it is the application that takes too long.
    pub fn timed_out(&self, is_whole: bool) -> Option<Vec<u8>> {
        let is_http = match &self.phase {
            Phase::Header(scan) => scan.is_http(),
            Phase::Body(_) => true,
            Phase::ThirdKey(..) => false,
            Phase::Over => is_whole,
        };
        self.max_body.filter(|_| is_http).map(|_| rejection::timed_out(is_whole))
    }

    /// Takes the next bytes from the client, and says what all of them amount to.
    ///
    /// Where the bytes are cut makes no difference, with one exception that em-websocket makes:
    /// drafts 75 and 76 let nothing follow the request before the answer, and what follows is told
    /// from first frames by its coming in the same call. (And the counts in the text of
    /// [`HandshakeError::InvalidHeader`] are those of the call.)
    ///
    /// Once a final [`Progress`] has been returned, the handshake is over and further bytes are none
    /// of its business: it drops them and returns [`Progress::Incomplete`].
    pub fn receive(&mut self, bytes: &[u8]) -> Progress {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Header(scan) => self.receive_header(scan, bytes),
            Phase::ThirdKey(request, profile) => self.receive_third_key(request, profile, bytes),
            Phase::Body(request) => self.receive_body(request, bytes),
            Phase::Over => Progress::Incomplete,
        }
    }

    fn receive_header(&mut self, mut scan: Scan, bytes: &[u8]) -> Progress {
        let before = self.received.len();
        let room = self.limits.header_bytes - before;
        self.received.extend_from_slice(&bytes[..room.min(bytes.len())]);

        // em-websocket's parser counts within one call.
        let garbage = |at: usize| HandshakeError::InvalidHeader {
            parsed: at.saturating_sub(before),
            given: bytes.len(),
        };
        let error = match scan.advance(&self.received, self.limits.headers) {
            Found::Header { start, end, fields } => {
                let header = mem::take(&mut self.received);
                return match Request::parse(&header[start..end], fields, self.secure) {
                    Ok(request) => self.respond(request, &bytes[end - before..]),
                    Err(at) => {
                        // The request line was HTTP's (RFC 9112 section 5.1).
                        let error = garbage(start + at);
                        let response = Some(rejection::bad_header());
                        Progress::Rejected(Box::new(Rejected { error, response, request: None }))
                    }
                };
            }
            Found::PolicyRequest => return Progress::FlashPolicy,
            Found::Malformed(at) => garbage(at),
            Found::TooManyFields => HandshakeError::TooManyHeaders(self.limits.headers),
            Found::Incomplete if self.received.len() < self.limits.header_bytes => {
                self.phase = Phase::Header(scan);
                return Progress::Incomplete;
            }
            Found::Incomplete => HandshakeError::HeaderTooLong(self.limits.header_bytes),
        };
        self.received = Vec::new();
        let response =
            scan.is_http().then(|| rejection::rejection(&error, self.spoken())).flatten();
        Progress::Rejected(Box::new(Rejected { error, response, request: None }))
    }

    /// Versions that are spoken.
    fn spoken(&self) -> Versions {
        self.versions.unwrap_or(if self.strict { Versions::STRICT } else { Versions::ALL })
    }

    /// Has the proxies that are trusted say who the client is.
    fn believe(&mut self, request: &mut Request) -> Result<(), HandshakeError> {
        let Some(proxies) = &mut self.proxies else { return Ok(()) };
        let client = forwarded::client(request, proxies.peer, &proxies.trusted)?;
        proxies.client = client.address;
        if let Some(secure) = client.secure {
            request.set_secure(secure);
        }
        Ok(())
    }

    /// Answers a whole request; `behind` is what came behind its header.
    fn respond(&mut self, mut request: Request, behind: &[u8]) -> Progress {
        if let Err(error) = self.believe(&mut request) {
            return self.reject_plain(error, request);
        }
        if let Some(limit) = self.max_body.filter(|_| !request.lists("upgrade", "websocket")) {
            return match PlainRequest::begin(request, limit) {
                Ok(request) => self.receive_body(Box::new(request), behind),
                Err((error, request)) => self.reject_plain(error, request),
            };
        }
        if non_websocket::is_healthcheck(&request) {
            return Progress::Healthcheck;
        }
        let profile = match self.requested(&request) {
            Ok(profile) => profile,
            Err(error) => return self.reject(error, request),
        };
        match profile.opening {
            Opening::Echo if behind.is_empty() => {
                let response = echo::respond(&request);
                accept(request, profile, (response, None), behind)
            }
            Opening::Echo => self.reject(HandshakeError::ExtraBytesAfterHeader, request),
            Opening::Challenge => self.receive_third_key(request, profile, behind),
            Opening::Accept => {
                let compression = self.compression.as_ref();
                let subprotocols = &self.subprotocols;
                match accept::respond(&request, profile, self.strict, compression, subprotocols) {
                    Ok(response) => accept(request, profile, response, behind),
                    Err(error) => self.reject(error, request),
                }
            }
        }
    }

    fn receive_body(&mut self, mut request: Box<PlainRequest>, bytes: &[u8]) -> Progress {
        match request.receive(bytes) {
            Err(error) => self.reject_plain(error, request.into_request()),
            Ok(true) => Progress::Http(Box::new(request.finish())),
            Ok(false) => {
                let must_say = request.takes_expectation();
                self.phase = Phase::Body(request);
                if must_say {
                    Progress::Continue
                } else {
                    Progress::Incomplete
                }
            }
        }
    }

    /// Plain HTTP that is for the application gets an answer, whatever is wrong with it.
    fn reject_plain(&self, error: HandshakeError, request: Request) -> Progress {
        let response = rejection::rejection(&error, self.spoken());
        Progress::Rejected(Box::new(Rejected { error, response, request: Some(request) }))
    }

    fn receive_third_key(
        &mut self,
        request: Request,
        profile: &'static Profile,
        bytes: &[u8],
    ) -> Progress {
        // One byte more than fits shows that there are too many.
        let room = challenge::THIRD_KEY + 1 - self.received.len();
        self.received.extend_from_slice(&bytes[..room.min(bytes.len())]);
        if self.received.len() < challenge::THIRD_KEY {
            self.phase = Phase::ThirdKey(request, profile);
            return Progress::Incomplete;
        }
        match challenge::respond(&request, &mem::take(&mut self.received), &self.subprotocols) {
            Ok(response) => accept(request, profile, (response, None), b""),
            Err(error) => self.reject(error, request),
        }
    }

    /// The version that a request asks for, or what is wrong with it in any version.
    fn requested(&self, request: &Request) -> Result<&'static Profile, HandshakeError> {
        check_upgrade(request)?;
        let version = request.version();
        let profile = version.as_ref().ok().and_then(|version| profile(*version));
        rules::check(request, profile, self.strict)?;
        let version = version?;
        profile
            .filter(|_| self.spoken().contains(version))
            .ok_or(HandshakeError::UnsupportedVersion(version))
    }

    fn reject(&self, error: HandshakeError, request: Request) -> Progress {
        let response = match error {
            HandshakeError::NotUpgrade if self.strict => {
                Some(rejection::upgrade_required(&error, self.spoken()))
            }
            _ if asks_for_upgrade(&request) => rejection::rejection(&error, self.spoken()),
            _ => None,
        };
        Progress::Rejected(Box::new(Rejected { error, response, request: Some(request) }))
    }
}

/// Finds a WebSocket request, whatever its version.
fn check_upgrade(request: &Request) -> Result<(), HandshakeError> {
    if !request.is_get() {
        return Err(HandshakeError::NotGet);
    }
    if !request.has_valid_target() {
        return Err(HandshakeError::InvalidUri(request.target().to_owned()));
    }
    if !asks_for_upgrade(request) {
        return Err(HandshakeError::NotUpgrade);
    }
    if !request.lists("connection", "upgrade") {
        return Err(HandshakeError::NoConnectionUpgrade);
    }
    let upgrades: Vec<_> = request.header_all("upgrade").collect();
    // em-websocket does not accept a repeated header, whatever it says.
    if upgrades.len() > 1 || !request.lists("upgrade", "websocket") {
        return Err(HandshakeError::InvalidUpgrade(ruby_format::inspect(&upgrades)));
    }
    Ok(())
}

/// True if this is more than a plain HTTP request.
fn asks_for_upgrade(request: &Request) -> bool {
    request.header_all("upgrade").any(|value| !value.is_empty())
}

fn accept(
    request: Request,
    profile: &'static Profile,
    (response, deflate): (Response, Option<deflate::Params>),
    rest: &[u8],
) -> Progress {
    let rest = rest.to_vec();
    Progress::Accepted(Box::new(Accepted { request, profile, response, deflate, rest }))
}
