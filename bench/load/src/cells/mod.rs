//! The loads.

pub(crate) mod broadcast;
pub(crate) mod connect;
pub(crate) mod echo;
pub(crate) mod fire;
pub(crate) mod idle;
pub(crate) mod latency;
mod window;
