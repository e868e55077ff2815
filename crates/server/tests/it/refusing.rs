//! What it refuses to start with: in one clear sentence, and not with 0.

use testkit::server::{Ran, Server, run};

use crate::support::{BINARY, NO_RELAY, OTHER_MASTER_KEY, configuration, folder_with, is_left_out};

/// Nothing else may be said, and nothing may be left running.
pub(crate) fn is_refused_with(ran: &Ran, sentence: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("countersign: "), "{}", ran.stderr);
    assert!(ran.stderr.contains(sentence), "not {sentence:?} but {}", ran.stderr);
}

#[tokio::test]
async fn dev_listens_on_loopback_only() {
    let folder = folder_with("");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0", "[::ffff:127.0.0.1]:0"] {
        for flag in ["--listen", "--admin-listen"] {
            let ran = run(BINARY, folder.path(), &["dev", flag, address], &[]).await;
            is_refused_with(&ran, &format!("{flag} must be a loopback address"));
        }
    }
    assert!(!folder.path().join("countersign-data").exists(), "nothing is made before it is known to be allowed");
}

#[tokio::test]
async fn dev_has_no_public_origin() {
    let folder = folder_with("");
    for origin in [
        "https://example.com",
        "http://192.0.2.1",
        "https://localhost.example.com",
        "https://a.test.com",
        "https://attest",
    ] {
        let ran = run(BINARY, folder.path(), &["dev", "--listen", "127.0.0.1:0", "--origin", origin], &[]).await;
        is_refused_with(&ran, "--origin must be loopback, or under .test, .localhost, .example or .internal");
    }
    for origin in ["example.test", "ftp://a.test", "https://a.test/path", "https://u:p@a.test", "https://a.test?q", ""]
    {
        let ran = run(BINARY, folder.path(), &["dev", "--listen", "127.0.0.1:0", "--origin", origin], &[]).await;
        is_refused_with(&ran, "origin ");
    }
}

#[tokio::test]
async fn dev_reads_no_relay_that_is_none() {
    let folder = folder_with("");
    for url in
        ["127.0.0.1:25", "http://127.0.0.1:25", "smtp://127.0.0.1:0", "smtp://127.0.0.1/path", "smtp://user@127.0.0.1"]
    {
        let ran = run(BINARY, folder.path(), &["dev", "--listen", "127.0.0.1:0", "--smtp", url], &[]).await;
        is_refused_with(&ran, "--smtp: ");
    }
}

/// One way to hurt oneself.
struct Mistake {
    configuration: String,
    environment: &'static [(&'static str, &'static str)],
    sentence: &'static str,
}

impl Mistake {
    fn new(configuration: impl Into<String>, sentence: &'static str) -> Self {
        Self { configuration: configuration.into(), environment: &[], sentence }
    }

    fn with(environment: &'static [(&'static str, &'static str)], sentence: &'static str) -> Self {
        Self { configuration: configuration(NO_RELAY, ""), environment, sentence }
    }
}

