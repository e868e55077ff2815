//! A strategy, played against a server of its own.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test kit, what cannot go on fails the test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Asked, Between, Caller, Entry, Ground, Guessed, Holds, Networks, Outcome, Strategy, Surface};
use crate::server::Server;

/// Whose address it is.
const OWNER: &str = "owner@example.com";

/// Where the owner is, on a device she was signed in on before, and on another one.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// An owner waits so long and not longer.
const PATIENCE: Duration = Duration::from_secs(31);

/// So long after a code was sent, asking for it again sends nothing.
const REPEAT: Duration = Duration::from_secs(2);

/// More digits than a short code has and fewer than a long one: never right, and compared all the same.
const WRONG: &str = "0000000";

/// One request of an attacker.
#[derive(Debug, Clone)]
enum Move {
    Ask,
    AskAgain(String),
    Guess(String),
}

/// Which surface a request goes to, about which address, and what it is.
#[derive(Debug, Clone)]
struct Turn {
    surface: usize,
    victim: u32,
    what: Move,
}

/// The attack, as it goes.
struct Attack {
    server: Server,
    surfaces: Arc<[Box<dyn Surface>]>,
    strategy: Strategy,
    proofs: Vec<String>,
    turns: u32,
    /// The surface at which he begins.
    begins_at: usize,
    outcome: Outcome,
}

/// Plays `strategy` through `surfaces` against the server that `binary` is, and lets the owner sign in afterwards, at the first of
/// them where anybody can.
///
/// # Panics
/// If the server does not come up, or answers what no surface says; or if nobody can sign in at any of them.
pub async fn play(binary: &str, ground: Ground, mut surfaces: Vec<Box<dyn Surface>>, strategy: &Strategy) -> Outcome {
    let flags: &[&str] = match ground {
        Ground::Production => &["--production-policy", "--trusted-proxy", "127.0.0.1"],
        Ground::SendingLifted => &["--trusted-proxy", "127.0.0.1"],
    };
    let server = Server::dev(binary, flags).await;
    let accounts = surfaces.iter().flat_map(|surface| surface.accounts());
    for address in std::iter::once(OWNER.to_owned()).chain(accounts) {
        let added = server.identity(&["add", &address]).await;
        assert_eq!(added.code, Some(0), "{}", added.stderr);
    }
    // The owner's first, the attacker begins where he did.
    let entrance = surfaces.iter().position(|surface| surface.is_entrance()).expect("somebody can sign in somewhere");
    let begins_at = (surfaces.len() - entrance) % surfaces.len();
    surfaces.rotate_left(entrance);
    let outcome = Outcome {
        tried: 0,
        short: 0,
        long: 0,
        guessed: 0,
        messages: 0,
        mails: 0,
        is_capped: false,
        is_broken: false,
        known: Entry::Refused,
        new: Entry::Refused,
    };
    let surfaces = surfaces.into();
    let mut attack = Attack { server, surfaces, strategy: *strategy, proofs: Vec::new(), turns: 0, begins_at, outcome };
    attack.enrol().await;
    let before = attack.mails().await;
    attack.run().await;
    attack.outcome.mails = attack.mails().await.saturating_sub(before);
    attack.count().await;
    // Asking within that of a stranger is told of his mail, and a fast machine is through with him before.
    sleep(REPEAT).await;
    let proof = attack.proofs.first().cloned();
    attack.outcome.known = attack.owner(HOME, proof).await;
    attack.outcome.new = attack.owner(ELSEWHERE, None).await;
    let Attack { server, outcome, .. } = attack;
    server.stop().await;
    outcome
}

impl Attack {
    /// The owner signs in at each surface before anything else, which is then forgotten: so there is a device that knows her.
    async fn enrol(&mut self) {
        for surface in self.surfaces.iter() {
            if !surface.is_entrance() {
                self.proofs.push(String::new());
                continue;
            }
            let mut caller = Caller::new(self.server.address(), HOME);
            let Asked::Sent(flow) = surface.ask(&mut caller, OWNER).await else { panic!("nobody asked before") };
            let code = self.code().await;
            let Guessed::Passed(proof) = surface.guess(&mut caller, OWNER, &flow, &code).await else {
                panic!("the code is right")
            };
            self.proofs.push(proof);
            self.forgive().await;
        }
    }

