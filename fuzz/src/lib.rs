//! Fuzz targets, and what must hold: a module for each target, and under them how an
//! input is read, how bytes are cut, and what memory is counted.
//!
//! An input is read from its front, and what is not there reads as zero. So every input means
//! something, a mutation changes what it touches and little else, and seeds can be written by hand
//! (`examples/seeds.rs`).

mod cuts;
mod input;
mod meter;
// An inflater that keeps no larger window than was agreed.
#[allow(clippy::unwrap_used, reason = "it is the tests'")]
#[path = "../../tests/deflate/strict.rs"]
mod strict;
// What clients of each draft say and hear, written without a look at the core's own encoder.
#[path = "../../tests/support/mod.rs"]
mod support;

pub mod connection;
pub mod deflate;
pub mod frames;
pub mod handshake;
pub mod proxy;
#[cfg(feature = "tls")]
pub mod tls_files;

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
