//! Rules for channels, by patterns of their names.

use std::time::Duration;

use super::envelope::Envelope;

/// Messages that a channel keeps for those who come back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct History {
    /// Number of messages, at most.
    pub size: usize,
    /// Time for which each is kept.
    pub ttl: Duration,
    /// Envelope that is sent with each.
    pub envelope: Option<Envelope>,
}

/// Number of messages that are kept, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HistorySize {
    pub(crate) size: usize,
    pub(crate) ttl: Duration,
}

/// Treatment of messages for a subscriber that does not take what was sent before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Slow {
    /// They wait like all that is sent; past the connection's outbound limit it is aborted.
    #[default]
    Close,
    /// A number of them wait, in the channel and not in the connection; then the oldest is dropped.
    Drop {
        /// Number of them, 1 at least.
        keep: usize,
    },
}

impl Slow {
    /// Number of messages that the channel keeps for slow subscribers.
    pub(super) fn kept(self) -> usize {
        match self {
            Self::Close => 0,
            Self::Drop { keep } => keep,
        }
    }
}

/// Settings of one channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// History that is kept for those who come back.
    pub history: Option<History>,
    /// Treatment of messages that a subscriber does not take.
    pub slow: Slow,
}

/// Pattern of channels' names: `*` stands for any bytes, everything else for itself.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Pattern(Box<[u8]>);

impl Pattern {
    fn matches(&self, name: &[u8]) -> bool {
        matches(&self.0, name)
    }
}

/// True if a pattern of channels' names matches one: `*` stands for any bytes, everything else for
/// itself.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match memchr::memmem::find(rest, part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Rules for channels, in the order in which they were given: of each kind the first that matches
/// holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    history: Vec<(Pattern, History)>,
    slow: Vec<(Pattern, Slow)>,
}

impl Rules {
    pub(super) fn keep_history(&mut self, pattern: &[u8], history: History) {
        put(&mut self.history, pattern, history);
    }

    pub(super) fn treat_slow(&mut self, pattern: &[u8], slow: Slow) {
        put(&mut self.slow, pattern, slow);
    }

    /// Settings of a channel of this name.
    pub(super) fn of(&self, name: &[u8]) -> Settings {
        Settings {
            history: first(&self.history, name),
            slow: first(&self.slow, name).unwrap_or_default(),
        }
    }
}

/// Adds a rule, or replaces the one that has this pattern.
fn put<T>(rules: &mut Vec<(Pattern, T)>, pattern: &[u8], rule: T) {
    match rules.iter_mut().find(|(known, _)| &*known.0 == pattern) {
        Some((_, known)) => *known = rule,
        None => rules.push((Pattern(pattern.into()), rule)),
    }
}

fn first<T: Clone>(rules: &[(Pattern, T)], name: &[u8]) -> Option<T> {
    rules.iter().find(|(pattern, _)| pattern.matches(name)).map(|(_, rule)| rule.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_bytes_and_everything_else_for_itself() {
        for (pattern, name, matches) in [
            ("chat", "chat", true),
            ("chat", "chats", false),
            ("chat:*", "chat:", true),
            ("chat:*", "chat:a:b", true),
            ("chat:*", "chat", false),
            ("*", "", true),
            ("*", "anything", true),
            ("*:log", "a:log", true),
            ("*:log", "a:logs", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*b*c", "abc", true),
            ("a*bc*c", "abc", false),
            ("a**c", "abc", true),
            ("a?c", "abc", false),
            ("[a]", "a", false),
        ] {
            let pattern = Pattern(pattern.as_bytes().into());
            assert_eq!(pattern.matches(name.as_bytes()), matches, "{pattern:?} {name}");
        }
    }

    #[test]
    fn the_first_rule_of_a_kind_that_matches_holds_and_a_later_one_of_its_pattern_replaces_it() {
        let ttl = Duration::from_secs(1);
        let history = |size| History { size, ttl, envelope: None };
        let mut rules = Rules::default();
        rules.keep_history(b"a:*", history(1));
        rules.keep_history(b"*", history(2));
        rules.treat_slow(b"*:ticker", Slow::Drop { keep: 1 });
        assert_eq!(
            rules.of(b"a:ticker"),
            Settings { history: Some(history(1)), slow: Slow::Drop { keep: 1 } }
        );
        assert_eq!(rules.of(b"b"), Settings { history: Some(history(2)), slow: Slow::Close });
        rules.keep_history(b"a:*", history(3));
        assert_eq!(rules.of(b"a:").history, Some(history(3)));
    }
}
