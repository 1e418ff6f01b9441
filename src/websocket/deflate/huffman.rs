//! Codes of least redundancy, and their canonical words (RFC 1951 section 3.2.2).

use super::symbols::CODE_BITS_MAX;

/// The most symbols of an alphabet, and the bits of the number of one.
const ALPHABET_MAX: usize = 288;
const SYMBOL_BITS: u32 = 9;
/// The most depths of a tree over at most 2^23 occurrences: one that is deeper has Fibonacci's numbers.
const DEPTHS: usize = 34;

/// How many words of each length a code has.
type PerLength = [u32; DEPTHS];

/// A code for `N` symbols.
pub(super) struct Code<const N: usize> {
    /// Bits of the word of each symbol; 0 where it has none.
    pub(super) lengths: [u8; N],
    per_length: PerLength,
    /// Bits of all words, each as often as it occurs.
    pub(super) weight: u32,
}

impl<const N: usize> Code<N> {
    /// A code of least redundancy for symbols that occur as often as `counts` says, with words of at most `bits_max` bits.
    /// It has two words at least: some decoders refuse a code that is not complete.
    pub(super) fn new(counts: &[u32; N], bits_max: usize) -> Self {
        const { assert!(N <= ALPHABET_MAX) };
        let mut code = Self {
            lengths: [0; N],
            per_length: [0; DEPTHS],
            weight: 0,
        };
        let mut sorted = [0; N];
        let mut used = 0;
        for (symbol, &count) in counts.iter().enumerate() {
            sorted[used] = count << SYMBOL_BITS | symbol as u32;
            used += usize::from(count != 0);
        }
        if used < 2 {
            let only = if used == 0 { 0 } else { symbol_of(sorted[0]) };
            code.lengths[only] = 1;
            code.lengths[usize::from(only == 0)] = 1;
            code.per_length[1] = 2;
            code.weight = counts[only];
            return code;
        }
        let sorted = &mut sorted[..used];
        sorted.sort_unstable();
        leaves_per_depth(sorted, &mut code.per_length);
        restrict(&mut code.per_length, bits_max);
        let mut rest = &*sorted;
        for (length, &count) in code.per_length.iter().enumerate().rev() {
            let (these, shorter) = rest.split_at(count as usize);
            for &entry in these {
                code.lengths[symbol_of(entry)] = length as u8;
                code.weight += (entry >> SYMBOL_BITS) * length as u32;
            }
            rest = shorter;
        }
        code
    }

    /// Every symbol that has a word, the word with its first bit lowest, as it is written, and the word's length.
    #[inline(always)]
    pub(super) fn words(&self) -> impl Iterator<Item = (usize, u16, u8)> {
        let mut next = [0u16; CODE_BITS_MAX + 1];
        for length in 1..CODE_BITS_MAX {
            next[length + 1] = (next[length] + self.per_length[length] as u16) << 1;
        }
        let lengths = self.lengths.iter().enumerate();
        let used = lengths.filter(|&(_, &length)| length != 0);
        used.map(move |(symbol, &length)| {
            let next = &mut next[usize::from(length) & CODE_BITS_MAX];
            let word = reversed(*next, length);
            *next += 1;
            (symbol, word, length)
        })
    }
}

const fn symbol_of(entry: u32) -> usize {
    entry as usize & ((1 << SYMBOL_BITS) - 1)
}

/// The shape of a tree of least redundancy over at least two counts in rising order, in place (Moffat and
/// Katajainen 1995): first the weight of each inner node gives way to its parent, then the parent to the depth.
fn leaves_per_depth(sorted: &[u32], per_depth: &mut PerLength) {
    let count = sorted.len();
    let mut nodes = [0; ALPHABET_MAX];
    let nodes = &mut nodes[..count];
    let (mut leaf, mut inner) = (0, 0);
    for parent in 0..count - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let leaf_weight = sorted
                .get(leaf)
                .map_or(u32::MAX, |entry| entry >> SYMBOL_BITS);
            if inner < parent && nodes[inner] < leaf_weight {
                weight += nodes[inner];
                nodes[inner] = parent as u32;
                inner += 1;
            } else {
                weight += leaf_weight;
                leaf += 1;
            }
        }
        nodes[parent] = weight;
    }
    nodes[count - 2] = 0;
    let mut inner_per_depth = [0; DEPTHS];
    inner_per_depth[0] = 1;
    for inner in (0..count - 2).rev() {
        let depth = nodes[nodes[inner] as usize] + 1;
        nodes[inner] = depth;
        inner_per_depth[depth as usize] += 1;
    }
    for depth in 1..DEPTHS {
        per_depth[depth] = 2 * inner_per_depth[depth - 1] - inner_per_depth[depth];
    }
}

