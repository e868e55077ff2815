//! What clients measure, and when it counts.

use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::report::count;

/// Says when people sign in and when that counts, and keeps what counted.
#[derive(Debug)]
pub(crate) struct Meter {
    phase: watch::Sender<Phase>,
    measured: Mutex<Measured>,
}

/// What people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resting,
    Running,
    Counting,
    Over,
}

impl Default for Meter {
    /// Nobody signs in yet.
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Resting), measured: Mutex::default() }
    }
}

impl Meter {
    /// From now on people sign in, and nothing counts.
    pub(crate) fn run(&self) {
        self.phase.send_replace(Phase::Running);
    }

    /// From now on it counts.
    pub(crate) fn count(&self) {
        self.phase.send_replace(Phase::Counting);
    }

    /// From now on nothing counts, and nobody begins.
    pub(crate) fn rest(&self) {
        self.phase.send_replace(Phase::Resting);
    }

    /// From now on nobody ever begins.
    pub(crate) fn end(&self) {
        self.phase.send_replace(Phase::Over);
    }

    /// Waits until people sign in; says no when nobody ever does any more.
    pub(crate) async fn is_on(&self) -> bool {
        let mut phase = self.phase.subscribe();
        phase.wait_for(|phase| *phase != Phase::Resting).await.is_ok_and(|phase| *phase != Phase::Over)
    }

    /// Has `what` written down, if what comes to its end now counts.
    pub(crate) fn record(&self, what: impl FnOnce(&mut Measured)) {
        if *self.phase.borrow() == Phase::Counting {
            what(&mut self.measured.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// What counted since this was asked last.
    pub(crate) fn take(&self) -> Measured {
        mem::take(&mut self.measured.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What all clients measured.
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
    /// How many sign-ins there were.
    pub(crate) fn sign_ins(&self) -> f64 {
        count(self.starts.len())
    }

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
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 99), percentile(&sorted, 100)), (100, 198, 200));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 99), percentile(&[], 99)), (7, 7, 0));
    }

    #[test]
    fn only_what_ends_while_it_counts_is_written_down() {
        let meter = Meter::default();
        let record = |error: &str| meter.record(|measured| measured.errors.push(error.to_owned()));
        record("resting");
        meter.run();
        record("running");
        meter.count();
        record("counting");
        meter.rest();
        record("resting again");
        meter.count();
        record("counting again");
        meter.end();
        record("over");
        assert_eq!(meter.take().errors, ["counting", "counting again"]);
        assert!(meter.take().errors.is_empty());
    }

    #[tokio::test]
    async fn nobody_begins_while_it_rests_or_when_it_is_over() {
        let meter = Meter::default();
        assert!(timeout(Duration::ZERO, meter.is_on()).await.is_err());
        let ((), is_on) = tokio::join!(async { meter.run() }, meter.is_on());
        assert!(is_on && meter.is_on().await);
        meter.rest();
        assert!(timeout(Duration::ZERO, meter.is_on()).await.is_err());
        meter.end();
        assert!(!meter.is_on().await);
    }
}
