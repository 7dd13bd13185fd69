//! The same test bodies for every draft, after the opening handshake: what is received, what is
//! sent, and where the connection stands.

#![allow(clippy::disallowed_methods, reason = "tests have clocks")]

mod closing;
mod control;
mod failing;
mod fragments;
mod messages;
mod sending;
#[path = "../support/mod.rs"]
mod support;
