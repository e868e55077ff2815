//! Caps: how many messages strangers may cause from one network and in one project, whoever they are for.
//!
//! Token buckets, kept in the node: one hot row for all requests of a project would cost the database most of what it can do. A full
//! bucket holds what may be sent in an hour and refills evenly over an hour. Devices that an address knows are not refused: a
//! stranger must not be able to spend what its owner needs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::budget::SendLimit;
use crate::env::Timestamp;
use crate::project::ProjectId;
use crate::secret::Digest;

/// The network a request comes from: an IPv4 address or an IPv6 /64, as a tag that only this installation can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network([u8; 8]);

impl Network {
    /// The network of `address`. An IPv4 address is the same in IPv6 clothes.
    pub(crate) fn of(address: IpAddr, key: &hmac::Key) -> Self {
        let digest = match address.to_canonical() {
            IpAddr::V4(address) => Digest::keyed(key, &[b"network\0", &address.octets()]),
            IpAddr::V6(address) => {
                let octets = address.octets();
                Digest::keyed(key, &[b"network\0", octets.get(..8).unwrap_or_default()])
            }
        };
        Self(digest.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// As the store keeps it.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// Reads what [`Network::to_bytes`] wrote.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

/// What a bucket is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Project(ProjectId),
    Network(ProjectId, Network),
}

/// A bucket, as the moment from which it is full again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: i64,
    /// Whether somebody was told that it is empty, and it has not half refilled since.
    is_told: bool,
}

const HOUR: i64 = 3_600_000_000;

/// A time in microseconds, so that also the largest caps refill evenly.
const fn micros(at: Timestamp) -> i64 {
    at.millis().saturating_mul(1000)
}

/// How long one message takes to refill, where `nodes` of them share what may be sent.
fn refill(per_hour: u32, nodes: u32) -> i64 {
    let each = HOUR / i64::from(per_hour.max(1));
    // However many they are: an empty bucket of one message is full after an hour.
    each.saturating_mul(i64::from(nodes.max(1))).min(HOUR)
}

impl Bucket {
    /// What it is at `now`. A time ahead of the clock (it was set back) counts as far as an empty bucket's.
    fn at(bucket: Option<&Self>, now: i64) -> Self {
        let full_at = bucket.map_or(now, |bucket| bucket.full_at.clamp(now, now.saturating_add(HOUR)));
        let is_told = bucket.is_some_and(|bucket| bucket.is_told) && full_at > now.saturating_add(HOUR / 2);
        Self { full_at, is_told }
    }

    /// How long until there is one more.
    const fn wait(self, refill: i64, now: i64) -> Option<i64> {
        let wait = self.full_at.saturating_add(refill).saturating_sub(HOUR).saturating_sub(now);
        if wait > 0 { Some(wait) } else { None }
    }
}

#[derive(Debug, Default)]
struct All {
    buckets: HashMap<Whose, Bucket>,
    /// How many buckets there may be before those are forgotten that are full.
    tidy_at: usize,
    /// How many nodes share them; none said is one.
    nodes: u32,
}

/// Whether strangers may be sent another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They may; it is counted.
    One,
    /// Not before this time is over. Nothing is counted.
    TooSoon {
        /// At least a second.
        wait: Duration,
        /// Whether the project's cap is reached now and was not before.
        is_news: bool,
    },
}

/// The caps of all projects.
#[derive(Debug, Default)]
pub(crate) struct Caps(Mutex<All>);

impl Caps {
    /// There are so many nodes now.
    pub(crate) fn share(&self, nodes: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).nodes = nodes;
    }

    /// Counts a message from `network` in `project`, or says how long to wait until there may be one.
    pub(crate) fn take(
        &self,
        limit: &SendLimit,
        project: &ProjectId,
        network: Option<Network>,
        now: Timestamp,
    ) -> Taken {
        let now = micros(now);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::with_capacity(2);
        for (whose, refill) in buckets(limit, project, network, all.nodes) {
            let bucket = Bucket::at(all.buckets.get(&whose), now);
            found.push((whose, refill, bucket));
        }
        let waits = found.iter().filter_map(|(_, refill, bucket)| bucket.wait(*refill, now));
        let longest = waits.max();
        let mut is_news = false;
        for (whose, refill, mut bucket) in found {
            if longest.is_none() {
                bucket.full_at = bucket.full_at.saturating_add(refill);
            } else if bucket.wait(refill, now).is_some() && !bucket.is_told {
                bucket.is_told = true;
                is_news |= matches!(whose, Whose::Project(_));
            }
            all.buckets.insert(whose, bucket);
        }
        all.tidy(now);
        match longest.and_then(|micros| u64::try_from(micros).ok()) {
            None => Taken::One,
            Some(wait) => Taken::TooSoon { wait: Duration::from_micros(wait).max(Duration::from_secs(1)), is_news },
        }
    }

    /// Gives back what was taken for a message that did not come to be.
    pub(crate) fn give_back(&self, limit: &SendLimit, project: &ProjectId, network: Option<Network>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (whose, refill) in buckets(limit, project, network, all.nodes) {
            if let Some(bucket) = all.buckets.get_mut(&whose) {
                bucket.full_at = bucket.full_at.saturating_sub(refill);
            }
        }
    }
}

