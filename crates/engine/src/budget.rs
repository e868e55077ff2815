//! Budgets: what may be sent to an address, and what may be guessed about it.
//!
//! Both are kept per address, in one row, apart for strangers and for devices it was proved on before; read and written in the
//! transaction that owes the message or compares the code, and spent alike by addresses somebody owns and addresses nobody does.
//!
//! A stranger gets five wrong guesses at short codes in 24 hours, over every flow and surface together. Then nothing he types is
//! compared with a short code any more, and whoever asks for a code is sent a long one, which cannot be guessed: so nobody guesses
//! in, and nobody is locked out.

use std::time::Duration;

use crate::cap::Network;
use crate::code::CodeFormat;
use crate::env::Timestamp;
use crate::id::{DeviceId, IdentityId, SessionId};
use crate::identity::Owner;

/// How many messages may be sent: to an address, and because of one network or project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimit {
    /// The least time between two to an address.
    pub apart: Duration,
    /// The most to an address in any hour.
    pub per_hour: usize,
    /// The most to an address in any 24 hours.
    pub per_day: usize,
    /// Of those in an hour, the most that one network may ask for.
    pub per_hour_and_network: usize,
    /// Of those in 24 hours, the most that one network may ask for.
    pub per_day_and_network: usize,
    /// How many strangers of one network may ask for in an hour, to whatever addresses.
    pub network: u32,
    /// How many all strangers may ask for in an hour, on this node.
    pub project: u32,
}

impl Default for SendLimit {
    fn default() -> Self {
        Self {
            apart: Duration::from_secs(30),
            per_hour: 5,
            per_day: 10,
            per_hour_and_network: 3,
            per_day_and_network: 5,
            network: 60,
            project: 3_600,
        }
    }
}

/// A message that was sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// Who asked for it, where that is known.
    pub network: Option<Network>,
}

/// When an address was last sent something: at most the messages of the last 24 hours, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendLog(pub Vec<Sent>);

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

impl SendLog {
    /// Adds a message that `network` asks for at `now`, or says how long to wait until `limit` allows one.
    ///
    /// # Errors
    /// The time to wait, at least a second.
    pub fn spend(mut self, limit: &SendLimit, network: Option<Network>, now: Timestamp) -> Result<Self, Duration> {
        // A time ahead of the clock (it was set back) counts as now: nobody waits longer than the limit itself.
        self.0.iter_mut().for_each(|sent| sent.at = sent.at.min(now));
        self.0.retain(|sent| now.since(sent.at) < DAY);
        let wait = |times: &[Timestamp], most: usize, window: Duration| {
            let oldest_that_counts = times.len().checked_sub(most.max(1)).and_then(|index| times.get(index))?;
            (now < oldest_that_counts.plus(window)).then(|| oldest_that_counts.plus(window).since(now))
        };
        let all: Vec<_> = self.0.iter().map(|sent| sent.at).collect();
        let same = self.0.iter().filter(|sent| network.is_some() && sent.network == network);
        let same: Vec<_> = same.map(|sent| sent.at).collect();
        let waits = [
            wait(&all, 1, limit.apart),
            wait(&all, limit.per_hour, HOUR),
            wait(&all, limit.per_day, DAY),
            wait(&same, limit.per_hour_and_network, HOUR),
            wait(&same, limit.per_day_and_network, DAY),
        ];
        if let Some(longest) = waits.into_iter().flatten().max() {
            return Err(longest.max(Duration::from_secs(1)));
        }
        self.0.push(Sent { at: now, network });
        Ok(self)
    }

    /// The moment from which the log says nothing any more.
    fn forgotten_at(&self) -> Timestamp {
        self.0.last().map_or_else(Timestamp::default, |sent| sent.at.plus(DAY))
    }
}

/// How many wrong guesses at short codes of an address count in 24 hours, for strangers and for known devices each.
pub const SHORT_GUESSES: usize = 5;
/// The same for long codes.
pub const LONG_GUESSES: u32 = 1_000_000;
/// So long after an address was proved on a device the device is known for it.
pub const KNOWN_FOR: Duration = Duration::from_hours(90 * 24);