    async fn forgive(&self) {
        let request = crate::server::Request::new("DELETE", &format!("/dev/budgets?to={OWNER}"));
        let answer = self.server.client().send(&request).await;
        assert_eq!(answer.status, 204, "{}", answer.whole());
    }

    async fn run(&mut self) {
        let waves = self.strategy.waves;
        for wave in 0..waves {
            if wave == waves / 2 {
                self.meanwhile().await;
            }
            let mut open = if self.strategy.flows == 0 { self.asked_by_the_owner().await } else { self.ask().await };
            for _ in 0..self.strategy.resends {
                let again = open.iter().map(|turn| match &turn.what {
                    Move::Guess(flow) => Turn { what: Move::AskAgain(flow.clone()), ..turn.clone() },
                    Move::Ask | Move::AskAgain(_) => turn.clone(),
                });
                open = self.all(again.collect()).await;
            }
            // Guess by guess over all flows, so that no flow ends before another was tried.
            self.all((0..self.strategy.guesses).flat_map(|_| open.iter().cloned()).collect()).await;
        }
    }

    async fn meanwhile(&mut self) {
        match self.strategy.between {
            Between::Nothing => {}
            Between::OwnerSignsIn => {
                let entry = self.owner(HOME, self.proofs.first().cloned()).await;
                assert!(matches!(entry, Entry::In { .. }), "{entry:?}");
            }
            Between::Kill => {
                self.count().await;
                self.server.kill().await;
                self.server.start().await;
            }
        }
    }

    /// Asks for flows, and gives what may be guessed at.
    async fn ask(&mut self) -> Vec<Turn> {
        let (first, surfaces) = (self.begins_at, self.surfaces.len());
        let surface = |flow: u32| (first + usize::try_from(flow).unwrap_or(0)) % surfaces;
        let turn = |victim, flow| Turn { surface: surface(flow), victim, what: Move::Ask };
        // By turns: every victim's first flow, at one surface or another, then every victim's second.
        let turns = (0..self.strategy.flows)
            .flat_map(|flow| (0..self.strategy.victims).map(move |victim| turn(victim, flow + victim)));
        self.all(turns.collect()).await
    }

    /// The owner asks at every surface; whoever can name her flows guesses at them.
    async fn asked_by_the_owner(&self) -> Vec<Turn> {
        let mut turns = Vec::new();
        for (index, surface) in self.surfaces.iter().enumerate() {
            let mut caller = Caller::new(self.server.address(), ELSEWHERE);
            let _ = surface.ask(&mut caller, OWNER).await;
            turns.push(Turn { surface: index, victim: 0, what: Move::Guess(surface.unasked_flow()) });
        }
        turns
    }

    /// Takes `turns`, as many at a time as the strategy says, and gives what may be guessed at after those that asked.
    async fn all(&mut self, turns: Vec<Turn>) -> Vec<Turn> {
        let workers = usize::try_from(self.strategy.at_once).unwrap_or(1).max(1);
        let mut shares = vec![Vec::new(); workers.min(turns.len().max(1))];
        let many = shares.len();
        for (index, turn) in turns.into_iter().enumerate() {
            let (from, number) = (self.from(), self.turns);
            self.turns += 1;
            self.outcome.tried += u64::from(matches!(turn.what, Move::Guess(_)));
            let is_known = self.strategy.holds == Holds::KnownDevice && number.is_multiple_of(2);
            let proof = self.proofs.get(turn.surface).filter(|_| is_known).cloned();
            shares.get_mut(index % many).expect("there is one").push((turn, from, proof));
        }
        let mut working = JoinSet::new();
        for share in shares {
            let (surfaces, address) = (Arc::clone(&self.surfaces), self.server.address());
            working.spawn(async move {
                let mut caller = Caller::new(address, HOME);
                let (mut open, mut guessed) = (Vec::new(), 0);
                for (turn, from, proof) in share {
                    (caller.from, caller.proof) = (from, proof);
                    let surface = surfaces.get(turn.surface).expect("it is one of them");
                    let victim = match turn.victim {
                        0 => OWNER.to_owned(),
                        number => format!("victim-{number}@example.com"),
                    };
                    let asked = match &turn.what {
                        Move::Ask => surface.ask(&mut caller, &victim).await,
                        Move::AskAgain(flow) => surface.ask_again(&mut caller, &victim, flow).await,
                        Move::Guess(flow) => {
                            let answer = surface.guess(&mut caller, &victim, flow, WRONG).await;
                            guessed += u64::from(answer != Guessed::Wrong);
                            continue;
                        }
                    };
                    match (asked, turn.what) {
                        (Asked::Sent(flow), _) | (Asked::TooSoon(_), Move::AskAgain(flow)) => {
                            open.push(Turn { what: Move::Guess(flow), ..turn });
                        }
                        (Asked::TooSoon(_), _) => {}
                    }
                }
                (open, guessed)
            });
        }
        let mut open = Vec::new();
        for (more, guessed) in working.join_all().await {
            open.extend(more);
            self.outcome.guessed += guessed;
        }
        open
    }

