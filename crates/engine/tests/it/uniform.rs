//! ST-35: asking costs and writes the same whoever owns the address: the same writes in the same order, each as long as the other.
//!
//! How long an answer takes shows in no test of rules; what is done for it does. The touch of an address, which leaves no row where nobody
//! owns it, is seen only here.

use engine::{
    Decision, Naming, Operation as _, Owner, Purpose, REPEAT, Resend, ResendMode, SendLimit, Start, StartOutcome,
    StartSeen, Strangers, Write,
};

use crate::support::*;

/// What a write is, and how long each part of it is that has not always the same length.
fn shape(write: &Write) -> (&'static str, Vec<usize>) {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match write {
        Write::PutBudget { project, address, budget } => {
            let spent = [&budget.stranger, &budget.known].map(|spent| spent.to_bytes().len());
            ("budget", vec![project.as_str().len(), address.as_str().len(), spent[0], spent[1]])
        }
        Write::CancelMessage { .. } => ("cancel", Vec::new()),
        Write::AskAddress { .. } => ("touch", Vec::new()),
        Write::OweMessage(message) => {
            let link = message.link.as_ref().map_or(0, Vec::len);
            ("message", vec![message.recipient.as_str().len(), link, text(&message.last_error)])
        }
        Write::PutFlow(flow) => {
            let challenge = challenge(flow);
            let digest = usize::from(challenge.code_digest.is_some());
            let format = challenge.format.name().len();
            ("flow", vec![text(&flow.attributes), text(&flow.memo), challenge.address.as_str().len(), digest, format])
        }
        other => panic!("{other:?} is of no start"),
    }
}

fn shapes(decision: &Decision<StartOutcome>) -> Vec<(&'static str, Vec<usize>)> {
    decision.writes.iter().map(shape).collect()
}

/// One way of asking.
#[derive(Debug, Clone, Copy)]
struct Way {
    purpose: Purpose,
    strangers: Strangers,
    naming: Naming,
    mode: ResendMode,
}

fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for purpose in PURPOSES.into_iter().chain([Purpose::ChangeAddress]) {
        for strangers in [Strangers::Silent, Strangers::Told] {
            for naming in [Naming::Public, Naming::Secret] {
                ways.extend([ResendMode::SameCode, ResendMode::NewCode].map(|mode| Way {
                    purpose,
                    strangers,
                    naming,
                    mode,
                }));
            }
        }
    }
    ways
}

impl Way {
    fn start(self) -> Start {
        let mut operation = start(NOON, "flow", self.purpose, &address("ada"));
        operation.naming = self.naming;
        operation.asking.mode = self.mode;
        operation.asking.strangers = self.strangers;
        operation.asking.send_limit = Some(SendLimit { apart: REPEAT, ..SendLimit::default() });
        operation.asking.link = Some(vec![7; 99]);
        (operation.attributes, operation.memo) = (Some(r#"{"name":"Ada"}"#.to_owned()), Some("a note".to_owned()));
        // Somebody else's: also for him who owns the address, where it is his.
        operation.identity = matches!(self.purpose, Purpose::ChangeAddress).then(|| engine::IdentityId::new(1_000));
        operation
    }

    fn again(self) -> Resend {
        let mut operation = resend(NOON.plus(REPEAT), "flow", self.mode);
        operation.asking.strangers = self.strangers;
        operation.asking.send_limit = Some(SendLimit { apart: REPEAT, ..SendLimit::default() });
        operation.asking.link = Some(vec![7; 99]);
        operation
    }

    /// What a start writes for an address of `owner`, what another one in its place, and what asking again.
    fn written(self, owner: Option<&Owner>) -> [Vec<(&'static str, Vec<usize>)>; 3] {
        let seen = |flow: Option<&engine::Flow>, budget: &engine::Budget| StartSeen {
            flow: flow.cloned(),
            owner: owner.cloned(),
            budget: budget.clone(),
            ..StartSeen::default()
        };
        let first = self.start().decide(seen(None, &engine::Budget::default()));
        let budget = first.writes.iter().find_map(|write| match write {
            Write::PutBudget { budget, .. } => Some(budget.clone()),
            _ => None,
        });
        let (budget, firsts) = (budget.unwrap_or_default(), shapes(&first));
        let flow = started(first.outcome);
        let mut later = self.start();
        later.asking.now = NOON.plus(REPEAT);
        let second = shapes(&later.decide(seen(Some(&flow), &budget)));
        [firsts, second, shapes(&self.again().decide(seen(Some(&flow), &budget)))]
    }
}

#[test]
fn st_35_a_start_writes_the_same_whoever_owns_the_address() {
    let ada = address("ada");
    for way in ways() {
        let unknown = way.written(None);
        let (names, _): (Vec<_>, Vec<_>) = unknown[0].iter().cloned().unzip();
        let touched = if way.purpose == Purpose::VerifyAddress { vec!["touch"] } else { Vec::new() };
        assert_eq!(names, [vec!["budget"], touched, vec!["message", "flow"]].concat(), "{way:?}");
        for owner in [owner_of(&ada, None), owner_of(&ada, Some(NOON))] {
            assert_eq!(
                way.written(Some(&owner)),
                unknown,
                "{way:?}, owned, verified at {:?}",
                owner.address.verified_at
            );
        }
    }
}

#[test]
fn st_35_a_wrong_code_is_counted_the_same_whoever_owns_the_address() {
    for purpose in PURPOSES {
        let names =
            [None, Some(owner_of(&address("ada"), None)), Some(owner_of(&address("ada"), Some(NOON)))].map(|owner| {
                let flow = asked("flow", purpose, &address("ada"), owner.as_ref());
                let decision = verify(NOON, "flow", "wrong!").decide(only(seen(&flow, owner.as_ref())));
                names(&decision.writes)
            });
        assert_eq!(names[0], ["CountMiss", "PutBudget"], "{purpose:?}");
        assert!(names[1] == names[0] && names[2] == names[0], "{purpose:?}");
    }
}
