//! Envelope around the messages of a channel, so that clients know the position of each.

use std::{fmt::Write, sync::Arc};

use super::Position;

/// Template that a message is put into, once for all who get it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope(Arc<[Part]>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(Box<str>),
    Channel,
    Epoch,
    Message,
    Offset,
    Position,
    Raw,
}

/// The parts that a template names.
const PARTS: [(&str, Part); 6] = [
    ("channel", Part::Channel),
    ("epoch", Part::Epoch),
    ("message", Part::Message),
    ("offset", Part::Offset),
    ("position", Part::Position),
    ("raw", Part::Raw),
];

/// Text that is no template.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// A part without an end.
    #[error("%{{ has no end")]
    Unfinished,
    /// A part that there is not.
    #[error("%{{{0}}} is not %{{channel}}, %{{epoch}}, %{{message}}, %{{offset}}, %{{position}} or %{{raw}}")]
    Unknown(Box<str>),
    /// A template that the message has no place in.
    #[error("it has neither %{{message}} nor %{{raw}}")]
    NoMessage,
}

impl Envelope {
    /// A template: `%{position}`, `%{epoch}` and `%{offset}` are those of the message,
    /// `%{message}` and `%{channel}` it and the channel's name as strings of JSON, `%{raw}` the
    /// message as it is, `%%` a percent sign.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn new(template: &str) -> Result<Self, EnvelopeError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(named) = rest.strip_prefix('{') else {
                text.push('%');
                rest = rest.strip_prefix('%').unwrap_or(rest);
                continue;
            };
            let (name, after) = named.split_once('}').ok_or(EnvelopeError::Unfinished)?;
            let part = PARTS.iter().find(|(known, _)| *known == name);
            let (_, part) = part.ok_or_else(|| EnvelopeError::Unknown(name.into()))?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            }
            parts.push(part.clone());
            rest = after;
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        if !parts.iter().any(|part| matches!(part, Part::Message | Part::Raw)) {
            return Err(EnvelopeError::NoMessage);
        }
        Ok(Self(parts.into()))
    }

    /// True if messages can be put into it that are not text.
    pub(super) fn takes_binary(&self) -> bool {
        !self.0.contains(&Part::Message)
    }

    /// The template with a message in it.
    pub(super) fn around(&self, name: &[u8], position: Position, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + message.len() / 8 + 128);
        for part in &*self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Channel => quote(name, &mut out),
                Part::Message => quote(message, &mut out),
                Part::Raw => out.extend_from_slice(message),
                Part::Epoch => put(&mut out, format_args!("{:x}", position.epoch)),
                Part::Offset => put(&mut out, format_args!("{}", position.offset)),
                Part::Position => put(&mut out, format_args!("{position}")),
            }
        }
        out
    }
}

fn put(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    let mut text = String::new();
    // A String takes everything.
    let _ = text.write_fmt(arguments);
    out.extend_from_slice(text.as_bytes());
}

/// Text as a string of JSON (RFC 8259 section 7).
fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        if *byte >= 0x20 && !matches!(byte, b'"' | b'\\') {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => put(out, format_args!("\\u{control:04x}")),
        }
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "clippy knows test functions, and not what they share")]
mod tests {
    use super::*;

    fn around(template: &str, message: &str) -> String {
        let position = Position { epoch: 0xab, offset: 12 };
        let bytes = Envelope::new(template).unwrap().around(b"a\"b", position, message.as_bytes());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_message_is_put_where_its_template_says() {
        for (template, whole) in [
            ("%{raw}", "hi"),
            ("%{message}", "\"hi\""),
            ("[%{channel},\"%{position}\",%{raw}]", "[\"a\\\"b\",\"ab:12\",hi]"),
            ("%{epoch} %{offset}%{offset} %{raw}", "ab 1212 hi"),
            ("100%% 1% %d%{raw}%", "100% 1% %dhi%"),
            ("%%{raw}%{raw}", "%{raw}hi"),
        ] {
            assert_eq!(around(template, "hi"), whole, "{template}");
        }
    }

    #[test]
    fn what_json_has_no_plain_form_of_is_escaped() {
        let all: String = (0..=0x80).map(char::from).chain("ü€\u{2028}😀".chars()).collect();
        let quoted = around("%{message}", &all);
        assert!(quoted.starts_with("\"\\u0000\\u0001"), "{quoted}");
        assert!(quoted.contains("\\u0008\\t\\n\\u000b\\u000c\\r\\u000e"), "{quoted}");
        assert!(quoted.contains("\\u001f !\\\"#"), "{quoted}");
        assert!(
            quoted.ends_with("Z[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\u{7f}\u{80}ü€\u{2028}😀\"")
        );
        assert_eq!(around("%{message}", ""), "\"\"");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (template, error) in [
            ("", EnvelopeError::NoMessage),
            ("%{position}", EnvelopeError::NoMessage),
            ("%%{message}", EnvelopeError::NoMessage),
            ("%{message", EnvelopeError::Unfinished),
            ("%{raw} %{Message}", EnvelopeError::Unknown("Message".into())),
            ("%{}", EnvelopeError::Unknown("".into())),
        ] {
            assert_eq!(Envelope::new(template), Err(error), "{template}");
        }
    }
}
