//! `countersign dev`: complete without a file, and for this machine only.

use super::*;

/// What `countersign dev` has without a flag.
pub(super) fn development_settings() -> DevelopmentSettings {
    DevelopmentSettings {
        listen: "127.0.0.1:8080".parse().unwrap(),
        admin_listen: None,
        data: "data".into(),
        database: None,
        smtp: None,
        origin: None,
        dialects: HashMap::new(),
        root: None,
        production_policy: false,
        trusted_proxies: Vec::new(),
    }
}

#[test]
fn development_is_complete_without_a_file() {
    let config = Config::development(development_settings()).unwrap();
    assert!(config.is_development);
    assert_eq!(config.origin, None);
    assert_eq!(config.database.file(), Some(Path::new("data/countersign.db")));
    assert!(config.relays.is_empty());
    assert_eq!(config.log, LogSettings { level: tracing::Level::INFO, is_json: false });
    let project = config.projects.default_project();
    assert_eq!(project.id.as_str(), "P2countersigndev000000000000");
    // What development lifts, and the guesses it does not.
    assert_eq!(
        project.policy,
        Policy { send_limit: None, sign_up: true, reveals_accounts: true, max_attempts: 5, ..Policy::default() }
    );
    assert!(config.letterhead(project).is_ok());
}

#[test]
fn development_listens_on_this_machine_only() {
    let sentence = |flag: &str| {
        format!(
            "{flag} must be a loopback address: `countersign dev` shows every code to whoever asks; for others there is \
             `countersign serve`"
        )
    };
    for address in
        ["0.0.0.0:8080", "[::]:8080", "192.168.0.1:8080", "10.0.0.1:0", "[fe80::1]:80", "[::ffff:10.0.0.1]:80"]
    {
        let address = address.parse().unwrap();
        let listen = DevelopmentSettings { listen: address, ..development_settings() };
        assert_eq!(Config::development(listen).unwrap_err().to_string(), sentence("--listen"), "{address}");
        let admin = DevelopmentSettings { admin_listen: Some(address), ..development_settings() };
        assert_eq!(Config::development(admin).unwrap_err().to_string(), sentence("--admin-listen"), "{address}");
    }
    for address in ["127.0.0.1:0", "127.1.2.3:80", "[::1]:8080"] {
        let address = address.parse().unwrap();
        let settings = DevelopmentSettings { listen: address, admin_listen: Some(address), ..development_settings() };
        let config = Config::development(settings).unwrap();
        assert_eq!((config.listen, config.admin_listen), (address, Some(address)));
    }
}

#[test]
fn development_has_a_name_that_is_nobodys() {
    let with = |origin: &str| {
        Config::development(DevelopmentSettings { origin: Some(origin.to_owned()), ..development_settings() })
    };
    for origin in [
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]",
        "https://login.test",
        "http://app.localhost:3000",
        "http://a.b.example",
        "https://login.corp.internal",
        "http://LOGIN.TEST",
    ] {
        assert_eq!(with(origin).unwrap().origin.unwrap().as_str(), origin.to_lowercase(), "{origin}");
    }
    let sentence = "--origin must be loopback, or under .test, .localhost, .example or .internal";
    for origin in [
        "https://login.example.com",
        "http://192.168.0.1",
        "http://test.com",
        "http://mytest",
        "https://localhost.example.com",
        "http://internal.example.org",
        "http://10.0.0.1:8080",
    ] {
        assert_eq!(with(origin).unwrap_err().to_string(), sentence, "{origin}");
    }
    assert_eq!(with("x").unwrap_err().to_string(), "origin \"x\" must begin with https:// or http://");
}

#[test]
fn development_sends_in_clear_to_this_machine_only() {
    let with = |smtp: &str| {
        Config::development(DevelopmentSettings { smtp: Some(smtp.to_owned()), ..development_settings() })
            .map(|config| (config.relays[0].port, config.relays[0].security))
            .map_err(|error| error.to_string())
    };
    assert_eq!(with("smtp://127.0.0.1:1025"), Ok((1025, Security::Plain)));
    assert_eq!(with("smtp://localhost"), Ok((25, Security::Plain)));
    assert_eq!(with("smtp://mail.example.com"), Ok((587, Security::StartTls)));
    assert_eq!(
        with("127.0.0.1:1025"),
        Err("--smtp: a relay's url starts with smtp://, smtps:// or smtp+plain://".to_owned())
    );
}
