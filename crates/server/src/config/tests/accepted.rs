//! What `serve` starts with, from the file and the environment.

use super::*;

#[test]
fn a_postgresql_database_is_a_url_whose_password_has_a_file_or_the_environment() {
    let folder = Folder::new();
    let url = |text: &str, environment: &[(&str, &str)]| folder.parse(text, environment).unwrap().database;
    let plain = "postgres://u@a,b:5433/d?target_session_attrs=read-write";
    let least = |database: &str| LEAST.replace("database.path = \"countersign.db\"", database);
    assert_eq!(url(&least(&format!("database = '{plain}'")), &[]), Location::parse(plain));
    folder.write("database.password", "hush\n");
    let with_file = least("database = { url = 'postgres://u@a/d', password_file = 'database.password' }");
    let whole = "postgres://u:%68%75%73%68@a/d";
    assert_eq!(url(&with_file, &[]), Location::parse(whole));
    assert_eq!(url(LEAST, &[("COUNTERSIGN__DATABASE", whole)]), Location::parse(whole));
    assert!(!format!("{:?}", folder.parse(&with_file, &[]).unwrap()).contains("%68"), "and is not printed");
    let with_connections = least("database = { url = 'postgres://u@a/d', connections = 16 }");
    let expected = Location::Url { url: "postgres://u@a/d".to_owned(), connections: 16 };
    assert_eq!(url(&with_connections, &[]), expected);
}

#[test]
fn the_least_configuration_has_the_defaults_that_are_promised() {
    let folder = Folder::new();
    let config = folder.parse(LEAST, &[]).unwrap();
    assert!(!config.is_development);
    assert_eq!(config.origin.as_ref().unwrap().as_str(), "https://login.example.com");
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.admin_listen, None);
    assert_eq!(config.trusted_proxies, TrustedProxies::none());
    assert_eq!(config.database, Location::File(folder.path().join("countersign.db")));
    assert_eq!(config.log, LogSettings { level: tracing::Level::INFO, is_json: true });
    assert!(config.dialects.is_empty());
    let project = config.projects.default_project();
    assert_eq!((project.id.as_str(), project.name.as_str()), ("main", "main"));
    assert_eq!(project.policy, Policy::default());
    assert!(project.policy.send_limit.is_some());
    let [relay] = config.relays.as_slice() else { panic!("{:?}", config.relays) };
    assert_eq!((relay.host.as_str(), relay.port, relay.security), ("mail.example.com", 587, Security::StartTls));
    assert_eq!(relay.hello_name, "login.example.com");
    assert!(relay.credentials.is_none() && relay.certificate_authority.is_none());
}

#[test]
fn everything_that_can_be_said_is_heard() {
    let folder = Folder::new();
    let text = r#"
        origin = "HTTPS://Login.Example.com:8443/"
        server = { listen = "[::1]:80", admin_listen = "127.0.0.1:9090", trusted_proxies = ["10.0.0.0/8", "::1"] }
        database.path = "/var/lib/countersign/it.db"
        keys = { master_key_file = "master.key", older_master_key_files = ["older.key"] }
        log = { level = "DEBUG", format = "text" }
        [mail]
        from = "Example <login@example.com>"
        [[mail.relays]]
        url = "smtps://one.example.com"
        username = "countersign"
        password_file = "relay.password"
        certificate_authority_file = "relay-ca.pem"
        [[mail.relays]]
        url = "smtp+plain://127.0.0.1:2525"
        [[projects]]
        id = "main"
        name = "Example"
        sign_up = true
        code_life_minutes = 60
        messages_apart_seconds = 0
        messages_per_hour = 1
        messages_per_day = 2
        messages_per_hour_and_network = 3
        messages_per_day_and_network = 200
        network_messages_per_hour = 5
        project_messages_per_hour = 1000000
        [[projects]]
        id = "B_2"
        code_life_minutes = 2
    "#;
    let config = folder.parse(text, &[]).unwrap();
    assert_eq!(config.origin.as_ref().unwrap().as_str(), "https://login.example.com:8443");
    assert_eq!(config.origin.as_ref().unwrap().host(), "login.example.com");
    assert_eq!(config.listen, "[::1]:80".parse().unwrap());
    assert_eq!(config.admin_listen, Some("127.0.0.1:9090".parse().unwrap()));
    assert!(config.trusted_proxies.contains("10.1.2.3".parse().unwrap()));
    assert!(!config.trusted_proxies.contains("127.0.0.1".parse().unwrap()));
    assert_eq!(config.database.file(), Some(Path::new("/var/lib/countersign/it.db")));
    assert_eq!(config.log, LogSettings { level: tracing::Level::DEBUG, is_json: false });
    let [first, second] = config.relays.as_slice() else { panic!("{:?}", config.relays) };
    let (username, password) = first.credentials.as_ref().unwrap();
    assert_eq!((username.as_str(), password.expose().as_str()), ("countersign", PASSWORD));
    assert_eq!(first.certificate_authority.as_deref(), Some("-----BEGIN CERTIFICATE-----".as_bytes()));
    assert_eq!((first.security, second.security, second.port), (Security::ImplicitTls, Security::Plain, 2525));
    let main = config.projects.default_project();
    assert_eq!((main.id.as_str(), main.name.as_str(), main.policy.sign_up), ("main", "Example", true));
    assert_eq!(main.policy.code_life, Duration::from_hours(1));
    let limit = SendLimit {
        apart: Duration::ZERO,
        per_hour: 1,
        per_day: 2,
        per_hour_and_network: 3,
        per_day_and_network: 200,
        network: 5,
        project: 1_000_000,
    };
    assert_eq!(main.policy.send_limit, Some(limit));
    let other = config.projects.get(&ProjectId::new("B_2")).unwrap();
    assert_eq!((other.name.as_str(), other.policy.sign_up), ("B_2", false));
    assert_eq!(other.policy.code_life, Duration::from_mins(2));
    assert_eq!(other.policy.send_limit, Some(SendLimit::default()));
}

