//! Tokens of HTTP (RFC 9110 section 5.6.2): names of fields, of parameters, and some of their values.

/// True if a token may have this byte.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
