//! Processes that are killed. The child is this test program itself, asked for one ignored test.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const DATABASE: &str = "COUNTERSIGN_STORE_DATABASE";

/// Completes `launcher`, which may limit what follows, to a command that runs the ignored `test` on `database`.
pub(super) fn child(mut launcher: Command, test: &str, database: &Path) -> Command {
    launcher
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("sqlite::tests::{test}"), "--ignored", "--nocapture", "--test-threads=1"])
        .env(DATABASE, database);
    launcher
}

/// Which database this child was started for.
pub(super) fn child_database() -> PathBuf {
    std::env::var_os(DATABASE).expect("started by another test, with a database").into()
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    let folder = Folder::new();
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut killed = child(Command::new("env"), "crash::child_writes_until_killed", &folder.database())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(killed.stdout.take().unwrap());
        let enough = acknowledged.len() + 200;
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 {
            // The kill may cut the last line short.
            if let Some(name) = line.strip_prefix("kept ").and_then(|name| name.strip_suffix('\n')) {
                acknowledged.push(name.to_owned());
            }
            if acknowledged.len() == enough {
                killed.kill().unwrap();
            }
            line.clear();
        }
        assert!(!killed.wait().unwrap().success());
        assert!(acknowledged.len() >= enough, "round {round}: the child ended by itself");

        let store = open_trial(&folder.database());
        let there: std::collections::HashSet<String> = names(&store).await.into_iter().collect();
        let lost: Vec<_> = acknowledged.iter().filter(|name| !there.contains(*name)).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        assert_sound(&store).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child of a_killed_process_loses_nothing_it_acknowledged"]
async fn child_writes_until_killed() {
    let store = open_trial(&child_database());
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            for number in 0.. {
                let name = format!("{} {caller} {number}", std::process::id());
                store.writer.run("note", note(name.clone(), 200)).await.unwrap();
                println!("kept {name}");
            }
        });
    }
    callers.join_all().await;
}
