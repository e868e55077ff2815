//! What `serve` refuses, and in which words.

use super::*;

#[test]
fn what_is_missing_misspelled_or_of_the_wrong_type_is_refused_in_one_sentence() {
    let folder = Folder::new();
    let cases = [
        (String::new(), "missing field `origin`"),
        ("origin =".to_owned(), "string values must be quoted, expected literal string"),
        (least_with("origin = \"https://login.example.com\"", ""), "missing field `origin`"),
        (least_with("database.path = \"countersign.db\"", ""), "missing field `database`"),
        (least_with("database.path = \"countersign.db\"", "database = {}"), "database: path or url is missing"),
        (least_with("from = \"login@example.com\", ", ""), "missing field `from`"),
        (least_with("url = \"smtp://mail.example.com\"", ""), "missing field `url`"),
        (least_with("projects = [{ id = \"main\" }]", ""), "missing field `projects`"),
        (least_with("id = \"main\"", "name = \"main\""), "missing field `id`"),
        (
            least_and("orgin = 'x'"),
            "unknown field `orgin`, expected one of `origin`, `server`, `database`, `keys`, `mail`, `projects`, `dialects`, `log`",
        ),
        (
            least_and("server.port = 80"),
            "unknown field `port`, expected one of `listen`, `admin_listen`, `trusted_proxies`, `root`",
        ),
        (
            least_and("database.urn = 'x'"),
            "unknown field `urn`, expected one of `path`, `url`, `password_file`, `connections`",
        ),
        (least_and("database.url = 'postgres://u@h/d'"), "database.path and database.url are both given: which?"),
        (
            least_with("database.path = \"countersign.db\"", "database = 'countersign.db'"),
            "database must be a url that begins with postgres://",
        ),
        (
            least_with("database.path = \"countersign.db\"", "database = 'postgres://u:hush@h/d'"),
            "the database's password does not belong into this file: give database.url and database.password_file, or set \
             COUNTERSIGN__DATABASE in the environment",
        ),
        (least_and("database.password_file = 'x'"), "database.password_file goes with database.url"),
        (least_and("database.connections = 8"), "database.connections goes with database.url"),
        (
            least_with(
                "database.path = \"countersign.db\"",
                "database = { url = 'postgres://u@h/d', connections = 0 }",
            ),
            "database.connections must be between 1 and 1000",
        ),
        (
            least_with(
                "database.path = \"countersign.db\"",
                "database = { url = 'postgres://u@h/d', connections = 1001 }",
            ),
            "database.connections must be between 1 and 1000",
        ),
        (
            least_with("url = \"smtp://mail.example.com\"", "url = 'smtp://x', password = 'x'"),
            "unknown field `password`, expected one of `url`, `username`, `password_file`, `certificate_authority_file`",
        ),
        (
            least_with("id = \"main\"", "id = 'main', signup = true"),
            "unknown field `signup`, expected one of `id`, `name`, `sign_up`, `code_life_minutes`, \
             `messages_apart_seconds`, `messages_per_hour`, `messages_per_day`, `messages_per_hour_and_network`, \
             `messages_per_day_and_network`, `network_messages_per_hour`, `project_messages_per_hour`",
        ),
        (least_and("log.colour = true"), "unknown field `colour`, expected `level` or `format`"),
        (least_and("server.listen = 8080"), "invalid type: integer `8080`, expected socket address"),
        (least_and("server.listen = 'localhost:8080'"), "invalid socket address syntax"),
        (least_and("log.format = 'xml'"), "unknown variant `xml`, expected `json` or `text`"),
        (least_and("log.level = 'loud'"), "log.level must be one of error, warn, info, debug, trace"),
        (
            least_and("server.trusted_proxies = ['proxy.example.com']"),
            "server.trusted_proxies: `proxy.example.com` is no network; write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7",
        ),
    ];
    for (text, sentence) in cases {
        assert_eq!(folder.refusal(&text, &[]), sentence);
    }
}

#[test]
fn an_origin_that_people_cannot_trust_is_refused() {
    let folder = Folder::new();
    let in_clear = "origin must be https://, or people's codes and tokens cross the network in clear";
    for (origin, sentence) in [
        ("http://login.example.com", in_clear),
        ("http://10.0.0.1", in_clear),
        ("http://localhost.example.com", in_clear),
        ("http://login.localhost", in_clear),
        ("", "origin \"\" is no url"),
        ("login.example.com", "origin \"login.example.com\" must begin with https:// or http://"),
        ("ftp://login.example.com", "origin \"ftp://login.example.com\" must begin with https:// or http://"),
        ("https://", "origin \"https://\" is no url"),
        ("https://login example", "origin \"https://login example\" is no url"),
        (
            "https://login.example.com/a",
            "origin \"https://login.example.com/a\" must be scheme, host and port, and nothing else",
        ),
        (
            "https://login.example.com?a",
            "origin \"https://login.example.com?a\" must be scheme, host and port, and nothing else",
        ),
        (
            "https://login.example.com#a",
            "origin \"https://login.example.com#a\" must be scheme, host and port, and nothing else",
        ),
        (
            "https://a@login.example.com",
            "origin \"https://a@login.example.com\" must be scheme, host and port, and nothing else",
        ),
    ] {
        assert_eq!(folder.refusal(&least_with("https://login.example.com", origin), &[]), sentence, "{origin}");
    }
    for origin in
        ["http://localhost:8080", "http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]:8080", "https://10.0.0.1"]
    {
        assert!(folder.parse(&least_with("https://login.example.com", origin), &[]).is_ok(), "{origin}");
    }
}

