//! PEM as OpenSSL reads it: RFC 7468, and the headers of RFC 1421 that encrypted keys still have.

use std::io;
use std::path::Path;

use base64::prelude::{Engine as _, BASE64_STANDARD};

use super::error::{Origin, TlsError};

/// In bytes, of a label and of an algorithm. What is longer lost a line break, and its end may be
/// the key: it is no name, and no error tells it.
pub(super) const LONGEST_NAME: usize = 40;

/// Byte order mark, with which some editors begin every file that is UTF-8. Files that were joined
/// have it inside, too.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The byte order marks of UTF-16.
const UTF_16: [Option<&[u8]>; 2] = [Some(b"\xff\xfe"), Some(b"\xfe\xff")];

/// The text that an option holds or names.
pub(super) struct Source {
    pub(super) origin: Origin,
    text: String,
}

/// Block between one `BEGIN` and its `END`.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: String,
}

impl Source {
    /// Whichever was given, of the path and the text, each with its option's name.
    pub(super) fn read(
        (path, path_option): (Option<&Path>, &'static str),
        (text, text_option): (Option<&[u8]>, &'static str),
    ) -> Result<Option<Self>, TlsError> {
        let path = path.filter(|path| !path.as_os_str().is_empty());
        let text = text.filter(|text| !text.is_empty());
        match (path, text) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(TlsError::BothGiven(path_option, text_option)),
            (None, Some(text)) => Self::new(Origin::Text(text_option), text).map(Some),
            (Some(path), None) => Self::file(path, path_option).map(Some),
        }
    }

    fn file(path: &Path, option: &'static str) -> Result<Self, TlsError> {
        let origin = Origin::File(path.to_owned(), option);
        match std::fs::read(path) {
            Ok(bytes) => Self::new(origin, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(TlsError::FileMissing(origin))
            }
            Err(error) => Err(TlsError::FileUnreadable(origin, error.to_string())),
        }
    }

    pub(super) fn new(origin: Origin, bytes: &[u8]) -> Result<Self, TlsError> {
        // Every other byte of ASCII is 0 then.
        if bytes.starts_with(b"-\0")
            || bytes.starts_with(b"\0-")
            || UTF_16.contains(&bytes.get(..2))
        {
            return Err(TlsError::Utf16(origin));
        }
        // The names in front of a block may be in any encoding; the block is ASCII.
        Ok(Self { origin, text: String::from_utf8_lossy(bytes).into_owned() })
    }

    /// The blocks in their order. Whatever stands outside of them is a comment.
    pub(super) fn blocks(&self) -> Result<Vec<Block<'_>>, TlsError> {
        let mut blocks = Vec::new();
        let mut open: Option<(&str, Vec<&str>)> = None;
        for line in self.text.lines().map(trim) {
            match (Boundary::parse(line), &mut open) {
                (None, None) => {}
                (None, Some((_, lines))) => lines.push(line),
                (Some(Boundary::Begin(label)), None) => open = Some((label, Vec::new())),
                (Some(Boundary::End(end)), Some((label, lines))) if end == *label => {
                    blocks.push(Block::new(label, lines));
                    open = None;
                }
                (Some(_), _) => return Err(self.damaged(format!("{line:?} is out of place"))),
            }
        }
        match open {
            Some((label, _)) => Err(self.damaged(format!("\"BEGIN {label}\" has no END"))),
            None => Ok(blocks),
        }
    }

    /// Bytes that a block holds, and nothing else.
    pub(super) fn decode(&self, block: &Block<'_>) -> Result<Vec<u8>, TlsError> {
        BASE64_STANDARD
            .decode(&block.body)
            .map_err(|error| self.damaged(format!("\"{}\" is not base64: {error}", block.label)))
    }

    pub(super) fn damaged(&self, how: impl Into<String>) -> TlsError {
        TlsError::Malformed(self.origin.clone(), how.into())
    }
}

impl<'a> Block<'a> {
    fn new(label: &'a str, lines: &[&'a str]) -> Self {
        // RFC 1421 section 4.4: headers, if there are any, end with an empty line.
        let headers: Vec<_> = lines.iter().map_while(|line| line.split_once(": ")).collect();
        let body = lines[headers.len()..].concat();
        Self { label, headers, body }
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    }
}

/// Takes off what OpenSSL does not look at either: white space, a byte order mark in front, and
/// bytes behind that are no characters.
fn trim(line: &str) -> &str {
    let is_garbage = |char: char| char <= ' ' || !char.is_ascii();
    line.trim_start_matches(BYTE_ORDER_MARK).trim_start().trim_end_matches(is_garbage)
}

enum Boundary<'a> {
    Begin(&'a str),
    End(&'a str),
}

impl<'a> Boundary<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let inner = line.strip_prefix("-----")?.strip_suffix("-----")?;
        if inner.len() > "BEGIN ".len() + LONGEST_NAME {
            return None;
        }
        if let Some(label) = inner.strip_prefix("BEGIN ") {
            Some(Self::Begin(label))
        } else {
            inner.strip_prefix("END ").map(Self::End)
        }
    }
}
