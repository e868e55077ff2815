//! Any two entries: what one hands out is worth nothing at the other.

use super::entries;
use super::entry::{Entry, Live, Owner, Verdict};
use super::stage::{Stage, added, counts};

/// A live flow and its code.
struct Sent {
    live: Live,
    code: String,
}

async fn sent(stage: &Stage, entry: &Entry, address: &str) -> Sent {
    let live = stage.ask(entry, address).await;
    let code = stage.code_to(address).await;
    Sent { live, code }
}

/// Two codes of six digits are the same once in a million: then it is tried with other ones, and said.
fn once_more(names: &str, same: u32) {
    println!("{names}: two codes are the same; once more");
    assert!(same < 3, "{names}: codes of two flows must differ");
}

/// A live flow of each of two entries for one address.
///
/// Where one of them sends a code only to an address that nobody has, and the other only to one that somebody has, the former is asked
/// first, and the address is somebody's from then on.
async fn both(stage: &Stage, first: &Entry, second: &Entry, address: &str) -> (Sent, Sent) {
    let owned_by = |owner| first.owner == owner || second.owner == owner;
    if owned_by(Owner::Nobody) && owned_by(Owner::Somebody) {
        if first.owner == Owner::Nobody {
            let of_first = sent(stage, first, address).await;
            stage.add(address).await;
            return (of_first, sent(stage, second, address).await);
        }
        let of_second = sent(stage, second, address).await;
        stage.add(address).await;
        return (sent(stage, first, address).await, of_second);
    }
    if owned_by(Owner::Somebody) {
        stage.add(address).await;
    }
    (sent(stage, first, address).await, sent(stage, second, address).await)
}

#[tokio::test]
async fn st_55_st_29_a_code_of_one_entry_never_passes_at_another_nor_in_another_flow_of_the_same() {
    let stage = Stage::dev().await;
    let (mut pairs, mut same) = (0, 0);
    for first in entries() {
        for second in entries() {
            // Whoever asks twice there is in one flow, with one code.
            if first.is_public && first.name == second.name {
                continue;
            }
            pairs += 1;
            let names = format!("{} at {}", first.name, second.name);
            let (address, of_first, of_second) = loop {
                let address = stage.address();
                let (of_first, of_second) = both(&stage, &first, &second, &address).await;
                if of_first.code != of_second.code {
                    break (address, of_first, of_second);
                }
                same += 1;
                once_more(&names, same);
            };

            let before = stage.outcomes(second.dialect).await;
            assert_eq!(stage.bring(&of_second.live, &of_first.code).await, Verdict::Wrong, "{names}");
            let crossed = stage.outcomes(second.dialect).await;
            assert_eq!(added(&before, &crossed), counts(&[("mismatch", 1)]), "{names}");

            // Its own is right. That the address is somebody else's by now is no wrong code, but it passes for nobody.
            let verdict = stage.bring(&of_second.live, &of_second.code).await;
            let outcome = added(&crossed, &stage.outcomes(second.dialect).await);
            if (first.owner, second.owner) == (Owner::Somebody, Owner::Nobody) {
                assert_ne!(verdict, Verdict::Passed, "{names}");
                assert_eq!(outcome, counts(&[("refused", 1)]), "{names}");
            } else {
                assert_eq!(verdict, Verdict::Passed, "{names}");
                assert_eq!(outcome, counts(&[("passed", 1)]), "{names}");
                stage.proved(&of_second.live, &address);
            }
        }
    }
    assert!(pairs >= entries().len() * (entries().len() - 1), "every ordered pair was tried");
    stage.stop("SELECT 0").await;
}

#[tokio::test]
async fn st_55_what_one_entry_calls_its_flow_names_none_at_another() {
    let stage = Stage::dev().await;
    for first in entries() {
        for second in entries() {
            if first.verify == second.verify {
                continue;
            }
            let names = format!("a flow of {} at {}", first.name, second.name);
            let (address, elsewhere) = (stage.address(), stage.address());
            if first.owner == Owner::Somebody {
                stage.add(&address).await;
            }
            if second.owner == Owner::Somebody {
                stage.add(&elsewhere).await;
            }
            let of_first = sent(&stage, &first, &address).await;
            let of_second = stage.ask(&second, &elsewhere).await;
            // With everything that its client has, but the name and the code of the other's flow.
            let request = (of_second.submit)(&of_first.live.name, &of_first.code);
            let verdict = of_second.verdict(&stage.send(&request).await);
            assert_ne!(verdict, Verdict::Passed, "{names}");
            assert_eq!(stage.bring(&of_first.live, &of_first.code).await, Verdict::Passed, "{names}");
            stage.proved(&of_first.live, &address);
        }
    }
    stage.stop("SELECT 0").await;
}

#[tokio::test]
async fn st_28_a_code_of_one_address_never_passes_in_the_flow_of_another() {
    let stage = Stage::dev().await;
    let mut same = 0;
    for entry in entries() {
        let (ada, bob) = loop {
            let (ada, bob) = (stage.address(), stage.address());
            for address in [&ada, &bob] {
                if entry.owner == Owner::Somebody {
                    stage.add(address).await;
                }
            }
            let (ada, bob) = ((sent(&stage, &entry, &ada).await, ada), (sent(&stage, &entry, &bob).await, bob));
            if ada.0.code != bob.0.code {
                break (ada, bob);
            }
            same += 1;
            once_more(entry.name, same);
        };
        assert_eq!(stage.bring(&ada.0.live, &bob.0.code).await, Verdict::Wrong, "{}", entry.name);
        assert_eq!(stage.bring(&bob.0.live, &ada.0.code).await, Verdict::Wrong, "{}", entry.name);
        // Hers passes, and proves no address but hers.
        assert_eq!(stage.bring(&ada.0.live, &ada.0.code).await, Verdict::Passed, "{}", entry.name);
        stage.proved(&ada.0.live, &ada.1);
        assert_eq!(stage.bring(&bob.0.live, &ada.0.code).await, Verdict::Wrong, "{}", entry.name);
    }
    stage.stop("SELECT 0").await;
}

/// Only this surface's requests name a project; every other serves the first one.
#[cfg(feature = "descope")]
#[tokio::test]
async fn st_55_a_code_of_one_project_never_passes_in_another() {
    let Some(stage) = Stage::serve(true).await else { return };
    let address = stage.address();
    let entry = super::descope::ENTRIES[0];
    let of_main = sent(&stage, &entry, &address).await;
    let other = super::descope::in_project("other", &stage, &address).await;
    let codes = stage.codes_to(&address, 2).await;
    let of_other = codes.iter().find(|code| **code != of_main.code).expect("one in a million: run it again");
    assert_eq!(stage.bring(&other, &of_main.code).await, Verdict::Wrong);
    assert_eq!(stage.bring(&of_main.live, of_other).await, Verdict::Wrong);
    assert_eq!(stage.bring(&other, of_other).await, Verdict::Passed);
    stage.proved(&other, &address);
    // Whoever has proved it there has proved nothing here.
    let statement = "SELECT count(*) FROM addresses WHERE project = 'main'";
    assert_eq!(stage.stop(statement).await, Some(0));
}
