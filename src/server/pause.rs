//! Reasons why a connection is not read, and the outcome of its opening handshake: bits of one number.

/// The application has not seen `onopen` return.
pub(crate) const AWAITING_OPEN: u16 = 1;
/// The application paused it.
pub(crate) const APPLICATION: u16 = 2;
/// Too much of it waits for the application already.
pub(crate) const INBOUND_FULL: u16 = 4;
/// The application has not agreed to the peer's certificate.
pub(crate) const AWAITING_TLS_VERIFY: u16 = 8;
/// The application puts off its response to the opening handshake.
pub(crate) const RESPONSE_DEFERRED: u16 = 16;
/// Too much waits on all connections of the server.
pub(crate) const BUDGET_FULL: u16 = 32;
/// All of these.
pub(crate) const ANY: u16 = 63;

// The rest are no reasons for not reading.
/// The application wants to be asked before the opening handshake is answered.
pub(crate) const ASKS_APPLICATION: u16 = 64;
/// The opening handshake is rejected: by the application, or because the peer is gone or its time is
/// up. Set under the lock of the connection's state.
pub(crate) const REJECTED: u16 = 128;
/// The application has not been asked about the opening handshake yet.
pub(crate) const UNASKED: u16 = 256;
