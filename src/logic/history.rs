//! The last probes of an address in a few words: how long each took, and whether it was answered.

/// How many probes are remembered.
pub const SAMPLES: usize = 32;
/// Words that they take.
pub const WORDS: usize = SAMPLES / PER_WORD;
const PER_WORD: usize = 4;
const BITS: u32 = 16;

/// Of a sample: the probe failed.
const FAILED: u16 = 1 << 15;
/// Bits of a duration's digits; above them the places it is shifted by.
const DIGITS: u32 = 10;

/// One probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// How long it took, in microseconds, from 1 to 2^32 - 1; within 0.1 %.
    pub took_us: u32,
    pub ok: bool,
}

/// The last [`SAMPLES`] probes, the newest in the lowest bits of the first word; 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct History(pub [u64; WORDS]);

impl History {
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Remembers one more probe and forgets the oldest.
    pub fn push(&mut self, sample: Sample) {
        let mut carry = u64::from(encode(sample));
        for word in &mut self.0 {
            let out = *word >> (u64::BITS - BITS);
            *word = *word << BITS | carry;
            carry = out;
        }
    }

    /// The probes, oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        let codes = |word: &u64| word.to_le_bytes();
        let bytes: Vec<u8> = self.0.iter().flat_map(codes).collect();
        let newest_first = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        newest_first.rev().filter_map(decode).collect()
    }
}

/// A duration is its highest bits and how far they were shifted: never 0.
fn encode(sample: Sample) -> u16 {
    let us = sample.took_us.max(1);
    let shift = (u32::BITS - us.leading_zeros()).saturating_sub(DIGITS);
    let code = (shift << DIGITS | us >> shift) as u16;
    code | if sample.ok { 0 } else { FAILED }
}

fn decode(code: u16) -> Option<Sample> {
    let digits = u32::from(code & ((1 << DIGITS) - 1));
    let shift = u32::from(code & !FAILED) >> DIGITS;
    let sample = Sample {
        // From shared memory: any bits may come.
        took_us: digits.checked_shl(shift).unwrap_or(u32::MAX),
        ok: code & FAILED == 0,
    };
    (code != 0).then_some(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ok(took_us: u32) -> Sample {
        Sample { took_us, ok: true }
    }

    #[test]
    fn the_last_ones_in_order() {
        let mut history = History::EMPTY;
        assert_eq!(history.samples(), []);
        for n in 1..=SAMPLES as u32 + 5 {
            history.push(ok(n));
            let first = n.saturating_sub(SAMPLES as u32) + 1;
            let want: Vec<Sample> = (first..=n).map(ok).collect();
            assert_eq!(history.samples(), want);
        }
        let failed = Sample {
            took_us: 500_000,
            ok: false,
        };
        history.push(failed);
        let last = *history.samples().last().unwrap();
        assert!(!last.ok && last.took_us.abs_diff(500_000) <= 500);
    }

    #[test]
    fn durations_within_a_thousandth() {
        let some =
            (0..32).flat_map(|bit| [1 << bit, (1_u32 << bit) - 1, 3 << bit, u32::MAX >> bit]);
        for us in some {
            for ok in [true, false] {
                let back = decode(encode(Sample { took_us: us, ok })).unwrap();
                let want = us.max(1);
                assert!(
                    back.took_us.abs_diff(want) <= want / 1_000,
                    "{us}: {back:?}"
                );
                assert_eq!(back.ok, ok);
            }
        }
    }

    #[test]
    fn any_bits_are_read() {
        for code in 0..=u16::MAX {
            assert_eq!(decode(code).is_none(), code == 0);
        }
    }
}
