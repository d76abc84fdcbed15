//! One bit per row: which rows of a file a merge touches, which incoming rows it keeps.
//!
//! Knows nothing of files; positions are row numbers in reading order.

use arrow_array::BooleanArray;

/// A fixed number of bits.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// All bits alike.
    pub(crate) fn filled(len: usize, value: bool) -> Self {
        let mut words = vec![if value { u64::MAX } else { 0 }; len.div_ceil(64)];
        if let Some(last) = words.last_mut().filter(|_| !len.is_multiple_of(64)) {
            // Bits behind the end are never set, so that counting is counting words.
            *last &= (1 << (len % 64)) - 1;
        }
        Self { words, len }
    }

    /// Only these bits set.
    pub(crate) fn at(len: usize, places: &[usize]) -> Self {
        let mut bits = Self::filled(len, false);
        for place in places {
            bits.set(*place, true);
        }
        bits
    }

    /// Appends unset bits.
    pub(crate) fn grow(&mut self, by: usize) {
        self.len += by;
        self.words.resize(self.len.div_ceil(64), 0);
    }

    /// Sets all bits that another one has set, and grows to its length.
    pub(crate) fn join(&mut self, other: &Self) {
        self.grow(other.len.saturating_sub(self.len));
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Sets one bit; false when it stands outside.
    pub(crate) fn set(&mut self, at: usize, value: bool) -> bool {
        if at >= self.len {
            return false;
        }
        match self.words.get_mut(at / 64) {
            Some(word) if value => *word |= 1 << (at % 64),
            Some(word) => *word &= !(1 << (at % 64)),
            None => return false,
        }
        true
    }

    /// One bit; false outside.
    pub(crate) fn get(&self, at: usize) -> bool {
        at < self.len
            && self
                .words
                .get(at / 64)
                .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// How many bits are set.
    pub(crate) fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// How many bits there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Some of them as a filter; `negate` keeps the rows whose bit is not set.
    pub(crate) fn filter(&self, from: usize, len: usize, negate: bool) -> BooleanArray {
        (from..from + len)
            .map(|at| Some(self.get(at) != negate))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn bits_stand_where_they_were_set() {
        let mut bits = Bitmap::filled(130, false);
        assert!(bits.set(0, true) && bits.set(64, true) && bits.set(129, true));
        assert!(!bits.set(130, true));
        assert_eq!(bits.count(), 3);
        assert_eq!(Bitmap::filled(70, true).count(), 70);
        let kept: Vec<bool> = bits.filter(63, 3, true).iter().flatten().collect();
        assert_eq!(kept, [true, false, true]);
        let some = Bitmap::at(70, &[3, 69]);
        assert_eq!((some.count(), some.get(69), some.get(4)), (2, true, false));
        let mut grown = Bitmap::filled(0, false);
        grown.grow(3);
        grown.set(2, true);
        grown.grow(100);
        assert_eq!((grown.len(), grown.count(), grown.get(2)), (103, 1, true));
        let mut joined = Bitmap::at(70, &[1, 69]);
        joined.join(&Bitmap::at(200, &[1, 199]));
        assert_eq!(
            (joined.len(), joined.count(), joined.get(199)),
            (200, 3, true)
        );
    }
}