    /// Where the next request comes from.
    fn from(&self) -> IpAddr {
        let number = self.turns;
        match self.strategy.networks {
            Networks::One => Ipv4Addr::new(203, 0, 113, 1).into(),
            Networks::Many(many) => Ipv4Addr::from_bits(0x0a00_0000 + number % many).into(),
            Networks::Within64 => Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(number)).into(),
        }
    }

    /// Adds what this process has counted.
    async fn count(&mut self) {
        let metrics = self.server.metrics().await;
        let sum = |name: &str, labels: &[&str]| metrics.sum(name, labels);
        self.outcome.short += sum("countersign_wrong_guesses_total", &[r#"form="short""#]);
        self.outcome.long += sum("countersign_wrong_guesses_total", &[r#"form="long""#]);
        self.outcome.messages += sum("countersign_challenges_total", &[r#"outcome="started""#]);
        self.outcome.is_capped |= sum("countersign_send_caps_reached_total", &[]) > 0;
        self.outcome.is_broken |= sum("countersign_breakers_opened_total", &[]) > 0;
    }

    /// The owner signs in at the first surface.
    async fn owner(&mut self, from: IpAddr, proof: Option<String>) -> Entry {
        let surfaces = Arc::clone(&self.surfaces);
        let surface = surfaces.first().expect("there is a surface");
        let mut caller = Caller::new(self.server.address(), from);
        caller.proof = proof;
        let mut steps = 2;
        let before = self.mails().await;
        let flow = loop {
            match surface.ask(&mut caller, OWNER).await {
                Asked::Sent(flow) if self.mails().await > before => break flow,
                // Somebody asked for the same a moment ago, so that nothing more is sent now.
                Asked::Sent(_) => {
                    steps += 1;
                    sleep(REPEAT).await;
                }
                Asked::TooSoon(wait) if wait > PATIENCE || steps > 2 => return Entry::TooSoon(wait),
                Asked::TooSoon(wait) => {
                    steps += 1;
                    sleep(wait).await;
                }
            }
        };
        let code = self.code().await;
        match surface.guess(&mut caller, OWNER, &flow, &code).await {
            Guessed::Passed(proof) => {
                // What shows that her device is known may be another thing after each sign-in there.
                if let Some(first) = self.proofs.first_mut().filter(|_| caller.proof.is_some()) {
                    *first = proof;
                }
                Entry::In { steps, length: code.len() }
            }
            Guessed::Wrong => Entry::Refused,
        }
    }

    /// How many mails the owner was sent.
    async fn mails(&self) -> u64 {
        u64::try_from(self.inbox().await.len()).unwrap_or(u64::MAX)
    }

    /// The code in the newest of them.
    async fn code(&self) -> String {
        let newest = self.inbox().await.into_iter().next().expect("there is a mail");
        newest.get("code").and_then(serde_json::Value::as_str).expect("its code is live").to_owned()
    }

    async fn inbox(&self) -> Vec<serde_json::Value> {
        let request = crate::server::Request::get(&format!("/dev/messages?to={OWNER}"));
        let answer = Caller::new(self.server.address(), HOME).send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.whole());
        answer.json().as_array().expect("it is a list").clone()
    }
}
