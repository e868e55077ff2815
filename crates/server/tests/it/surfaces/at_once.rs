//! The same right code many times at once, and what one costs.

use std::collections::BTreeSet;

use testkit::server::Request;
use tokio::task::JoinSet;

use super::entries;
use super::entry::{Owner, Verdict};
use super::stage::{Stage, added, counts, other_than};

/// How many bring the code at once.
const MANY: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_05_of_16_right_answers_at_once_exactly_one_passes_at_every_entry() {
    let stage = Stage::dev().await;
    for entry in entries() {
        let address = stage.address();
        if entry.owner == Owner::Somebody {
            stage.add(&address).await;
        }
        let live = stage.ask(&entry, &address).await;
        let code = stage.code_to(&address).await;
        let mut clients = Vec::new();
        for _ in 0..MANY {
            // Connected already, so that they come at once.
            let mut client = stage.server.client();
            assert_eq!(client.get("/dev/inbox").await.status, 200);
            clients.push(client);
        }
        let before = stage.outcomes(entry.dialect).await;
        let mut bringing = JoinSet::new();
        for mut client in clients {
            let request = live.bring(&code);
            bringing.spawn(async move { client.send(&request).await });
        }
        let verdicts: Vec<_> = bringing.join_all().await.iter().map(|answer| live.verdict(answer)).collect();
        let passed = verdicts.iter().filter(|verdict| **verdict == Verdict::Passed).count();
        assert_eq!((verdicts.len(), passed), (16, 1), "{}: {verdicts:?}", entry.name);
        let outcomes = added(&before, &stage.outcomes(entry.dialect).await);
        assert_eq!(outcomes.get("passed"), Some(&1), "{}: {outcomes:?}", entry.name);
        // The others were late, or what named the flow had been replaced; nobody's guess was called wrong.
        let names: BTreeSet<_> = outcomes.keys().map(String::as_str).collect();
        assert!(names.is_subset(&BTreeSet::from(["passed", "replayed", "not_found"])), "{}: {outcomes:?}", entry.name);
        stage.proved(&live, &address);
        // Nor does it pass later.
        assert_ne!(stage.bring(&live, &code).await, Verdict::Passed, "{}", entry.name);
    }
    stage.stop("SELECT 0").await;
}

#[tokio::test]
async fn a_code_that_is_brought_back_is_one_operation_of_the_store_at_every_entry() {
    let stage = Stage::dev().await;
    for entry in entries() {
        let address = stage.address();
        if entry.owner == Owner::Somebody {
            stage.add(&address).await;
        }
        let live = stage.ask(&entry, &address).await;
        let code = stage.code_to(&address).await;
        let operations = async |request: Request| {
            let before = stage.operations().await;
            let verdict = live.verdict(&stage.send(&request).await);
            (verdict, added(&before, &stage.operations().await))
        };
        let one = counts(&[("verify", 1)]);
        assert_eq!(operations(live.bring(&other_than(&code))).await, (Verdict::Wrong, one.clone()), "{}", entry.name);
        let mut expected = one;
        expected.extend(entry.besides.iter().map(|operation| ((*operation).to_owned(), 1)));
        assert_eq!(operations(live.bring(&code)).await, (Verdict::Passed, expected), "{}", entry.name);
        stage.proved(&live, &address);
    }
    stage.stop("SELECT 0").await;
}
