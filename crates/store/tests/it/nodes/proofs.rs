//! The first proof of an account that somebody else made: it drops what is pending, which others begin anew at that moment.

use std::sync::Arc;
use std::time::Duration;

use engine::{Error, Purpose};

use super::{Nodes, rounds};
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_all_who_prove_an_account_at_once_one_is_the_first_and_nobody_deadlocks() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let ada = Arc::new(address(&format!("ada{round}")));
        nodes.one().engine.register(nodes.one().project(), ada.as_ref().clone()).await.unwrap();
        let mut codes = Vec::new();
        for number in 0..4 {
            let key = format!("{round} {number}");
            nodes.any(number).start(&key, Purpose::SignIn, &ada).await.unwrap();
            codes.push((key, nodes.one().code(&ada).await.unwrap()));
        }
        let codes = Arc::new(codes);
        let firsts = nodes
            .at_once(8, |nodes, number| {
                let (ada, codes) = (Arc::clone(&ada), Arc::clone(&codes));
                async move {
                    let world = nodes.any(number);
                    let (key, code) = &codes[(number * 3 / 2) % 4];
                    let answer = if number % 2 == 0 {
                        world.verify(key, code).await.map(|verified| verified.is_first_proof)
                    } else {
                        world.start(key, Purpose::SignIn, &ada).await.map(|_| false)
                    };
                    match answer {
                        Ok(is_first) => is_first,
                        Err(Error::Refused { .. }) => false,
                        Err(Error::Failed(fault)) => panic!("{}", fault.report()),
                    }
                }
            })
            .await;
        assert!(firsts.into_iter().filter(|is_first| *is_first).count() <= 1);
    }
    // What was counted in a connection is told when that ends.
    nodes.stop().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(nodes.deadlocks(), 0);
}
