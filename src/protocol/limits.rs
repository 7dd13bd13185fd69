//! Limits on the frames and messages of a peer.

/// Limits on a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest frame, in bytes, as the draft counts it ([`SizeLimit`](super::version::SizeLimit)); 10 MiB by default.
    pub frame: usize,
    /// The longest message, all fragments together, in bytes; 64 MiB by default.
    pub message: usize,
    /// True if unmasked frames are refused where the draft masks (RFC 6455 section 5.1); off by
    /// default.
    pub require_masked: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: 10 * 1024 * 1024, message: 64 * 1024 * 1024, require_masked: false }
    }
}
