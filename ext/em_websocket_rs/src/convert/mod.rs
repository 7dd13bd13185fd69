//! Conversions between Ruby's values and the core's.

pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod frames;
pub(crate) mod options;
pub(crate) mod string;
pub(crate) mod symbols;