/// What a request shows to be from a device on which an address was proved before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceProof {
    /// A token, signed by us, of this identity. That it is over does not matter.
    Identity {
        /// Whose.
        identity: IdentityId,
        /// When it was proved.
        proved_at: Timestamp,
    },
    /// A token of this session. That it is over does not matter.
    Session(SessionId),
    /// The present token of this device. Everybody counts who was signed in at it, over or not, as far as [`SIGN_INS_SEEN`] goes.
    Device(DeviceId),
}

/// So many sign-ins at a device are looked at, the newest: whoever signs in more often than anybody needs makes nobody wait.
pub const SIGN_INS_SEEN: u32 = 100;

/// Who was proved on a device, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prover {
    /// Who.
    pub identity: IdentityId,
    /// When.
    pub proved_at: Timestamp,
}

impl DeviceProof {
    /// Who was proved, where the proof says so itself.
    pub const fn prover(self) -> Option<Prover> {
        match self {
            Self::Identity { identity, proved_at } => Some(Prover { identity, proved_at }),
            Self::Session(_) | Self::Device(_) => None,
        }
    }
}

/// Whether a request is from somebody an address knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// From a device on which the address's owner was proved not long ago.
    Known,
    /// From anybody.
    Stranger,
}

impl Standing {
    /// What a request that shows `provers` is for an address of `owner`.
    ///
    /// An address that its owner never proved knows nobody: else whoever claims somebody's address beside his own were no stranger to it.
    pub(crate) fn of(provers: &[Prover], owner: Option<&Owner>, now: Timestamp) -> Self {
        let proved = owner.filter(|owner| owner.address.verified_at.is_some()).map(|owner| owner.identity.id);
        let is_proof = |prover: &Prover| Some(prover.identity) == proved && now < prover.proved_at.plus(KNOWN_FOR);
        if provers.iter().any(is_proof) { Self::Known } else { Self::Stranger }
    }
}

/// Wrong guesses in one hour, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hour {
    number: i64,
    misses: u32,
}

/// The wrong guesses of the last 24 hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuessLog {
    /// When short codes were missed: the last five times, oldest first.
    short: Vec<Timestamp>,
    /// How often long ones were, hour by hour.
    long: Vec<Hour>,
}

const HOUR_MS: i64 = 3_600_000;
/// The present hour and the 24 before it: never less than 24 hours.
const HOURS: i64 = 25;

impl GuessLog {
    /// Whether another guess at a code of `format` may be compared at `now`.
    pub fn has_room(&self, format: CodeFormat, now: Timestamp) -> bool {
        if format.is_long() {
            let first = now.millis() / HOUR_MS - HOURS + 1;
            let misses = self.long.iter().filter(|hour| hour.number >= first).map(|hour| hour.misses);
            return misses.fold(0, u32::saturating_add) < LONG_GUESSES;
        }
        // A miss ahead of the clock (it was set back) counts, too.
        self.short.iter().filter(|missed| now < missed.plus(DAY)).count() < SHORT_GUESSES
    }

    /// Counts a wrong guess at a code of `format`.
    pub(crate) fn miss(&mut self, format: CodeFormat, now: Timestamp) {
        if format.is_long() {
            let number = now.millis() / HOUR_MS;
            self.long.retain(|hour| hour.number > number - HOURS);
            match self.long.iter_mut().find(|hour| hour.number == number) {
                Some(hour) => hour.misses = hour.misses.saturating_add(1),
                None => self.long.push(Hour { number, misses: 1 }),
            }
            return;
        }
        let spare = (self.short.len() + 1).saturating_sub(SHORT_GUESSES);
        self.short.drain(..spare);
        self.short.push(now);
    }

    /// The moment from which it says nothing any more.
    fn forgotten_at(&self) -> Timestamp {
        let short = self.short.last().map(|missed| missed.plus(DAY));
        let long = self.long.last().map(|hour| Timestamp::from_millis((hour.number + HOURS) * HOUR_MS));
        short.max(long).unwrap_or_default()
    }
}

