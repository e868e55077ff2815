//! PostgreSQL, as an operator meets it: the schema is made, rights and secrets are checked, and what is wrong is said in one sentence.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::cluster::{Cluster, TestDatabase};
use testkit::folder::TempFolder;
use testkit::mailbox::python;
use testkit::server::{Ran, Server, run};
use tokio::time::sleep;

use crate::refusing::is_refused_with;
use crate::support::{BINARY, NO_RELAY, OTHER_MASTER_KEY, PATIENCE, configuration, folder_with};

/// A folder with a configuration whose database is at `url`, and perhaps a password in a file.
fn folder_for(url: &str, password: Option<&str>) -> TempFolder {
    let mut place = format!("url = {url:?}");
    if let Some(password) = password {
        place.push_str("\npassword_file = \"password\"");
        let folder = folder_with(&configuration(NO_RELAY, "").replace("path = \"data/countersign.db\"", &place));
        std::fs::write(folder.path().join("password"), password).unwrap();
        return folder;
    }
    folder_with(&configuration(NO_RELAY, "").replace("path = \"data/countersign.db\"", &place))
}

async fn ask(folder: &Path, arguments: &[&str]) -> Ran {
    let environment = [("COUNTERSIGN__ORIGIN", "http://127.0.0.1:1"), ("COUNTERSIGN__SERVER__LISTEN", "127.0.0.1:0")];
    run(BINARY, folder, arguments, &environment).await
}

async fn migrate(folder: &TempFolder) -> Ran {
    ask(folder.path(), &["migrate"]).await
}

/// Whatever needs the database is refused with `sentence`.
async fn is_refused(folder: &TempFolder, sentence: &str) {
    for command in [&["serve"][..], &["migrate"], &["identity", "add", "ada@example.com"]] {
        is_refused_with(&ask(folder.path(), command).await, sentence);
    }
}

/// It comes up, and goes down again.
async fn is_served(folder: TempFolder) {
    let mut server = Server::serve(BINARY, folder, &[]).await;
    server.terminate();
    assert_eq!(server.ended().await, Some(0), "{}", server.log());
}

/// The url of `database` as the role `user` uses it.
fn url_of(database: &TestDatabase, user: &str) -> String {
    database.url().replace("postgres://countersign@", &format!("postgres://{user}@"))
}

macro_rules! cluster {
    () => {
        match Cluster::shared().await {
            Some(cluster) => cluster,
            None => return,
        }
    };
}

