//! `countersign budget`: the figures of the configuration in force, and its exit code.

use testkit::folder::TempFolder;
use testkit::server::{Ran, run};

use crate::support::{BINARY, NO_RELAY, configuration, folder_with};

async fn budget(folder: &TempFolder, arguments: &[&str]) -> Ran {
    let arguments: Vec<_> = ["budget"].into_iter().chain(arguments.iter().copied()).collect();
    run(BINARY, folder.path(), &arguments, &[("COUNTERSIGN__ORIGIN", "http://127.0.0.1:1")]).await
}

#[tokio::test]
async fn a_stranger_s_chance_is_six_in_a_million_and_held_against_the_bound() {
    let empty = TempFolder::new();
    let ran = budget(&empty, &[]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    for expected in [
        "What countersign dev --production-policy leaves",
        "codes of 6 digits",
        "then of 12 digits",
        "strangers            6.000e-6  (5 short codes 5.000e-6, 1000000 long ones 1.000e-6)",
        "known devices        6.000e-6",
        "8.760  at 1000 attempts an hour",
        "157.680  at 18000 an hour: 3600 messages, 5 guesses at each",
        "is at most 6.000e-6; the bound is 6.000e-6",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let ran = budget(&empty, &["--max", "5.9e-6"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "countersign: a stranger's chance for an address and day is 6.000e-6, above the bound of 5.900e-6\n"
    );
    let ran = budget(&empty, &["--max", "6.1e-6", "--attempts-per-hour", "100"]).await;
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("0.876  at 100 attempts an hour"), "{}", ran.stdout);
}

#[tokio::test]
async fn the_configuration_that_lies_there_is_the_one_in_force() {
    let folder = folder_with(&configuration(NO_RELAY, "project_messages_per_hour = 100"));
    let ran = budget(&folder, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("What countersign.toml leaves"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nproject main\n"), "{}", ran.stdout);
    // Attempts that no message was sent for are not compared.
    assert!(ran.stdout.contains("4.380  at 1000 attempts an hour"), "{}", ran.stdout);
    assert_eq!(budget(&folder, &["--config", "missing.toml"]).await.code, Some(1));
}
