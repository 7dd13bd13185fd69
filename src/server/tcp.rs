//! Writing to a socket without waiting.

use std::io::{self, IoSlice};

use super::sync::OwnedWriteHalf;

/// Writes without waiting: a single slice by `write`, for the kernel makes more of `writev`.
pub(crate) fn write_slices(socket: &OwnedWriteHalf, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [slice] => socket.try_write(slice),
        slices => socket.try_write_vectored(slices),
    }
}

/// Writes the parts of one frame from where they stand, without waiting; 0 where the socket is full.
pub(crate) fn write_parts(socket: &OwnedWriteHalf, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match write_slices(socket, parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
