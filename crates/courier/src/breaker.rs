//! A small breaker: a relay that failed rests for a growing while, then one mail tries whether it is back.

use std::time::Duration;

use tokio::time::Instant;

/// The first rest.
const FIRST_REST: Duration = Duration::from_secs(1);

/// The longest: short against a code's ten minutes.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Whether a relay may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Without limit.
    Works,
    /// By one mail, to see.
    MayBeTried,
    /// Not now.
    Rests,
}

/// Counts a relay's failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// Since when and until when it rests, while there are failures.
    rest: Option<(Instant, Instant)>,
    trial: bool,
}

impl Breaker {
    /// Whether the relay may be used at `now`.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.rest {
            None => Standing::Works,
            Some((_, until)) if now < until || self.trial => Standing::Rests,
            Some(_) => Standing::MayBeTried,
        }
    }

    /// A mail begins at `now`. False if it must not.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        match self.standing(now) {
            Standing::Works => true,
            Standing::MayBeTried => {
                self.trial = true;
                true
            }
            Standing::Rests => false,
        }
    }

    /// A mail that began was not finished: nothing is known.
    pub(crate) fn abandon(&mut self) {
        self.trial = false;
    }

    /// The relay did its work.
    pub(crate) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// A mail that had begun at `began` found the relay out of order at `now`.
    ///
    /// Mails that were under way together when it failed count as one failure.
    pub(crate) fn fail(&mut self, began: Instant, now: Instant) {
        self.trial = false;
        if self.rest.is_some_and(|(since, _)| began < since) {
            return;
        }
        let rest = FIRST_REST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        self.rest = Some((now, now + rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rests_grow_until_one_mail_gets_through() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        for rest in [1, 2, 4, 8, 16, 30, 30] {
            assert!(breaker.begin(now), "before the rest of {rest} s");
            breaker.fail(now, now);
            assert_eq!(breaker.standing(now + Duration::from_secs(rest) - Duration::from_millis(1)), Standing::Rests);
            now += Duration::from_secs(rest);
            assert_eq!(breaker.standing(now), Standing::MayBeTried);
        }
        assert!(breaker.begin(now));
        assert!(!breaker.begin(now), "one mail tries, the others wait");
        breaker.succeed();
        assert_eq!(breaker.standing(now), Standing::Works);
    }

    #[tokio::test]
    async fn mails_that_fail_together_are_one_failure() {
        let mut breaker = Breaker::default();
        let began = Instant::now();
        let failed = began + Duration::from_millis(5);
        for _ in 0..8 {
            breaker.fail(began, failed);
        }
        assert_eq!(breaker.standing(failed + FIRST_REST), Standing::MayBeTried);
    }

    #[tokio::test]
    async fn a_trial_that_is_given_up_makes_room_for_another() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        breaker.fail(now, now);
        let later = now + FIRST_REST;
        assert!(breaker.begin(later));
        breaker.abandon();
        assert!(breaker.begin(later));
    }
}