#[test]
fn a_key_must_be_given_once_be_whole_and_not_be_the_published_one() {
    let folder = Folder::new();
    folder.write("short.key", STANDARD.encode(&KEY[..31]));
    folder.write("hexadecimal.key", "61".repeat(32));
    folder.write("binary.key", [0xff_u8; 32]);
    folder.write("empty.key", "");
    folder.write("development.key", STANDARD.encode(DEVELOPMENT_KEY));
    let file = "keys.master_key_file must be 32 bytes in base64, as `countersign key new` prints them";
    for (keys, sentence) in [
        (
            "",
            "keys.master_key_file is missing: make one with `countersign key new`, in a file that only the server reads",
        ),
        ("keys.master_key_file = 'short.key'", file),
        ("keys.master_key_file = 'hexadecimal.key'", file),
        ("keys.master_key_file = 'binary.key'", file),
        ("keys.master_key_file = 'empty.key'", file),
        (
            "keys.master_key_file = 'development.key'",
            "keys.master_key_file is the published key of `countersign dev`: make one with `countersign key new`",
        ),
        (
            "keys.master_key_file = 'nowhere.key'",
            "cannot read (folder)/nowhere.key: No such file or directory (os error 2)",
        ),
        (
            "keys = { master_key_file = 'master.key', older_master_key_files = ['short.key'] }",
            "keys.older_master_key_files must be 32 bytes in base64, as `countersign key new` prints them",
        ),
        (
            "keys = { master_key_file = 'master.key', older_master_key_files = ['development.key'] }",
            "keys.older_master_key_files is the published key of `countersign dev`: make one with `countersign key new`",
        ),
        (
            "keys.master_key = 'x'",
            "keys.master_key is a secret and does not belong into this file: give keys.master_key_file, or set \
             COUNTERSIGN__KEYS__MASTER_KEY in the environment",
        ),
        (
            "keys.older_master_key = 'x'",
            "keys.older_master_key is a secret and does not belong into this file: give keys.older_master_key_files, or set \
             COUNTERSIGN__KEYS__OLDER_MASTER_KEY in the environment",
        ),
    ] {
        assert_eq!(folder.refusal(&least_with("keys.master_key_file = \"master.key\"", keys), &[]), sentence);
    }
    let key = STANDARD.encode(KEY);
    assert_eq!(
        folder.refusal(LEAST, &[("COUNTERSIGN__KEYS__MASTER_KEY", &key)]),
        "keys.master_key and keys.master_key_file are both given: which?"
    );
    let development = STANDARD.encode(DEVELOPMENT_KEY);
    for (variable, sentence) in [
        (
            "MASTER_KEY",
            "keys.master_key is the published key of `countersign dev`: make one with `countersign key new`",
        ),
        (
            "OLDER_MASTER_KEY",
            "keys.older_master_key is the published key of `countersign dev`: make one with `countersign key new`",
        ),
    ] {
        let text = if variable == "MASTER_KEY" {
            least_with("keys.master_key_file = \"master.key\"", "")
        } else {
            LEAST.to_owned()
        };
        assert_eq!(folder.refusal(&text, &[(&format!("COUNTERSIGN__KEYS__{variable}"), &development)]), sentence);
    }
}

