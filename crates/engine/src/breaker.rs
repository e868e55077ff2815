//! The breaker: while a project sees too many wrong guesses over all its addresses, strangers are sent long codes.
//!
//! It never refuses anybody. Somebody who tries one code at each of very many addresses stays below every address's budget; this
//! is what he meets. It is kept in the node: each node opens on what it sees itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::asking::Breaker;
use crate::env::Timestamp;
use crate::project::ProjectId;

/// So many wrong guesses in [`WINDOW`] open it, and it stays open until there are fewer.
pub(crate) const MOST: u32 = 1_000;
/// The window: counted in this and the one before it.
const WINDOW: Duration = Duration::from_mins(30);

#[derive(Debug, Clone, Copy, Default)]
struct Misses {
    window: i64,
    now: u32,
    before: u32,
}

impl Misses {
    fn turn(&mut self, at: Timestamp) {
        let window = at.millis() / i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
        match window - self.window {
            0 => {}
            1 => (self.window, self.before, self.now) = (window, self.now, 0),
            _ => (self.window, self.before, self.now) = (window, 0, 0),
        }
    }

    const fn is_open(self) -> bool {
        self.now.saturating_add(self.before) >= MOST
    }
}

/// The breakers of all projects.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<ProjectId, Misses>>);

impl Breakers {
    /// Whether the breaker of `project` is open.
    pub(crate) fn state(&self, project: &ProjectId, now: Timestamp) -> Breaker {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = all.get_mut(project).is_some_and(|misses| {
            misses.turn(now);
            misses.is_open()
        });
        if is_open { Breaker::Open } else { Breaker::Closed }
    }

    /// Counts a wrong guess. Whether it opened the breaker.
    pub(crate) fn miss(&self, project: &ProjectId, now: Timestamp) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let misses = all.entry(project.clone()).or_default();
        misses.turn(now);
        let was_open = misses.is_open();
        misses.now = misses.now.saturating_add(1);
        !was_open && misses.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_misses_within_an_hour_open_it_and_an_hour_of_quiet_closes_it() {
        let (breakers, project) = (Breakers::default(), ProjectId::new("P1"));
        let at = |minutes: u64| Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_mins(minutes));
        for miss in 1..MOST {
            assert!(!breakers.miss(&project, at(0)), "{miss}");
        }
        assert_eq!(breakers.state(&project, at(20)), Breaker::Closed);
        assert!(breakers.miss(&project, at(20)));
        assert!(!breakers.miss(&project, at(20)), "it is told once");
        assert_eq!(breakers.state(&project, at(20)), Breaker::Open);
        assert_eq!(breakers.state(&ProjectId::new("P2"), at(20)), Breaker::Closed);
        assert_eq!(breakers.state(&project, at(90)), Breaker::Closed);
    }
}
