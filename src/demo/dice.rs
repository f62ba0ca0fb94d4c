//! Chance that can be repeated: the same seed plays the same demo.
//!
//! Owns a small generator (Steele et al., SplitMix64). Good enough to pick people, and for nothing else.

/// Draws numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not including, `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// One of these; none when there is none.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).cloned()
    }

    /// At most `n` of these, each once.
    pub fn choose<T>(&mut self, n: usize, mut from: Vec<T>) -> Vec<T> {
        let mut chosen = Vec::new();
        while chosen.len() < n && !from.is_empty() {
            chosen.push(from.swap_remove(self.below(from.len())));
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_everybody_is_chosen_once() {
        let draw = |seed| Dice::new(seed).choose(10, (0..10).collect::<Vec<_>>());
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut all = draw(3);
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(Dice::new(1).pick::<u8>(&[]), None);
        assert!((0..100).all(|seed| Dice::new(seed).below(3) < 3));
    }
}
