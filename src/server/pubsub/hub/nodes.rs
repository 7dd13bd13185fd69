//! Numbers of the last messages of nodes, by which a message that a node sends again is known.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

/// Milliseconds that a number is kept after its message.
pub(super) const KEPT: u64 = 86_400_000;

#[derive(Debug)]
struct Node {
    last: u64,
    expires: u64,
    /// Place in the order of messages.
    written: u64,
}

/// Nodes by their keys.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: HashMap<Bytes, Node>,
    /// Keys, those first whose last message is the oldest.
    by_write: BTreeMap<u64, Bytes>,
    writes: u64,
}

impl Nodes {
    /// Number of a node's last message.
    pub(super) fn last(&self, key: &[u8], now: u64) -> Option<u64> {
        self.nodes.get(key).filter(|node| now < node.expires).map(|node| node.last)
    }

    /// Notes a node's last message. Past `limit` nodes, that of the longest silence is forgotten.
    pub(super) fn set(&mut self, key: &[u8], last: u64, now: u64, limit: usize) {
        let expires = now + KEPT;
        if let Some(node) = self.nodes.get_mut(key) {
            (node.last, node.expires) = (last, expires);
            if node.written != self.writes {
                self.writes += 1;
                if let Some(key) = self.by_write.remove(&node.written) {
                    self.by_write.insert(self.writes, key);
                }
                node.written = self.writes;
            }
            return;
        }
        while self.nodes.len() >= limit.max(1) {
            let Some((_, key)) = self.by_write.pop_first() else { break };
            self.nodes.remove(&key);
        }
        self.writes += 1;
        let key = Bytes::copy_from_slice(key);
        self.by_write.insert(self.writes, key.clone());
        self.nodes.insert(key, Node { last, expires, written: self.writes });
    }

    /// Forgets what has expired.
    pub(super) fn sweep(&mut self, now: u64) {
        while let Some(oldest) = self.by_write.first_entry() {
            if self.nodes.get(oldest.get()).is_some_and(|node| now < node.expires) {
                return;
            }
            self.nodes.remove(&oldest.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_for_a_day_after_the_last_message() {
        let mut nodes = Nodes::default();
        nodes.set(b"a", 1, 0, 10);
        nodes.set(b"b", 7, 5, 10);
        nodes.set(b"a", 2, 10, 10);
        assert_eq!(nodes.last(b"a", KEPT + 9), Some(2));
        assert_eq!(nodes.last(b"a", KEPT + 10), None);
        nodes.sweep(KEPT + 5);
        assert_eq!(nodes.nodes.len(), 1);
        assert_eq!(nodes.last(b"b", 6), None);
        nodes.sweep(KEPT + 10);
        assert!(nodes.nodes.is_empty() && nodes.by_write.is_empty());
    }

    #[test]
    fn past_the_limit_the_node_of_the_longest_silence_is_forgotten() {
        let mut nodes = Nodes::default();
        for (key, number) in [(b"a", 1), (b"b", 1), (b"a", 2), (b"c", 1)] {
            nodes.set(key, number, 0, 2);
        }
        assert_eq!([b"a", b"b", b"c"].map(|key| nodes.last(key, 0)), [Some(2), None, Some(1)]);
    }
}
