//! Time as sessions count it.

/// A point in time: whole milliseconds of a monotonic clock, since a start of the caller's choice.
///
/// The caller rounds down. Then what is at least n milliseconds later is at least n later here too, and a deadline that is
/// computed by [`after`](Self::after) is never found late. Coarser steps than a millisecond would lose that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// So many milliseconds later.
    #[must_use]
    pub fn after(self, milliseconds: u32) -> Self {
        Self(self.0.saturating_add(u64::from(milliseconds)))
    }

    /// Whether this point has come at `now`.
    pub fn is_reached(self, now: Self) -> bool {
        self <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_at_its_very_moment() {
        let deadline = Moment(100).after(500);
        assert!(!deadline.is_reached(Moment(599)));
        assert!(deadline.is_reached(Moment(600)));
        assert_eq!(Moment(u64::MAX).after(1), Moment(u64::MAX));
    }
}
