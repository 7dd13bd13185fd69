//! Masking (RFC 6455 section 5.3): the same operation both ways.

/// XORs `bytes` with the masking key, in place. `offset` is how far into the masked run `bytes`
/// begins, so that a run may be unmasked piece by piece. Whether what it makes is ASCII: on the
/// way that costs next to nothing, and a look of its own as much as the unmasking.
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: usize) -> bool {
    let mut key = key;
    key.rotate_left(offset % 4);
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut seen = 0;
    let mut words = bytes.chunks_exact_mut(8);
    for chunk in &mut words {
        let plain = u64::from_ne_bytes((&*chunk).try_into().expect("a chunk of eight")) ^ word;
        chunk.copy_from_slice(&plain.to_ne_bytes());
        seen |= plain;
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
        seen |= u64::from(*byte);
    }
    seen & 0x8080_8080_8080_8080 == 0
}

#[cfg(test)]
mod tests {
    use super::apply_mask;
    use proptest::prelude::*;

    #[test]
    fn the_sample_of_rfc_6455_section_5_7() {
        let mut hello = *b"\x7f\x9f\x4d\x51\x58";
        apply_mask(&mut hello, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(&hello, b"Hello");
    }

    proptest! {
        #[test]
        fn pieces_are_masked_like_the_whole(
            bytes: Vec<u8>, key: [u8; 4], cut in 0usize..100, start in 0usize..9
        ) {
            let expected: Vec<u8> =
                bytes.iter().enumerate().map(|(i, b)| b ^ key[(start + i) % 4]).collect();
            let mut pieces = bytes.clone();
            let cut = cut.min(bytes.len());
            let (head, tail) = pieces.split_at_mut(cut);
            prop_assert_eq!(apply_mask(head, key, start), expected[..cut].is_ascii());
            prop_assert_eq!(apply_mask(tail, key, start + cut), expected[cut..].is_ascii());
            prop_assert_eq!(pieces, expected);
        }

        #[test]
        fn one_byte_that_is_not_ascii_is_seen(len in 1usize..80, at: usize, key: [u8; 4]) {
            let mut bytes = vec![0x7f; len];
            bytes[at % len] = 0x80;
            let mut masked = bytes.clone();
            prop_assert!(!apply_mask(&mut masked.clone(), [0; 4], 0));
            apply_mask(&mut masked, key, 0);
            prop_assert!(!apply_mask(&mut masked, key, 0));
            bytes[at % len] = 0x7f;
            prop_assert!(apply_mask(&mut bytes, [0; 4], 0));
        }
    }
}