#[tokio::test]
async fn serve_does_not_start_with_what_would_hurt() {
    let good = configuration(NO_RELAY, "");
    let key_line = r#"master_key_file = "master.key""#;
    let mistakes = [
        // The master key.
        Mistake::new(good.replace(key_line, ""), "keys.master_key_file is missing"),
        Mistake::new(good.replace("master.key", "absent.key"), "absent.key: No such file"),
        Mistake::new(
            good.replace(key_line, r#"master_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=""#),
            "keys.master_key is a secret and does not belong into this file",
        ),
        Mistake::with(
            &[("COUNTERSIGN__KEYS__MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")],
            "keys.master_key and keys.master_key_file are both given",
        ),
        // `countersign development key, 32B`, in a file and in the environment.
        Mistake::new(good.replace("master.key", "development.key"), "is the published key of `countersign dev`"),
        Mistake {
            configuration: good.replace(key_line, ""),
            environment: &[("COUNTERSIGN__KEYS__MASTER_KEY", "Y291bnRlcnNpZ24gZGV2ZWxvcG1lbnQga2V5LCAzMkI")],
            sentence: "is the published key of `countersign dev`",
        },
        Mistake {
            configuration: good.replace(key_line, ""),
            environment: &[("COUNTERSIGN__KEYS__MASTER_KEY", "c2hvcnQ=")],
            sentence: "must be 32 bytes in base64",
        },
        // What nobody knows.
        Mistake::new(good.replace("[database]", "[database]\nsynchronous = \"off\""), "unknown field `synchronous`"),
        Mistake::new(format!("listen = \"127.0.0.1:1\"\n{good}"), "unknown field `listen`"),
        Mistake::new(format!("{good}\n[dialects.logon]\n"), "dialects.logon: no such surface"),
        Mistake::new("origin = ", "countersign.toml: "),
        Mistake::with(&[("COUNTERSIGN__SERVER__PORT", "1")], "unknown field `port`"),
        Mistake::with(&[("COUNTERSIGN__PROJECTS__7__NAME", "a")], "names no key of the configuration"),
        // The origin.
        Mistake::with(&[("COUNTERSIGN__ORIGIN", "http://sign-in.example.com")], "origin must be https://"),
        Mistake::with(&[("COUNTERSIGN__ORIGIN", "http://127.0.0.1.example.com")], "origin must be https://"),
        Mistake::with(&[("COUNTERSIGN__ORIGIN", "sign-in.example.com")], "must begin with https:// or http://"),
        // Mail.
        Mistake::new(
            good.replace("[[mail.relays]]", "").replace(NO_RELAY, ""),
            "mail.relays is empty: without a relay nobody gets a code",
        ),
        Mistake::new(good.replace(NO_RELAY, r#"url = "http://127.0.0.1""#), "mail.relays[0]: "),
        Mistake::new(
            good.replace(NO_RELAY, r#"url = "smtps://user:hunter2@mail.example.com""#),
            "the password does not belong into url",
        ),
        Mistake::new(
            good.replace(NO_RELAY, &format!("{NO_RELAY}\nusername = \"user\"")),
            "username and password_file go together",
        ),
        Mistake::new(
            good.replace(NO_RELAY, &format!("{NO_RELAY}\ncertificate_authority_file = \"absent.pem\"")),
            "absent.pem: No such file",
        ),
        Mistake::new(good.replace("<sign-in@example.com>", "<a@example.com>, b@example.com"), "mail of project main: "),
        // ST-20: nothing gets into a header that way.
        Mistake::new(good.replace(r#""Example""#, r#""Example\r\nBcc: eve@example.com""#), "mail of project main: "),
        // Projects.
        Mistake::new(good.replace(r#"id = "main""#, r#"id = "a project""#), "must be 1 to 64 letters"),
        Mistake::new(format!("{good}\n[[projects]]\nid = \"main\"\n"), "projects: main is there twice"),
        Mistake::new(good.replace("name = \"Example\"", "code_life_minutes = 61"), "must be from 2 to 60"),
        // The rest.
        Mistake::with(&[("COUNTERSIGN__LOG__LEVEL", "loud")], "log.level must be one of"),
        Mistake::with(&[("COUNTERSIGN__SERVER__TRUSTED_PROXIES", "[\"anybody\"]")], "server.trusted_proxies: "),
    ];
    for Mistake { configuration, environment, sentence } in mistakes {
        let folder = folder_with(&configuration);
        let development_key = "Y291bnRlcnNpZ24gZGV2ZWxvcG1lbnQga2V5LCAzMkI=\n";
        std::fs::write(folder.path().join("development.key"), development_key).unwrap();
        let listening = [("COUNTERSIGN__ORIGIN", "http://127.0.0.1:1"), ("COUNTERSIGN__SERVER__LISTEN", "127.0.0.1:0")];
        let environment = [&listening, environment].concat();
        let ran = run(BINARY, folder.path(), &["serve"], &environment).await;
        is_refused_with(&ran, sentence);
        assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("AAECAwQFBgcI"), "{}", ran.stderr);
        assert!(!folder.path().join("data").exists(), "nothing is made before the configuration is known to be good");
    }
}

#[tokio::test]
async fn serve_says_which_file_is_missing() {
    let folder = folder_with("");
    let ran = run(BINARY, folder.path(), &["serve", "--config", "elsewhere.toml"], &[]).await;
    is_refused_with(&ran, "cannot read elsewhere.toml: ");
}

#[tokio::test]
async fn st_65_another_master_key_is_refused_and_changes_nothing() {
    let mut server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    server.terminate();
    assert_eq!(server.ended().await, Some(0));
    let kept = |server: &Server| match server.postgres() {
        Some(database) => database.dump(),
        None => std::fs::read(server.database()).unwrap(),
    };
    let before = kept(&server);

    std::fs::write(server.folder().join("master.key"), OTHER_MASTER_KEY).unwrap();
    let url = server.postgres().map(testkit::cluster::TestDatabase::url);
    let place = url.as_ref().map_or(["--data", "data"], |url| ["--database", url]);
    let dev = [&["dev", "--listen", "127.0.0.1:0"][..], &place].concat();
    for command in [&["serve"][..], &["identity", "add", "ada@example.com"], &dev] {
        let ran = server.run(command).await;
        is_refused_with(&ran, "the master key is not the one this database was made with");
    }
    assert!(kept(&server) == before, "the database is as it was");

    std::fs::write(server.folder().join("master.key"), crate::support::MASTER_KEY).unwrap();
    server.start().await;
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_of_ours_is_refused_and_left_alone() {
    if is_left_out("a_file_that_is_no_database_of_ours_is_refused_and_left_alone", "there is no file") {
        return;
    }
    let folder = folder_with(&configuration(NO_RELAY, ""));
    let database = folder.path().join("data/countersign.db");
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(&database, "a diary\n".repeat(1000)).unwrap();
    let environment = [("COUNTERSIGN__ORIGIN", "http://127.0.0.1:1"), ("COUNTERSIGN__SERVER__LISTEN", "127.0.0.1:0")];
    let ran = run(BINARY, folder.path(), &["serve"], &environment).await;
    is_refused_with(&ran, "is not an SQLite database");
    assert_eq!(std::fs::read_to_string(&database).unwrap(), "a diary\n".repeat(1000));
}
