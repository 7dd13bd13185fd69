//! The header of the PROXY protocol: any bytes, however they are cut.
//!
//! What is said of the client, and how many bytes are taken, does not depend on the cuts; no more is
//! taken than the limit, and nothing is behind an error.

use em_websocket::protocol::proxy::{HeaderReader, ProxyError, Source, MAX_HEADER};

use crate::{cuts::Cuts, input::Input};

/// See [the module](self).
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let cuts = Cuts::read(&mut input);
    let bytes = input.swollen();
    let whole = outcome(&bytes, &Cuts::whole());
    if let Ok((taken, source)) = whole {
        assert!(taken <= MAX_HEADER && taken <= bytes.len());
        assert!(source.is_some() || taken == bytes.len());
    }
    for cuts in cuts.and_single(bytes.len()) {
        assert_eq!(outcome(&bytes, &cuts), whole, "{cuts:?}");
    }
}

fn outcome(bytes: &[u8], cuts: &Cuts) -> Result<(usize, Option<Source>), ProxyError> {
    let mut reader = HeaderReader::default();
    let mut all = 0;
    for piece in cuts.pieces(bytes) {
        let (taken, source) = reader.receive(piece)?;
        all += taken;
        if source.is_some() {
            return Ok((all, source));
        }
        assert_eq!(taken, piece.len());
    }
    Ok((all, None))
}