/// The buckets that a message counts in, and how long it takes to refill in each.
fn buckets(
    limit: &SendLimit,
    project: &ProjectId,
    network: Option<Network>,
    nodes: u32,
) -> impl Iterator<Item = (Whose, i64)> + use<> {
    let of_network = network.map(|network| Whose::Network(project.clone(), network));
    let of_network = of_network.map(|whose| (whose, refill(limit.network, nodes)));
    std::iter::once((Whose::Project(project.clone()), refill(limit.project, nodes))).chain(of_network)
}

impl All {
    /// Forgets buckets that are full, now and then.
    fn tidy(&mut self, now: i64) {
        if self.buckets.len() > self.tidy_at.max(1_000) {
            self.buckets.retain(|_, bucket| bucket.full_at > now);
            self.tidy_at = self.buckets.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[7; 32])
    }

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap(), &key())
    }

    fn limit(network: u32, project: u32) -> SendLimit {
        SendLimit { network, project, ..SendLimit::default() }
    }

    const TOO_SOON: fn(Taken) -> Option<Duration> = |taken| match taken {
        Taken::One => None,
        Taken::TooSoon { wait, .. } => Some(wait),
    };

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_64_in_whatever_clothes() {
        assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(
            Network::of([192, 0, 2, 7].into(), &hmac::Key::new(hmac::HMAC_SHA256, &[8; 32])),
            network("192.0.2.7")
        );
    }

    #[test]
    fn a_network_has_sixty_at_once_and_one_a_minute_then() {
        let (caps, project, limit) = (Caps::default(), ProjectId::new("P1"), SendLimit::default());
        let take = |second| caps.take(&limit, &project, Some(network("192.0.2.7")), at(second));
        for _ in 0..60 {
            assert_eq!(take(0), Taken::One);
        }
        assert_eq!(TOO_SOON(take(0)), Some(Duration::from_mins(1)));
        assert_eq!(TOO_SOON(take(45)), Some(Duration::from_secs(15)));
        assert_eq!(take(60), Taken::One);
        assert!(TOO_SOON(take(60)).is_some());
        // Another network, and the same one in another project, have their own.
        assert_eq!(caps.take(&limit, &project, Some(network("192.0.2.8")), at(0)), Taken::One);
        assert_eq!(caps.take(&limit, &ProjectId::new("P2"), Some(network("192.0.2.7")), at(0)), Taken::One);
        // An hour of quiet, and it is full again, and no fuller.
        let sent = (0..100).filter(|_| take(60 + 3_600) == Taken::One).count();
        assert_eq!(sent, 60);
    }

    #[test]
    fn the_project_s_cap_holds_over_all_networks_and_is_told_once() {
        let (caps, project, limit) = (Caps::default(), ProjectId::new("P1"), limit(60, 100));
        let mut news = 0;
        let mut sent = 0;
        for number in 0..250_u32 {
            let from = Network::of(IpAddr::from(number.to_be_bytes()), &key());
            match caps.take(&limit, &project, Some(from), at(0)) {
                Taken::One => sent += 1,
                Taken::TooSoon { is_news, .. } => news += u32::from(is_news),
            }
        }
        assert_eq!((sent, news), (100, 1));
        // What a refused request would have taken of its network is not taken.
        let one = Some(Network::of([0, 0, 0, 249].into(), &key()));
        let sent = (0..100).filter(|_| caps.take(&limit, &project, one, at(3_600)) == Taken::One).count();
        assert_eq!(sent, 60);
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let (caps, project, limit) = (Caps::default(), ProjectId::new("P1"), limit(2, 100));
        let from = Some(network("192.0.2.7"));
        for _ in 0..1_000 {
            assert_eq!(caps.take(&limit, &project, from, at(0)), Taken::One);
            caps.give_back(&limit, &project, from);
        }
        assert_eq!(caps.take(&limit, &project, from, at(0)), Taken::One);
        assert_eq!(caps.take(&limit, &project, from, at(0)), Taken::One);
        assert_eq!(TOO_SOON(caps.take(&limit, &project, from, at(0))), Some(Duration::from_mins(30)));
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out_for_longer_than_an_empty_bucket_does() {
        let (caps, project, limit) = (Caps::default(), ProjectId::new("P1"), limit(60, 100));
        let from = Some(network("192.0.2.7"));
        assert_eq!(caps.take(&limit, &project, from, at(1_000_000)), Taken::One);
        assert_eq!(TOO_SOON(caps.take(&limit, &project, from, at(0))), Some(Duration::from_mins(1)));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (caps, project, limit) = (Caps::default(), ProjectId::new("P1"), limit(60, 1_000_000));
        for number in 0..10_000_u32 {
            let from = Network::of(IpAddr::from(number.to_be_bytes()), &key());
            assert_eq!(caps.take(&limit, &project, Some(from), at(u64::from(number))), Taken::One);
        }
        assert!(caps.0.lock().unwrap().buckets.len() < 3_000);
    }

    #[test]
    fn nodes_share_what_may_be_sent() {
        let (caps, project, limit) = (Caps::default(), ProjectId::new("P1"), limit(60, 10));
        let sent = |second| (0..100).filter(|_| caps.take(&limit, &project, None, at(second)) == Taken::One).count();
        assert_eq!(sent(0), 10);
        caps.share(5);
        assert_eq!(sent(3_600), 2);
        assert_eq!(sent(3_600 + 1_799), 0);
        assert_eq!(sent(3_600 + 1_800), 1);
        // More nodes than messages: each may send one.
        caps.share(1_000);
        assert_eq!(sent(3_600 * 3), 1);
        caps.share(1);
        assert_eq!(sent(3_600 * 5), 10);
    }
}
