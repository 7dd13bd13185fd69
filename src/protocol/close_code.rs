//! Close codes (RFC 6455 section 7.4).

/// A close code (RFC 6455 section 7.4). Any number survives; the known ones have names.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a rule of the protocol was broken.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: data of a kind that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the close frame carried no code. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: no closing handshake took place. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a message whose bytes are not what its type says.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: against the receiver's policy.
    pub const POLICY: Self = Self(1008);
    /// 1009: too big to be processed.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: the server met something it did not expect.
    pub const INTERNAL: Self = Self(1011);
    /// 1013: there is no room at present.
    pub const TRY_AGAIN: Self = Self(1013);
    /// 3000: an exception in the application's own callback (em-websocket's "Application error").
    pub const APPLICATION: Self = Self(3000);

    /// True if a peer may send this code (RFC 6455 section 7.4, and IANA's registry of 1012-1014).
    pub fn may_be_received(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// True for a code that an application may close with: those of em-websocket, and those by which
    /// a server says that it goes (1001), restarts (1012) or has too much to do (1013).
    pub fn may_be_used(self) -> bool {
        matches!(self.0, 1000 | 1001 | 1003 | 1008 | 1011..=1013 | 3000..=4999)
    }
}
