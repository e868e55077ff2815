//! Budgets: what may be sent to an address.
//!
//! The log of an address's messages is read and written in the transaction that owes the message, and spent alike by
//! addresses somebody owns and addresses nobody does. (What may be guessed is counted per flow: see `challenge.rs`.)

use std::time::Duration;

use crate::env::Timestamp;

/// How many messages an address may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimit {
    /// The least time between two.
    pub apart: Duration,
    /// The most in any hour.
    pub per_hour: usize,
    /// The most in any 24 hours.
    pub per_day: usize,
}

impl Default for SendLimit {
    fn default() -> Self {
        Self { apart: Duration::from_secs(30), per_hour: 5, per_day: 10 }
    }
}

/// When an address was last sent something: at most the messages of the last 24 hours, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendLog(pub Vec<Timestamp>);

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

impl SendLog {
    /// Adds a message at `now`, or says how long to wait until `limit` allows one.
    ///
    /// # Errors
    /// The time to wait, at least a second.
    pub fn spend(mut self, limit: &SendLimit, now: Timestamp) -> Result<Self, Duration> {
        // A time ahead of the clock (it was set back) counts as now: nobody waits longer than the limit itself.
        self.0.iter_mut().for_each(|sent| *sent = (*sent).min(now));
        self.0.retain(|sent| now.since(*sent) < DAY);
        let wait = |most: usize, window: Duration| {
            let oldest_that_counts = self.0.len().checked_sub(most.max(1)).and_then(|index| self.0.get(index))?;
            (now < oldest_that_counts.plus(window)).then(|| oldest_that_counts.plus(window).since(now))
        };
        let waits = [wait(1, limit.apart), wait(limit.per_hour, HOUR), wait(limit.per_day, DAY)];
        if let Some(longest) = waits.into_iter().flatten().max() {
            return Err(longest.max(Duration::from_secs(1)));
        }
        self.0.push(now);
        Ok(self)
    }

    /// The moment from which the log says nothing any more.
    pub fn forgotten_at(&self) -> Timestamp {
        self.0.last().copied().unwrap_or_default().plus(DAY)
    }

    /// The log as the store keeps it: eight bytes a message.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|sent| sent.millis().to_be_bytes()).collect()
    }

    /// Reads what [`SendLog::to_bytes`] wrote; `None` if it did not write this.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (times, rest) = bytes.as_chunks::<8>();
        rest.is_empty()
            .then(|| Self(times.iter().map(|time| Timestamp::from_millis(i64::from_be_bytes(*time))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn messages_keep_thirty_seconds_apart_five_an_hour_and_ten_a_day() {
        let limit = SendLimit::default();
        let mut log = SendLog::default();
        let mut sent = Vec::new();
        for second in 0..86_400 {
            match log.clone().spend(&limit, at(second)) {
                Ok(longer) => {
                    log = longer;
                    sent.push(second);
                }
                Err(wait) => assert!(wait >= Duration::from_secs(1)),
            }
        }
        assert_eq!(sent, [0, 30, 60, 90, 120, 3600, 3630, 3660, 3690, 3720]);
        assert_eq!(log.clone().spend(&limit, at(86_399)).unwrap_err(), Duration::from_secs(1));
        assert!(log.spend(&limit, at(86_400)).is_ok());
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out_for_longer_than_the_limit() {
        let limit = SendLimit::default();
        let log = SendLog::default().spend(&limit, at(1_000_000)).unwrap();
        assert_eq!(log.spend(&limit, at(10)).unwrap_err(), Duration::from_secs(30));
    }

    #[test]
    fn a_log_survives_being_stored() {
        let log = SendLog(vec![at(1), at(2)]);
        assert_eq!(SendLog::from_bytes(&log.to_bytes()), Some(log));
        assert_eq!(SendLog::from_bytes(&[1, 2, 3]), None);
    }
}