/// What one kind of requests has spent of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    /// Messages.
    pub sends: SendLog,
    /// Wrong guesses.
    pub guesses: GuessLog,
}

impl Spent {
    /// It as the store keeps it: two counts, eight bytes a time, after those of messages eight for a network (all zero where it is
    /// not known), twelve an hour.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let mut bytes = vec![count(self.sends.0.len()), count(self.guesses.short.len())];
        for sent in &self.sends.0 {
            bytes.extend_from_slice(&sent.at.millis().to_be_bytes());
            bytes.extend_from_slice(&sent.network.map(Network::to_bytes).unwrap_or_default());
        }
        for missed in &self.guesses.short {
            bytes.extend_from_slice(&missed.millis().to_be_bytes());
        }
        for hour in &self.guesses.long {
            bytes.extend_from_slice(&hour.number.to_be_bytes());
            bytes.extend_from_slice(&hour.misses.to_be_bytes());
        }
        bytes
    }

    /// Reads what [`Spent::to_bytes`] wrote; `None` if it did not write this.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([sends, short], rest) = bytes.split_first_chunk::<2>()?;
        let (sends, short) = (usize::from(*sends), usize::from(*short));
        let (sends, rest) = rest.split_at_checked(sends * 16)?;
        let (times, hours) = rest.split_at_checked(short * 8)?;
        let time = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
        let sent = |bytes: &[u8; 16]| {
            let (at, network) = bytes.split_first_chunk::<8>()?;
            let network: [u8; 8] = network.try_into().ok()?;
            Some(Sent { at: time(at), network: (network != [0; 8]).then(|| Network::from_bytes(network)) })
        };
        let sends = SendLog(sends.as_chunks::<16>().0.iter().map(sent).collect::<Option<_>>()?);
        let times = times.as_chunks::<8>().0.iter().map(time);
        let (hours, left) = hours.as_chunks::<12>();
        let hour = |bytes: &[u8; 12]| {
            let (number, misses) = bytes.split_first_chunk::<8>()?;
            Some(Hour { number: i64::from_be_bytes(*number), misses: u32::from_be_bytes(misses.try_into().ok()?) })
        };
        let long = hours.iter().map(hour).collect::<Option<_>>()?;
        left.is_empty().then_some(Self { sends, guesses: GuessLog { short: times.collect(), long } })
    }
}

/// What has been spent of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// By anybody.
    pub stranger: Spent,
    /// By devices on which its owner was proved.
    pub known: Spent,
}

impl Budget {
    /// What requests of `standing` have spent.
    pub(crate) const fn spent(&self, standing: Standing) -> &Spent {
        match standing {
            Standing::Known => &self.known,
            Standing::Stranger => &self.stranger,
        }
    }

