//! `countersign identity add`, beside a running server and without one.

use testkit::server::{Server, run};

use crate::support::{BINARY, NO_RELAY, configuration, folder_with, is_left_out};

#[tokio::test]
async fn an_identity_is_added_once_whether_the_server_runs_or_not() {
    let mut server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;

    let added = server.run(&["identity", "add", "Ada@Example.com"]).await;
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let number = added.stdout.trim_end().strip_prefix("ada@example.com added: ").unwrap().to_owned();
    assert!(number.parse::<i64>().unwrap() > 0);
    let again = server.run(&["identity", "add", "ada@example.com"]).await;
    assert_eq!((again.code, again.stdout), (Some(0), format!("ada@example.com already there: {number}\n")));

    server.terminate();
    assert_eq!(server.ended().await, Some(0));
    let again = server.run(&["identity", "add", "ada@example.com"]).await;
    assert_eq!((again.code, again.stdout), (Some(0), format!("ada@example.com already there: {number}\n")));
    let other = server.run(&["identity", "add", "bob@example.com", "--project", "main"]).await;
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    assert!(other.stdout.starts_with("bob@example.com added: "), "{}", other.stdout);

    server.start().await;
    let again = server.run(&["identity", "add", "bob@example.com"]).await;
    assert_eq!(again.stdout, other.stdout.replace("added", "already there"));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_address_and_what_is_no_project_is_refused_in_one_sentence() {
    let server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    for (arguments, sentence) in [
        (&["identity", "add", "ada"][..], "that is no e-mail address"),
        (&["identity", "add", "ada@example.com,eve@example.com"], "that is no e-mail address"),
        (&["identity", "add", "ada@example.com\r\nBcc: eve@example.com"], "that is no e-mail address"),
        (
            &["identity", "add", "ada@example.com", "--project", "other"],
            "there is no project other in the configuration",
        ),
        (&["identity", "add", "ada@example.com", "--config", "absent.toml"], "cannot read absent.toml"),
    ] {
        let ran = server.run(arguments).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(ran.stdout, "");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("countersign: ") && ran.stderr.contains(sentence), "{}", ran.stderr);
    }
    assert_eq!(server.metrics().await.sum("countersign_store_seconds_count", &[r#"op="register""#]), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_project_that_the_running_server_does_not_have_is_refused() {
    if is_left_out("a_project_that_the_running_server_does_not_have_is_refused", "the running server is not asked") {
        return;
    }
    let server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    // The file was changed since the server read it.
    let changed = configuration(NO_RELAY, "[[projects]]\nid = \"new\"\n");
    std::fs::write(server.folder().join("countersign.toml"), changed).unwrap();
    let ran = server.run(&["identity", "add", "ada@example.com", "--project", "new"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "countersign: the running server has no project new\n");
    server.stop().await;
}

#[tokio::test]
async fn a_socket_that_a_killed_server_left_does_not_mislead() {
    if is_left_out("a_socket_that_a_killed_server_left_does_not_mislead", "there is no command socket") {
        return;
    }
    let mut server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    server.kill().await;
    assert!(server.database().with_extension("db.sock").exists());
    let ran = server.run(&["identity", "add", "ada@example.com"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    server.start().await;
    let again = server.run(&["identity", "add", "ada@example.com"]).await;
    assert_eq!(again.stdout, ran.stdout.replace("added", "already there"));
    server.stop().await;
}

#[tokio::test]
async fn an_incomplete_configuration_is_refused() {
    let folder = folder_with("[database]\npath = \"data/countersign.db\"\n");
    let ran = run(BINARY, folder.path(), &["identity", "add", "ada@example.com"], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("countersign: countersign.toml: missing field"), "{}", ran.stderr);
}
