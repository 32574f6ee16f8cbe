//! Random secrets: tokens of mailed links, nonces.

/// `BYTES` random bytes in hex, from a cryptographically secure generator seeded by the operating system.
pub fn unguessable<const BYTES: usize>() -> String {
    hex::encode(rand::random::<[u8; BYTES]>())
}

#[cfg(test)]
mod tests {
    use super::unguessable;
    use std::collections::BTreeSet;

    #[test]
    fn every_digit_is_random() {
        let made: Vec<String> = (0..200).map(|_| unguessable::<16>()).collect();
        assert!(made.iter().all(|text| text.len() == 32));
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 200);
        // Unlike in a UUID, no digit is fixed.
        for digit in 0..32 {
            let seen: BTreeSet<u8> = made.iter().map(|text| text.as_bytes()[digit]).collect();
            assert!(seen.len() > 8, "digit {digit}: {seen:?}");
        }
    }
}
