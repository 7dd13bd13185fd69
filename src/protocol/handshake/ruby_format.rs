//! Ruby's format of what a client sent, as em-websocket's error texts show it, and of numbers.

/// A header's value as Ruby's `inspect` shows it: a String, or an Array where the header came more
/// than once.
pub(super) fn inspect(values: &[&[u8]]) -> String {
    let mut text = String::new();
    if let [value] = values {
        inspect_into(value, &mut text);
        return text;
    }
    text.push('[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        inspect_into(value, &mut text);
    }
    text.push(']');
    text
}

/// One String of bytes (Ruby's ASCII-8BIT), which leaves nothing but printable ASCII.
fn inspect_into(value: &[u8], text: &mut String) {
    text.push('"');
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            // "#{", "#$" and "#@" would begin an interpolation.
            b'#' if matches!(value.get(at + 1), Some(b'{' | b'$' | b'@')) => text.push_str("\\#"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            0x0b => text.push_str("\\v"),
            0x0c => text.push_str("\\f"),
            0x1b => text.push_str("\\e"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02X}")),
        }
    }
    text.push('"');
}

/// The number at the start of `value`, 0 where there is none: Ruby's `to_i`.
pub(super) fn integer(value: &[u8]) -> i64 {
    let value = value.trim_ascii_start();
    let (sign, digits) = match value {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |number, byte| number.saturating_mul(10).saturating_add((byte - b'0').into()))
        .saturating_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every expectation was printed by Ruby 3.1 (`bytes.b.inspect`).
    #[test]
    fn inspects_as_ruby_does() {
        assert_eq!(inspect(&[b"NonWebSocket"]), r#""NonWebSocket""#);
        assert_eq!(inspect(&[b"WebSocket", b"x"]), r#"["WebSocket", "x"]"#);
        assert_eq!(inspect(&[b""]), r#""""#);
        assert_eq!(inspect(&[b"a\"b\\c"]), r#""a\"b\\c""#);
        assert_eq!(inspect(&[b"#{x} #$x #x #@y # z#"]), r##""\#{x} \#$x #x \#@y # z#""##);
        assert_eq!(
            inspect(&[b"\x00\x01\x07\x08\t\n\x0b\x0c\r\x1b\x1f\x7f"]),
            r#""\x00\x01\a\b\t\n\v\f\r\e\x1F\x7F""#
        );
        assert_eq!(inspect(&["é".as_bytes()]), r#""\xC3\xA9""#);
        assert_eq!(inspect(&[b"\xff"]), r#""\xFF""#);
    }

    #[test]
    fn reads_the_number_at_the_start() {
        assert_eq!(integer(b"13"), 13);
        assert_eq!(integer(b" 013, 8"), 13);
        assert_eq!(integer(b"+13abc"), 13);
        assert_eq!(integer(b"-1"), -1);
        assert_eq!(integer(b"0x13"), 0);
        assert_eq!(integer(b"abc"), 0);
        assert_eq!(integer(b""), 0);
        assert_eq!(integer(b"99999999999999999999999"), i64::MAX);
        assert_eq!(integer(b"-99999999999999999999999"), -i64::MAX);
    }
}
