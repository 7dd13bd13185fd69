//! Reasons for not reading a connection, and how its opening handshake stands: bits of one number.

/// The application has not seen `onopen` return.
pub(crate) const OPENING: u16 = 1;
/// The application paused it.
pub(crate) const PAUSED: u16 = 2;
/// Too much waits for the application already.
pub(crate) const FULL: u16 = 4;
/// The application has not agreed to the peer's certificate.
pub(crate) const SECURING: u16 = 8;
/// The application puts off its answer to the opening handshake.
pub(crate) const DEFERRED: u16 = 16;
/// Too much waits on all connections of the server.
pub(crate) const CROWDED: u16 = 32;
/// All of these.
pub(crate) const ANY: u16 = 63;

// The rest are no reasons for not reading.
/// The application wants to be asked before the opening handshake is answered.
pub(crate) const ASKS: u16 = 64;
/// The opening handshake is refused: by the application, or because the peer is gone or its time is
/// up. Set under the link's lock.
pub(crate) const REFUSED: u16 = 128;
/// The application has not been asked about the opening handshake yet.
pub(crate) const ASKING: u16 = 256;