/// Shortens the words that are longer than `bits_max`, and lengthens others until all have room again.
fn restrict(per_length: &mut PerLength, bits_max: usize) {
    let (allowed, beyond) = per_length.split_at_mut(bits_max + 1);
    let too_long: u32 = beyond.iter().sum();
    if too_long == 0 {
        return;
    }
    beyond.fill(0);
    allowed[bits_max] += too_long;
    // In units of the longest words.
    let room = |(length, &count): (usize, &u32)| count << (bits_max - length);
    let mut excess = allowed.iter().enumerate().map(room).sum::<u32>() - (1 << bits_max);
    while excess > 0 {
        // A longest word moves beside the deepest of the shorter ones, which goes one bit down: that frees one unit.
        let shorter = (1..bits_max).rev().find(|&length| allowed[length] > 0);
        let shorter = shorter.expect("words of the longest kind alone have room");
        allowed[bits_max] -= 1;
        allowed[shorter] -= 1;
        allowed[shorter + 1] += 2;
        excess -= 1;
    }
}

/// The lowest `length` bits of `word`, first to last; `length` is 1 to 16.
pub(super) const fn reversed(word: u16, length: u8) -> u16 {
    word.reverse_bits() >> (u16::BITS - length as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    /// The cost of a tree of least redundancy, the plain way: the two least weights are put together again and again.
    fn least_cost(counts: &[u32]) -> u32 {
        let mut heap: BinaryHeap<_> = counts
            .iter()
            .filter(|&&count| count > 0)
            .map(|&count| Reverse(count))
            .collect();
        let mut cost = 0;
        while let (Some(Reverse(first)), Some(Reverse(second))) = (heap.pop(), heap.pop()) {
            cost += first + second;
            heap.push(Reverse(first + second));
        }
        cost
    }

    /// No word begins another, there is no room for one more, and the weight is right.
    fn assert_complete<const N: usize>(code: &Code<N>, counts: &[u32; N]) {
        let mut taken = vec![false; 1 << CODE_BITS_MAX];
        let mut weight = 0;
        for (symbol, word, length) in code.words() {
            assert_eq!(length, code.lengths[symbol]);
            assert!(usize::from(word) < 1 << length);
            for index in (usize::from(word)..taken.len()).step_by(1 << length) {
                assert!(!std::mem::replace(&mut taken[index], true));
            }
            weight += u32::from(length) * counts[symbol];
        }
        assert!(taken.iter().all(|&taken| taken));
        assert_eq!(code.weight, weight);
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1951 section 3.2.2.
        let mut code = Code {
            lengths: [3, 3, 3, 3, 3, 2, 4, 4],
            per_length: [0; DEPTHS],
            weight: 0,
        };
        code.per_length[2..5].copy_from_slice(&[1, 5, 2]);
        let wanted = [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111];
        for ((symbol, word, length), wanted) in code.words().zip(wanted) {
            assert_eq!(word, reversed(wanted, length), "{symbol}");
        }
        assert_eq!(code.words().count(), 8);
    }

    #[test]
    fn a_code_has_two_words_at_least() {
        assert_eq!(Code::new(&[0; 30], 15).lengths[..3], [1, 1, 0]);
        for (counts, lengths) in [([5, 0, 0], [1, 1, 0]), ([0, 0, 5], [1, 0, 1])] {
            let code = Code::new(&counts, 15);
            assert_eq!(code.lengths, lengths);
            assert_complete(&code, &counts);
        }
    }

    #[test]
    fn words_stay_within_the_limit() {
        // Fibonacci's numbers make the deepest tree of all.
        let mut counts = [1u32; 28];
        for at in 2..counts.len() {
            counts[at] = counts[at - 1] + counts[at - 2];
        }
        for bits_max in 5..=15 {
            let code = Code::new(&counts, bits_max);
            let longest = code.lengths.into_iter().max();
            assert_eq!(longest.map(usize::from), Some(bits_max));
            assert_complete(&code, &counts);
            assert!(
                code.lengths.is_sorted_by(|a, b| a >= b),
                "{:?}",
                code.lengths
            );
        }
    }

    proptest! {
        #![proptest_config(crate::websocket::properties(300))]

        #[test]
        fn a_code_is_complete_and_has_the_least_redundancy(
            few in proptest::collection::vec((0usize..288, 1u32..2_000), 2..60),
            many in proptest::collection::vec(0u32..30, 288),
            all: bool,
        ) {
            let mut counts = [0; 288];
            few.iter().for_each(|&(symbol, count)| counts[symbol] = count);
            if all {
                counts.iter_mut().zip(&many).for_each(|(count, more)| *count += more);
            }
            prop_assume!(counts.iter().filter(|&&count| count > 0).count() > 1);
            let free = Code::new(&counts, 15);
            assert_complete(&free, &counts);
            if free.per_length[15] == 0 {
                prop_assert_eq!(free.weight, least_cost(&counts));
            }
            let tight = Code::new(&counts, 9);
            assert_complete(&tight, &counts);
            prop_assert!(tight.lengths.iter().all(|&length| length <= 9));
            prop_assert!(tight.weight >= free.weight);
        }
    }
}