#[test]
fn mail_that_could_not_be_sent_is_refused() {
    let folder = Folder::new();
    folder.write("binary.password", [0xff, 0xfe]);
    for (relay, sentence) in [
        ("url = 'mail.example.com'", "mail.relays[0]: a relay's url starts with smtp://, smtps:// or smtp+plain://"),
        ("url = 'smtp://'", "mail.relays[0]: a relay's url must name a host or an ip address"),
        ("url = 'smtp://x:99999'", "mail.relays[0]: the port of a relay's url is not a number from 1 to 65535"),
        ("url = 'smtp://x/path'", "mail.relays[0]: nothing may follow the port of a relay's url"),
        (
            "url = 'smtps://ada:secret@x'",
            "mail.relays[0]: the password does not belong into url: give username and password_file",
        ),
        ("url = 'smtp://x', username = 'ada'", "mail.relays[0]: username and password_file go together"),
        (
            "url = 'smtp://x', password_file = 'relay.password'",
            "mail.relays[0]: username and password_file go together",
        ),
        (
            "url = 'smtp://x', username = 'ada', password_file = 'nowhere'",
            "mail.relays[0]: cannot read (folder)/nowhere: No such file or directory (os error 2)",
        ),
        (
            "url = 'smtp://x', username = 'ada', password_file = 'binary.password'",
            "mail.relays[0]: binary.password is not UTF-8",
        ),
        (
            "url = 'smtp://x', certificate_authority_file = 'nowhere'",
            "mail.relays[0]: cannot read (folder)/nowhere: No such file or directory (os error 2)",
        ),
        (
            "url = 'smtp://a' }, { url = 'smtp//b'",
            "mail.relays[1]: a relay's url starts with smtp://, smtps:// or smtp+plain://",
        ),
    ] {
        assert_eq!(folder.refusal(&least_with("url = \"smtp://mail.example.com\"", relay), &[]), sentence);
    }
    let nobody = "mail.relays is empty: without a relay nobody gets a code";
    assert_eq!(folder.refusal(&least_with("[{ url = \"smtp://mail.example.com\" }]", "[]"), &[]), nobody);
    assert_eq!(folder.refusal(&least_with(", relays = [{ url = \"smtp://mail.example.com\" }]", ""), &[]), nobody);
    let sender = "mail of project main: the sender must be an e-mail address, with or without a name before it";
    for from in [
        "login",
        "login@example.com, other@example.com",
        "Example <login@>",
        "",
        "a@example.com\\r\\nBcc: b@example.com",
    ] {
        assert_eq!(folder.refusal(&least_with("login@example.com", from), &[]), sender, "{from}");
    }
    let brand = "mail of project main: the brand must be one line of text";
    for name in ["", " ", "a\\nb"] {
        assert_eq!(
            folder.refusal(&least_with("id = \"main\"", &format!("id = 'main', name = \"{name}\"")), &[]),
            brand
        );
    }
}

#[test]
fn a_project_has_a_plain_id_of_its_own_and_codes_that_live_a_bearable_time() {
    let folder = Folder::new();
    let long = "a".repeat(65);
    for (projects, sentence) in [
        ("projects = []".to_owned(), "projects is empty: there must be one".to_owned()),
        ("projects = [{ id = 'a' }, { id = 'b' }, { id = 'a' }]".to_owned(), "projects: a is there twice".to_owned()),
        ("projects = [{ id = 'a' }, { id = 'b' }, { id = 'b' }]".to_owned(), "projects: b is there twice".to_owned()),
        (
            "projects = [{ id = 'a', code_life_minutes = 1 }]".to_owned(),
            "projects: code_life_minutes must be from 2 to 60".to_owned(),
        ),
        (
            "projects = [{ id = 'a', messages_per_day = 201 }]".to_owned(),
            "projects: messages_per_day must be from 1 to 200".to_owned(),
        ),
        (
            "projects = [{ id = 'a', project_messages_per_hour = 0 }]".to_owned(),
            "projects: project_messages_per_hour must be from 1 to 1000000".to_owned(),
        ),
        (
            "projects = [{ id = 'a', code_life_minutes = 61 }]".to_owned(),
            "projects: code_life_minutes must be from 2 to 60".to_owned(),
        ),
        (
            "projects = [{ id = 'a', code_life_minutes = -1 }]".to_owned(),
            "invalid value: integer `-1`, expected u64".to_owned(),
        ),
        (
            "projects = [{ id = 'a', sign_up = 'yes' }]".to_owned(),
            "invalid type: string \"yes\", expected a boolean".to_owned(),
        ),
    ] {
        assert_eq!(folder.refusal(&least_with("projects = [{ id = \"main\" }]", &projects), &[]), sentence);
    }
    for id in ["", "a b", "a/b", "ä", long.as_str()] {
        assert_eq!(
            folder.refusal(&least_with("id = \"main\"", &format!("id = '{id}'")), &[]),
            format!("projects: id {id:?} must be 1 to 64 letters, digits, dashes or underscores")
        );
    }
    for id in ["a", "P2countersigndev000000000000", "a-b_C", "a".repeat(64).as_str()] {
        assert!(folder.parse(&least_with("id = \"main\"", &format!("id = '{id}'")), &[]).is_ok(), "{id}");
    }
}

#[test]
fn a_surface_that_is_not_built_in_is_refused() {
    let known: Vec<_> = crate::dialects::all().iter().map(|dialect| dialect.name()).collect();
    assert_eq!(
        Folder::new().refusal(&least_and("dialects.telepathy = {}"), &[]),
        format!("dialects.telepathy: no such surface; there are: {}", known.join(", "))
    );
    assert_eq!(
        Folder::new().refusal(&least_and("server.root = \"telepathy\""), &[]),
        format!("server.root: no such surface; there are: {}", known.join(", "))
    );
}

#[test]
fn a_refusal_names_the_file() {
    let folder = Folder::new();
    folder.write("countersign.toml", least_and("log.level = 'loud'"));
    let path = folder.path().join("countersign.toml");
    let error = Config::read(&path, &Environment::new()).unwrap_err().to_string();
    assert_eq!(error, format!("{}: log.level must be one of error, warn, info, debug, trace", path.display()));
    let path = folder.path().join("nowhere.toml");
    let error = Config::read(&path, &Environment::new()).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read {}: No such file or directory (os error 2)", path.display()));
    folder.write("countersign.toml", LEAST);
    assert!(Config::read(&folder.path().join("countersign.toml"), &Environment::new()).is_ok());
}