    /// The same, to spend more.
    pub(crate) const fn spent_mut(&mut self, standing: Standing) -> &mut Spent {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Stranger => &mut self.stranger,
        }
    }

    /// The moment from which it says nothing any more.
    pub fn forgotten_at(&self) -> Timestamp {
        let spent = [&self.stranger, &self.known];
        let times = spent.map(|spent| spent.sends.forgotten_at().max(spent.guesses.forgotten_at()));
        times.into_iter().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
    }

    /// The seconds of a day in which messages go out when `network_of` each asks for one, and the log then.
    fn sent(network_of: impl Fn(u64) -> Option<Network>) -> (Vec<u64>, SendLog) {
        let limit = SendLimit::default();
        let mut log = SendLog::default();
        let mut sent = Vec::new();
        for second in 0..86_400 {
            match log.clone().spend(&limit, network_of(second), at(second)) {
                Ok(longer) => {
                    log = longer;
                    sent.push(second);
                }
                Err(wait) => assert!(wait >= Duration::from_secs(1)),
            }
        }
        (sent, log)
    }

    const HOME: Option<Network> = Some(Network::from_bytes([1; 8]));

    #[test]
    fn messages_keep_thirty_seconds_apart_five_an_hour_and_ten_a_day() {
        let limit = SendLimit::default();
        for networks in [|_| None, |second: u64| Some(Network::from_bytes(second.to_be_bytes()))] {
            let (sent, log) = sent(networks);
            assert_eq!(sent, [0, 30, 60, 90, 120, 3600, 3630, 3660, 3690, 3720]);
            assert_eq!(log.clone().spend(&limit, HOME, at(86_399)).unwrap_err(), Duration::from_secs(1));
            assert!(log.spend(&limit, HOME, at(86_400)).is_ok());
        }
    }

    #[test]
    fn of_those_one_network_has_three_an_hour_and_five_a_day() {
        let limit = SendLimit::default();
        let (sent, log) = sent(|_| HOME);
        assert_eq!(sent, [0, 30, 60, 3600, 3630]);
        assert_eq!(log.clone().spend(&limit, HOME, at(3_660)).unwrap_err(), at(86_400).since(at(3_660)));
        let other = Some(Network::from_bytes([2; 8]));
        assert!(log.spend(&limit, other, at(3_660)).is_ok(), "which is no matter of another one's");
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out_for_longer_than_the_limit() {
        let limit = SendLimit::default();
        let log = SendLog::default().spend(&limit, HOME, at(1_000_000)).unwrap();
        assert_eq!(log.spend(&limit, HOME, at(10)).unwrap_err(), Duration::from_secs(30));
    }

    #[test]
    fn what_was_spent_survives_being_stored() {
        let mut spent = Spent {
            sends: SendLog(vec![Sent { at: at(1), network: HOME }, Sent { at: at(2), network: None }]),
            guesses: GuessLog::default(),
        };
        for second in 0..9 {
            spent.guesses.miss(CodeFormat::SIX_DIGITS, at(second));
            spent.guesses.miss(CodeFormat::SIX_DIGITS.long(), at(second * 3_000));
        }
        assert_eq!(spent.guesses.short.len(), SHORT_GUESSES);
        assert_eq!(Spent::from_bytes(&spent.to_bytes()), Some(spent.clone()));
        assert_eq!(Spent::from_bytes(&[1, 2, 3]), None);
        let mut longer = spent.to_bytes();
        longer.push(0);
        assert_eq!(Spent::from_bytes(&longer), None);
    }

    #[test]
    fn five_misses_in_any_24_hours_end_the_guessing_of_short_codes_and_of_nothing_else() {
        let mut log = GuessLog::default();
        let format = CodeFormat::SIX_DIGITS;
        for hour in 0..5 {
            assert!(log.has_room(format, at(hour * 3_600)));
            log.miss(format, at(hour * 3_600));
        }
        assert!(!log.has_room(format, at(4 * 3_600)));
        assert!(!log.has_room(format, at(86_399)));
        assert!(log.has_room(format, at(86_400)), "the first is a day old");
        assert!(log.has_room(format.long(), at(4 * 3_600)));
        log.miss(format, at(86_400));
        assert!(!log.has_room(format, at(86_401)));
        // The clock was set back: what was counted stays counted.
        assert!(!log.has_room(format, at(0)));
    }

    #[test]
    fn a_million_misses_in_any_24_hours_end_the_guessing_of_long_codes() {
        let format = CodeFormat::SIX_DIGITS.long();
        let mut log = GuessLog {
            short: Vec::new(),
            long: vec![Hour { number: at(0).millis() / HOUR_MS, misses: LONG_GUESSES - 1 }],
        };
        assert!(log.has_room(format, at(0)));
        log.miss(format, at(0));
        assert!(!log.has_room(format, at(0)));
        assert!(!log.has_room(format, at(86_400 + 3_599)), "never less than 24 hours");
        assert!(log.has_room(format, at(86_400 + 3_600)));
        assert!(log.has_room(CodeFormat::SIX_DIGITS, at(0)));
    }
}