#[tokio::test]
async fn migrate_makes_the_schema_once_also_where_two_do_it_at_once() {
    let database = cluster!().empty_database().await;
    let folder = folder_for(&database.url(), None);
    let (first, second) = tokio::join!(migrate(&folder), migrate(&folder));
    let mut said = [&first, &second].map(|ran| {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        ran.stdout.as_str()
    });
    said.sort_unstable();
    assert_eq!(said, ["1 migration was applied\n", "the schema is up to date\n"]);
    assert_eq!(migrate(&folder).await.stdout, "the schema is up to date\n");
    assert_eq!(database.ask("SELECT count(*) FROM schema_migrations"), "1");
    is_served(folder).await;
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_in_one_sentence() {
    for (url, sentence) in [
        ("mysql://db.example/sign_in", "must be a url that begins with postgres://"),
        ("postgres:///sign_in", "the database's url names no host"),
        ("postgres://u@127.0.0.1:port/sign_in", "the database's url cannot be read: "),
        ("postgres://u@127.0.0.1/sign_in?sslmode=prefer", "the database's url has an sslmode that is none of"),
        ("postgres://u:hunter2@127.0.0.1/sign_in", "password"),
    ] {
        let folder = folder_for(url, None);
        is_refused(&folder, sentence).await;
        assert!(!migrate(&folder).await.stderr.contains("hunter2"));
    }
    let folder = folder_with("");
    let dev = ["dev", "--listen", "127.0.0.1:0", "--database", "file:data"];
    is_refused_with(&ask(folder.path(), &dev).await, "--database must be a url that begins with postgres://");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_told_of_in_one_sentence() {
    // One where nobody listens, and one that lets connect and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (silent.local_addr().unwrap(), silent);
    let nobody = testkit::server::free_address();
    for (address, sentence) in [(nobody, "Connection refused"), (silent.0, "connecting took too long")] {
        let ran = migrate(&folder_for(&format!("postgres://u@{address}/sign_in"), None)).await;
        is_refused_with(&ran, &format!("cannot open postgres://{address}/sign_in: "));
        is_refused_with(&ran, sentence);
    }
    let folder = folder_for(&format!("postgres://u@{nobody}/sign_in"), None);
    is_refused(&folder, "Connection refused").await;
    let database = cluster!().empty_database().await;
    let missing = folder_for(&database.url().replace(database.name(), "missing"), None);
    is_refused(&missing, "database \"missing\" does not exist").await;
}

#[tokio::test]
async fn a_role_without_the_rights_is_told_which_and_one_that_may_not_change_the_schema_serves_on_it() {
    let cluster = cluster!();
    let empty = cluster.empty_database().await;
    empty.ask("CREATE ROLE guest LOGIN");
    let folder = folder_for(&url_of(&empty, "guest"), None);
    is_refused(&folder, "permission denied for schema public").await;
    assert_eq!(empty.ask("SELECT count(*) FROM pg_class WHERE relname = 'flows'"), "0");

    let made = cluster.database().await;
    let folder = folder_for(&url_of(&made, "guest"), None);
    is_refused(&folder, "permission denied for table schema_migrations").await;
    made.ask("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest");
    assert_eq!(migrate(&folder).await.stdout, "the schema is up to date\n");
    is_served(folder).await;
}

#[tokio::test]
async fn a_schema_that_is_newer_or_another_programs_is_refused_and_left_alone() {
    let cluster = cluster!();
    let newer = cluster.database().await;
    newer.ask("INSERT INTO schema_migrations VALUES (99, 'later')");
    let foreign = cluster.empty_database().await;
    foreign.ask("CREATE TABLE theirs (id BIGINT)");
    for (database, sentence) in [
        (newer, "has schema version 99, newer than the 1 this program knows; use the newer program"),
        (foreign, "is a database of another program"),
    ] {
        let before = database.dump();
        is_refused(&folder_for(&database.url(), None), sentence).await;
        assert!(database.dump() == before, "the database is as it was");
    }
}

#[tokio::test]
async fn another_master_key_is_refused_and_the_published_one_too() {
    let database = cluster!().empty_database().await;
    let folder = folder_for(&database.url(), None);
    let add = ["identity", "add", "ada@example.com"];
    assert_eq!(ask(folder.path(), &add).await.code, Some(0));
    let before = database.dump();
    std::fs::write(folder.path().join("master.key"), OTHER_MASTER_KEY).unwrap();
    for command in [&["serve"][..], &add] {
        let ran = ask(folder.path(), command).await;
        is_refused_with(&ran, "the master key is not the one this database was made with");
    }
    let dev = ["dev", "--listen", "127.0.0.1:0", "--database", &database.url()];
    is_refused_with(&ask(folder.path(), &dev).await, "the master key is not the one this database was made with");
    assert!(database.dump() == before, "the database is as it was");
    std::fs::write(folder.path().join("master.key"), "Y291bnRlcnNpZ24gZGV2ZWxvcG1lbnQga2V5LCAzMkI=").unwrap();
    is_refused_with(&ask(folder.path(), &["serve"]).await, "is the published key of `countersign dev`");
}

/// A cluster that asks the role `guarded` for a password and lets `sealed` in under TLS only, with a certificate for `localhost`; and the
/// folder of the authority that vouches for it, `authority.pem`, beside another one, `other.pem`.
async fn guarded() -> Option<(TestDatabase, TempFolder)> {
    const CERTIFICATES: &str = "import sys, trustme; folder = sys.argv[1]; authority = trustme.CA(); \
        authority.cert_pem.write_to_path(folder + '/authority.pem'); \
        trustme.CA().cert_pem.write_to_path(folder + '/other.pem'); \
        authority.issue_cert('localhost').private_key_and_cert_chain_pem.write_to_path(folder + '/server.pem')";
    let cluster = Cluster::started().await?;
    let folder = TempFolder::new();
    let made = Command::new(python()?).args(["-c", CERTIFICATES]).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let database = cluster.empty_database().await;
    database.ask("CREATE ROLE guarded LOGIN PASSWORD 'correct horse'");
    database.ask("CREATE ROLE sealed LOGIN");
    database.ask("GRANT ALL ON SCHEMA public TO guarded, sealed");
    // By the server itself, which is somebody else and keeps a key only where nobody else can read it.
    let source = folder.path().join("server.pem");
    database.ask(&format!(
        "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null && cp {} server.pem && chmod 600 server.pem'",
        source.display()
    ));
    let rules = database.ask("SHOW hba_file");
    database.ask(&format!(
        "COPY (VALUES ('host all guarded all scram-sha-256'), ('hostssl all sealed all trust'), ('host all sealed all reject'), \
         ('host all all all trust')) TO '{rules}'"
    ));
    let loaded = database.ask("SELECT pg_conf_load_time()");
    for setting in ["ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.pem'", "ssl = on"] {
        database.ask(&format!("ALTER SYSTEM SET {setting}"));
    }
    database.ask("SELECT pg_reload_conf()");
    let reloading = async {
        while database.ask("SELECT pg_conf_load_time()") == loaded {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reloading).await.expect("the settings are read");
    assert_eq!(database.ask("SHOW ssl"), "on", "{}", cluster.log());
    Some((database, folder))
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_tls_is_what_was_asked_for_or_nothing() {
    let Some((database, folder)) = guarded().await else { return };
    let url = url_of(&database, "guarded");
    for password in ["wrong horse", ""] {
        let folder = folder_for(&url, Some(password));
        let ran = migrate(&folder).await;
        assert!(!ran.stderr.contains("horse"), "{}", ran.stderr);
        let sentence = if password.is_empty() { "password" } else { "password authentication failed for user" };
        is_refused(&folder, sentence).await;
    }
    is_refused(&folder_for(&url, None), "password").await;
    assert_eq!(migrate(&folder_for(&url, Some("correct horse"))).await.stdout, "1 migration was applied\n");
    is_served(folder_for(&url, Some("correct horse"))).await;

    // Now under TLS.
    database.ask("DROP OWNED BY guarded; GRANT ALL ON SCHEMA public TO sealed");
    let by_address = url_of(&database, "sealed");
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (authority, other) = (file("authority.pem"), file("other.pem"));
    is_refused(&folder_for(&by_name, None), "pg_hba.conf rejects connection").await;
    for mode in ["require", "verify-full"] {
        let with = |url: &str, file: &str| folder_for(&format!("{url}?sslmode={mode}&sslrootcert={file}"), None);
        is_refused(&with(&by_address, &authority), "not valid for name").await;
        is_refused(&with(&by_name, &other), "invalid peer certificate").await;
        is_refused(&with(&by_name, &file("absent.pem")), "absent.pem as sslrootcert: No such file").await;
        let ran = migrate(&with(&by_name, &authority)).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        is_served(with(&by_name, &authority)).await;
    }

    // And where there is none, nothing is said in clear.
    let plain = cluster!().empty_database().await;
    let demanding = format!("{}?sslmode=require&sslrootcert={authority}", plain.url());
    is_refused(&folder_for(&demanding, None), "server does not support TLS").await;
}
