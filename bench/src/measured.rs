//! What clients measure, and when it counts.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Says whether what happens now counts: not at first, not in the end.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU8);

const COUNTING: u8 = 1;
const OVER: u8 = 2;

impl Meter {
    /// From now on it counts.
    pub(crate) fn begin(&self) {
        self.0.store(COUNTING, Ordering::Relaxed);
    }

    /// From now on nothing counts, and clients end.
    pub(crate) fn end(&self) {
        self.0.store(OVER, Ordering::Relaxed);
    }

    pub(crate) fn is_counting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COUNTING
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == OVER
    }
}

/// What one client measured, or all together.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// How many sign-ins of `starts` were the first of their address.
    pub(crate) first_time: u64,
    /// How long each start took to be answered, in microseconds.
    pub(crate) starts: Vec<u32>,
    /// How long each mail took from the answer to the start until it was taken.
    pub(crate) mails: Vec<u32>,
    /// How long each verification took to be answered.
    pub(crate) verifications: Vec<u32>,
    /// What went wrong, each as a sentence.
    pub(crate) errors: Vec<String>,
}

impl Measured {
    /// Puts `other` to the rest.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.first_time += other.first_time;
        self.starts.append(&mut other.starts);
        self.mails.append(&mut other.mails);
        self.verifications.append(&mut other.verifications);
        self.errors.append(&mut other.errors);
    }
}

/// Whole microseconds; more than an hour is an hour.
pub(crate) fn microseconds(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

/// The value that `percent` of `sorted` do not exceed.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 99), percentile(&sorted, 100)), (100, 198, 200));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 99), percentile(&[], 99)), (7, 7, 0));
    }

    #[test]
    fn only_what_is_between_beginning_and_end_counts() {
        let meter = Meter::default();
        assert!(!meter.is_counting() && !meter.is_over());
        meter.begin();
        assert!(meter.is_counting() && !meter.is_over());
        meter.end();
        assert!(!meter.is_counting() && meter.is_over());
    }
}
