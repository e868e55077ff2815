//! What the engine is given by the world: the time, random bytes, ids.
//!
//! Nothing in the engine asks the operating system for any of them. A request reads the clock once, at the edge; tests
//! hand in a clock they move and entropy they seeded, so that every answer is exact to the byte.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `milliseconds` after the epoch.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: what a JWT's `iat` and `exp` want.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment and `later` after it; stays at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment less `earlier`.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(earlier.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds, as in `2026-01-02T03:04:05.678Z`.
    pub fn rfc3339(self) -> String {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400_000));
        let in_day = self.0.rem_euclid(86_400_000);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Gregorian date of a day number counted from 1970-01-01.
///
/// Years are taken to begin in March, so that the leap day is the last of its year; 719,468 days lie between
/// 0000-03-01 and the epoch, and 146,097 days make 400 years.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// Fills bytes nobody can guess.
pub trait Entropy: Send + Sync {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's wall clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
        let now = std::time::SystemTime::now();
        let since_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The cryptographic generator of aws-lc, seeded by the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// If the operating system has no randomness: nothing sensible can be done without.
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "the one place that draws randomness from the system")]
        let filled = aws_lc_rs::rand::fill(bytes);
        assert!(filled.is_ok(), "the operating system's random generator failed");
    }
}

/// Makes 63-bit ids: 41 bits of milliseconds since 2025, 10 of node, 12 of sequence.
///
/// Ids of one generator only ever grow, also when the clock steps back or a millisecond has had its 4,096 ids: it then
/// borrows from the next.
pub struct IdGen {
    node: u64,
    /// The last id's milliseconds and sequence, as one number.
    last: AtomicU64,
}

/// 2025-01-01T00:00:00Z in milliseconds; 41 bits last until 2094.
const ID_EPOCH: i64 = 1_735_689_600_000;

/// When an id was made.
pub(crate) const fn made_at(id: i64) -> Timestamp {
    Timestamp::from_millis((id >> 22) + ID_EPOCH)
}

impl IdGen {
    /// A generator for node `node` (its lowest 10 bits count) that never gives an id below `highest`, the highest
    /// there is in the database.
    pub fn new(node: u16, highest: i64) -> Self {
        let highest = u64::try_from(highest).unwrap_or(0);
        let last = ((highest >> 22) << 12) | (highest & 0xfff);
        Self { node: u64::from(node & 0x3ff), last: AtomicU64::new(last) }
    }

    /// The next id at `now`.
    pub fn next(&self, now: Timestamp) -> i64 {
        let elapsed = u64::try_from(now.millis().saturating_sub(ID_EPOCH)).unwrap_or(0) & ((1 << 41) - 1);
        let next_after = |last: u64| (elapsed << 12).max(last + 1);
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next_after(last)));
        let taken = next_after(last.unwrap_or_else(|last| last));
        let id = ((taken >> 12) << 22) | (self.node << 12) | (taken & 0xfff);
        i64::try_from(id & (i64::MAX as u64)).unwrap_or(i64::MAX)
    }
}

/// Everything the engine takes from the world, in one value.
#[derive(Clone)]
pub struct Env {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Ids.
    pub ids: Arc<IdGen>,
}

impl Env {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Env")
    }
}

impl fmt::Debug for IdGen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("IdGen").field("node", &self.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(0).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(951_782_399_999).rfc3339(), "2000-02-28T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(951_782_400_000).rfc3339(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_795_230_245_007).rfc3339(), "2026-11-21T03:04:05.007Z");
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back_and_when_a_millisecond_is_full() {
        let ids = IdGen::new(7, 0);
        let now = Timestamp::from_millis(ID_EPOCH + 1_000);
        let mut last = ids.next(now);
        for _ in 0..5_000 {
            let id = ids.next(now);
            assert!(id > last);
            last = id;
        }
        assert!(ids.next(Timestamp::from_millis(ID_EPOCH)) > last);
        assert_eq!((last >> 12) & 0x3ff, 7);
    }

    #[test]
    fn a_new_generator_starts_above_the_highest_id_there_is() {
        let first = IdGen::new(1, 0);
        let highest = first.next(Timestamp::from_millis(ID_EPOCH + 99_999));
        let second = IdGen::new(1, highest);
        assert!(second.next(Timestamp::from_millis(ID_EPOCH)) > highest);
    }
}
