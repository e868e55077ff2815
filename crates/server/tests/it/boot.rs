//! Coming up and going down.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use testkit::server::{Client, Request, Server, run};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{BINARY, NO_RELAY, PATIENCE, configuration, folder_with, is_left_out};

#[tokio::test]
async fn dev_answers_its_first_request_at_once() {
    let limit_ms = if cfg!(debug_assertions) { 3000 } else { 100 };
    let mut took = Vec::new();
    // Each on a fresh folder: database, keys and all. The best of five, because other tests run beside it.
    for _ in 0..5 {
        let began = Instant::now();
        let server = Server::dev(BINARY, &[]).await;
        assert_eq!(server.client().get("/dev/messages").await.status, 200);
        took.push(began.elapsed().as_millis());
        server.stop().await;
    }
    println!("from the process's start to its first answer: {took:?} ms");
    assert!(*took.iter().min().unwrap() < limit_ms, "{took:?}");
}

#[tokio::test]
async fn every_command_explains_itself() {
    let folder = folder_with("");
    let commands: [&[&str]; 6] = [&[], &["dev"], &["serve"], &["identity"], &["identity", "add"], &["key", "new"]];
    for command in commands {
        let arguments = [command, &["--help"]].concat();
        let ran = run(BINARY, folder.path(), &arguments, &[]).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}");
        assert!(ran.stdout.contains("Usage: countersign"), "{arguments:?}: {}", ran.stdout);
        assert_eq!(ran.stderr, "");
    }
    let ran = run(BINARY, folder.path(), &["--version"], &[]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), concat!("countersign ", env!("CARGO_PKG_VERSION"), "\n")));
    for mistake in [&[][..], &["devel"], &["dev", "--port", "1"], &["serve", "extra"]] {
        let ran = run(BINARY, folder.path(), mistake, &[]).await;
        assert_eq!(ran.code, Some(2), "{mistake:?}");
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains("Usage: countersign"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_new_key_is_32_bytes_and_never_the_same() {
    let folder = folder_with("");
    let first = run(BINARY, folder.path(), &["key", "new"], &[]).await;
    let second = run(BINARY, folder.path(), &["key", "new"], &[]).await;
    assert_eq!(first.code, Some(0));
    // 32 bytes in base64, and the line's end.
    assert_eq!(first.stdout.len(), 45);
    assert_ne!(first.stdout, second.stdout);
}

#[tokio::test]
async fn the_operators_pages_are_on_the_operators_listener_only() {
    let server = Server::dev(BINARY, &[]).await;
    let mut public = server.client();
    let mut operators = Client::new(server.admin());
    for page in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(operators.get(page).await.status, 200, "{page}");
        assert_eq!(public.get(page).await.status, 404, "{page}");
    }
    for page in ["/dev/messages", "/dev/inbox", "/v1/login", "/.well-known/jwks.json"] {
        assert_eq!(operators.get(page).await.status, 404, "{page}");
    }
    assert_eq!(operators.send(&Request::post("/metrics", "{}")).await.status, 405);
    server.stop().await;
}

#[tokio::test]
async fn the_command_sockets_path_is_nobodys_on_the_network() {
    let server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    for mut client in [server.client(), Client::new(server.admin())] {
        assert_eq!(client.get("/identities").await.status, 404);
        assert_eq!(client.post("/identities", "{}").await.status, 404);
    }
    server.stop().await;
}

#[tokio::test]
async fn dev_says_where_it_is() {
    for (flags, origin) in [
        (&[][..], None),
        (&["--origin", "https://sign-in.test"], Some("https://sign-in.test")),
        (&["--origin", "http://localhost:8080/"], Some("http://localhost:8080")),
        (&["--origin", "https://deep.down.internal:444"], Some("https://deep.down.internal:444")),
    ] {
        let server = Server::dev(BINARY, flags).await;
        let origin = origin.map_or_else(|| server.origin(), str::to_owned);
        assert!(server.greeting().starts_with(&format!("countersign {} is at {origin}\n", env!("CARGO_PKG_VERSION"))));
        assert!(server.greeting().contains(&format!("{origin}/dev/inbox\n")));
        server.stop().await;
    }
}

#[tokio::test]
async fn dev_listens_on_version_6_where_there_is_one() {
    let Ok(taken) = std::net::TcpListener::bind("[::1]:0") else { return };
    let listen = taken.local_addr().unwrap().to_string();
    drop(taken);
    let folder = folder_with("");
    let arguments = ["dev", "--listen", &listen];
    let dev = run(BINARY, folder.path(), &arguments, &[]);
    let asking = async {
        let mut client = Client::new(listen.parse().unwrap());
        loop {
            match client.try_send(&Request::get("/dev/messages")).await {
                Ok(answer) => return answer.status,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::select! {
        ran = dev => panic!("{ran:?}"),
        status = timeout(PATIENCE, asking) => assert_eq!(status.unwrap(), 200),
    }
}

#[tokio::test]
async fn nobody_else_can_read_what_it_keeps() {
    if is_left_out("nobody_else_can_read_what_it_keeps", "who may read it is the database's business") {
        return;
    }
    let server = Server::dev(BINARY, &[]).await;
    for entry in std::fs::read_dir(server.database().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stop_leaves_the_database_and_its_lock_file_and_nothing_else() {
    if is_left_out("a_stop_leaves_the_database_and_its_lock_file_and_nothing_else", "there are no files") {
        return;
    }
    let mut server = Server::dev(BINARY, &[]).await;
    server.terminate();
    assert_eq!(server.ended().await, Some(0));
    let entries = std::fs::read_dir(server.database().parent().unwrap()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["countersign.db", "countersign.db.lock"]);
    server.look_over();
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_in_one_sentence() {
    if is_left_out("a_second_server_on_the_same_folder_is_refused_in_one_sentence", "several nodes share a database") {
        return;
    }
    let server = Server::dev(BINARY, &[]).await;
    let ran = run(BINARY, server.folder(), &["dev", "--data", "data", "--listen", "127.0.0.1:0"], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("is in use by another process"), "{}", ran.stderr);
    // The one that was there does not even notice: nor is its command socket gone.
    assert_eq!(server.client().get("/dev/messages").await.status, 200);
    assert!(server.database().with_extension("db.sock").exists());
    server.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_port_is_refused_in_one_sentence() {
    let server = Server::dev(BINARY, &[]).await;
    let listen = server.address().to_string();
    let ran = run(BINARY, server.folder(), &["dev", "--data", "other", "--listen", &listen], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("cannot listen on {listen}")), "{}", ran.stderr);
    server.stop().await;
}

#[tokio::test]
async fn serve_comes_up_while_mail_is_down() {
    let server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    assert_eq!(Client::new(server.admin()).get("/livez").await.status, 200);
    // Nothing of development is there.
    for path in ["/dev/inbox", "/dev/messages", "/dev/inbox.js"] {
        assert_eq!(server.client().get(path).await.status, 404, "{path}");
    }
    server.stop().await;
}
