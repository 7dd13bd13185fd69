//! Spreading channels over several brokers.

/// The bucket of a key, of so many (1 at least): one more bucket takes its share from each of the
/// others, and moves nothing between them. "A Fast, Minimal Memory, Consistent Hash Algorithm" by
/// Lamping and Veach.
pub(super) fn jump_hash(mut key: u64, buckets: usize) -> usize {
    let (mut bucket, mut next) = (0, 0i64);
    while next < buckets as i64 {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let divisor = ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / divisor)) as i64;
    }
    bucket as usize
}

/// Key of a name, the same in every process (FNV-1a).
pub(super) fn key(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |key, byte| {
        (key ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_bucket_takes_its_share_and_moves_nothing_else() {
        let keys: Vec<u64> = (0..10_000).map(|n| key(format!("room:{n}").as_bytes())).collect();
        for buckets in 1..8 {
            let mut moved = 0;
            for key in &keys {
                let (before, after) = (jump_hash(*key, buckets), jump_hash(*key, buckets + 1));
                assert!(before < buckets);
                assert!(after == before || after == buckets);
                moved += usize::from(after != before);
            }
            let share = keys.len() / (buckets + 1);
            assert!((share * 8 / 10..share * 12 / 10).contains(&moved), "{buckets}: {moved}");
        }
    }

    #[test]
    fn the_bucket_of_a_name_is_the_same_everywhere() {
        let buckets: Vec<_> =
            ["a", "b", "chat:1", "chat:2"].map(|name| jump_hash(key(name.as_bytes()), 5)).into();
        assert_eq!(buckets, BUCKETS);
    }

    /// Computed once: another answer would split a cluster whose processes are of two versions.
    const BUCKETS: [usize; 4] = [2, 3, 0, 3];
}