#[test]
fn a_key_may_be_written_in_either_alphabet_of_base64_padded_or_not() {
    let folder = Folder::new();
    // All four alphabets differ in bytes like these.
    let key = [0xfb; 32];
    for base64 in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        folder.write("master.key", format!("  {}\r\n", base64.encode(key)));
        let config = folder.parse(LEAST, &[]).unwrap();
        let keys = engine::Keys::new(&config.master_key).unwrap();
        assert_eq!(keys.newest(), engine::Keys::new(&MasterKey::new(key)).unwrap().newest());
    }
}

#[test]
fn the_environment_lies_over_the_file() {
    let folder = Folder::new();
    let config = folder
        .parse(
            LEAST,
            &[
                ("COUNTERSIGN__ORIGIN", "https://other.example.com"),
                ("COUNTERSIGN__SERVER__LISTEN", "0.0.0.0:80"),
                ("COUNTERSIGN__SERVER__ADMIN_LISTEN", "127.0.0.1:9090"),
                ("COUNTERSIGN__SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
                ("COUNTERSIGN__DATABASE__PATH", "/data/it.db"),
                ("COUNTERSIGN__MAIL__RELAYS__0__URL", "smtps://relay.example.com"),
                ("COUNTERSIGN__PROJECTS__0__SIGN_UP", "true"),
                ("COUNTERSIGN__PROJECTS__0__NAME", "Example \"2\""),
                ("COUNTERSIGN__PROJECTS__0__CODE_LIFE_MINUTES", "5"),
                ("COUNTERSIGN__log__Level", "warn"),
                ("COUNTERSIGN_SERVER_LISTEN", "not ours"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
    assert_eq!(config.origin.as_ref().unwrap().as_str(), "https://other.example.com");
    assert_eq!(config.listen, "0.0.0.0:80".parse().unwrap());
    assert_eq!(config.admin_listen, Some("127.0.0.1:9090".parse().unwrap()));
    assert!(config.trusted_proxies.contains("10.0.0.1".parse().unwrap()));
    assert_eq!(config.database.file(), Some(Path::new("/data/it.db")));
    assert_eq!(config.relays[0].host, "relay.example.com");
    assert_eq!(config.relays[0].security, Security::ImplicitTls);
    let project = config.projects.default_project();
    assert!(project.policy.sign_up);
    assert_eq!(project.name, "Example \"2\"");
    assert_eq!(project.policy.code_life, Duration::from_mins(5));
    assert_eq!(config.log.level, tracing::Level::WARN);
    // A text that reads as a number is the one thing the environment cannot say.
    assert_eq!(
        folder.refusal(LEAST, &[("COUNTERSIGN__PROJECTS__0__NAME", "1984")]),
        "invalid type: integer `1984`, expected a string"
    );
}

#[test]
fn secrets_may_come_from_the_environment_alone() {
    let folder = Folder::new();
    let text = least_with("keys.master_key_file = \"master.key\"", "");
    let (key, older) = (STANDARD.encode(KEY), STANDARD.encode(OLDER_KEY));
    let environment =
        [("COUNTERSIGN__KEYS__MASTER_KEY", key.as_str()), ("COUNTERSIGN__KEYS__OLDER_MASTER_KEY", older.as_str())];
    let config = folder.parse(&text, &environment).unwrap();
    let from_files = folder.parse(
        &least_with(
            "keys.master_key_file = \"master.key\"",
            "keys = { master_key_file = 'master.key', older_master_key_files = ['older.key'] }",
        ),
        &[],
    );
    let id = |config: &Config| engine::Keys::new(&config.master_key).unwrap().newest();
    assert_eq!(id(&config), id(&from_files.unwrap()));
}

#[test]
fn the_environment_is_refused_where_it_names_nothing() {
    let folder = Folder::new();
    for (name, sentence) in [
        (
            "COUNTERSIGN__SERVER__PORT",
            "unknown field `port`, expected one of `listen`, `admin_listen`, `trusted_proxies`, `root`",
        ),
        ("COUNTERSIGN__", "COUNTERSIGN__ in the environment names no key of the configuration"),
        ("COUNTERSIGN__SERVER__", "COUNTERSIGN__SERVER__ in the environment names no key of the configuration"),
        ("COUNTERSIGN__ORIGIN__HOST", "COUNTERSIGN__ORIGIN__HOST in the environment names no key of the configuration"),
        (
            "COUNTERSIGN__PROJECTS__1__ID",
            "COUNTERSIGN__PROJECTS__1__ID in the environment names no key of the configuration",
        ),
        (
            "COUNTERSIGN__PROJECTS__X__ID",
            "COUNTERSIGN__PROJECTS__X__ID in the environment names no key of the configuration",
        ),
        ("COUNTERSIGN__PROJECTS__0", "COUNTERSIGN__PROJECTS__0 in the environment names no key of the configuration"),
    ] {
        assert_eq!(folder.refusal(LEAST, &[(name, "x")]), sentence);
    }
}
