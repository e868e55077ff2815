//! What the file says, what is so without it, and what the operator is told.

use testkit::folder::TempFolder;

use super::*;

/// The least that is a file: it says where the pages are.
const PAGES: &str = "
selfservice:
  default_browser_return_url: https://ui.test/
  flows:
    error: {ui_url: https://ui.test/error}
    login: {ui_url: https://ui.test/login}
    registration: {ui_url: https://ui.test/registration}
";

fn refusal(text: &str) -> String {
    read::config(text, Path::new(""), "https://accounts.test").unwrap_err()
}

#[test]
fn development_needs_no_file() {
    let config = Config::of_development("http://127.0.0.1:8080").unwrap();
    assert_eq!(config.profile, Profile::Newest);
    assert_eq!(config.url("/self-service/login/api"), "http://127.0.0.1:8080/self-service/login/api");
    assert_eq!(config.admin, None);
    assert!(config.verification.enabled && config.login.enabled && config.registration.enabled);
    assert_eq!(config.verification.ui_url, "http://127.0.0.1:4455/verification");
    assert_eq!(config.error_ui_url, "http://127.0.0.1:4455/error");
    assert_eq!(config.default_return_url, "http://127.0.0.1:4455/");
    assert!(config.code.enabled && config.code.passwordless_enabled);
    assert_eq!(config.default_schema.id, "default");
    assert!(!config.cookies.secure, "nobody speaks TLS on this machine");
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_file_without_more_is_what_the_original_makes_of_it() {
    let config = testing::read(PAGES);
    assert!(!config.verification.enabled && config.login.enabled && config.registration.enabled);
    assert_eq!(config.login.lifespan, Duration::from_hours(1));
    let code = CodeConfig { enabled: true, passwordless_enabled: false, lifespan: None, max_submissions: 5 };
    assert_eq!(config.code, code);
    assert_eq!(config.cors, None);
    assert_eq!(config.session.lifespan, Duration::from_hours(24));
    assert_eq!(config.session.cookie_name, "ory_kratos_session");
    assert!(config.session.is_persistent);
    let scope = Scope { path: "/".to_owned(), domain: None, secure: true, same_site: web::cookie::SameSite::Lax };
    assert_eq!((&config.cookies, &config.session.scope), (&scope, &scope));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn everything_that_is_served_can_be_said() {
    let config = testing::read(
        r#"
version: v26.2.0
serve:
  public:
    base_url: "https://accounts.test/auth"
    cors: {enabled: true, allowed_origins: [https://app.test], allow_credentials: false, max_age: 60}
  admin: {base_url: "http://admin.test:4434/"}
selfservice:
  default_browser_return_url: https://ui.test/
  allowed_return_urls: [https://ui.test, "https://*.app.test/in"]
  methods:
    code: {enabled: true, passwordless_enabled: true, config: {lifespan: 15m, max_submissions: 2}}
  flows:
    error: {ui_url: https://ui.test/error}
    login: {ui_url: https://ui.test/login, lifespan: 90s}
    registration: {enabled: false}
    logout: {after: {default_browser_return_url: https://ui.test/bye}}
    verification:
      enabled: true
      use: code
      notify_unknown_recipients: true
      ui_url: /verification
      lifespan: 1h30m
      after: {default_browser_return_url: https://ui.test/verified}
session: {lifespan: 2h, cookie: {name: mine, persistent: false, path: /app}}
cookies: {domain: accounts.test, path: /shop, same_site: None}
courier: {smtp: {from_address: a@example.org, from_name: Ada}}
"#,
    );
    assert_eq!(config.profile, Profile::V26_2);
    assert!(!config.profile.has_autocomplete() && config.profile.replaces_flow_of_expired_code());
    assert_eq!(config.url("/x"), "https://accounts.test/auth/x");
    assert_eq!((config.public.origin.as_str(), config.public.path.as_str()), ("https://accounts.test", "/auth"));
    assert_eq!(config.csrf_cookie, "csrf_token_977cf96c7e54bfc996ca3d13ea3e8ade538d618dcd5d31bb0b1562e92f3402fa");
    let cors = config.cors.unwrap();
    assert_eq!(
        (cors.origins.as_slice(), cors.credentials, cors.max_age),
        (["https://app.test".to_owned()].as_slice(), false, Some(60))
    );
    assert_eq!((cors.methods.len(), cors.headers.len(), cors.exposed.len()), (5, 6, 1));
    assert_eq!(config.admin.unwrap().text, "http://admin.test:4434");
    assert_eq!(config.allowed_return_urls, ["https://ui.test", "https://*.app.test/in"]);
    assert_eq!((config.code.lifespan, config.code.max_submissions), (Some(Duration::from_mins(15)), 2));
    assert_eq!(config.login.lifespan, Duration::from_secs(90));
    assert!(!config.registration.enabled);
    assert_eq!(config.logout_return_url.as_deref(), Some("https://ui.test/bye"));
    let verification = FlowConfig {
        enabled: true,
        ui_url: "/verification".to_owned(),
        lifespan: Duration::from_mins(90),
        after_return_url: Some("https://ui.test/verified".to_owned()),
        notifies_unknown: true,
    };
    assert_eq!(config.verification, verification);
    assert_eq!(config.session.lifespan, Duration::from_hours(2));
    assert_eq!((config.session.cookie_name.as_str(), config.session.is_persistent), ("mine", false));
    let cookies = Scope {
        path: "/shop".to_owned(),
        domain: Some("accounts.test".to_owned()),
        secure: true,
        same_site: web::cookie::SameSite::None,
    };
    assert_eq!(config.session.scope, Scope { path: "/app".to_owned(), ..cookies.clone() });
    assert_eq!(config.cookies, cookies);
    assert_eq!(config.sender.as_deref(), Some("Ada <a@example.org>"));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn what_is_not_done_is_named_once_each() {
    let config = testing::read(&format!(
        r#"{PAGES}
    settings: {{ui_url: https://ui.test/settings}}
    recovery: {{enabled: false, before: {{hooks: []}}, after: {{}}}}
    verification: {{use: link, after: {{hooks: [{{hook: web_hook}}]}}}}
  methods:
    password: {{enabled: true}}
    link: {{enabled: false, config: {{lifespan: 1h}}}}
    code: {{config: {{max_submissions: 9}}}}
version: v1.0.0
dsn: memory
secrets: {{cookie: [x], cipher: [y]}}
serve: {{public: {{port: 4433, cors: {{debug: true}}}}}}
courier: {{smtp: {{connection_uri: "smtp://x"}}, templates: {{a: b}}}}
log: {{level: debug}}
telepathy: true
"#
    ));
    assert_eq!(config.profile, Profile::Newest);
    assert_eq!(config.code.max_submissions, 5);
    let expected = [
        "version v1.0.0 is not one that is told apart here: the newest is spoken",
        "selfservice.methods.code.config.max_submissions is 9, and no flow here takes more than 5 codes",
        "courier.smtp.connection_uri has no meaning here: the server's own configuration says by which relay mail is sent, and from \
         whom",
        "courier.templates.a is not supported and has no effect",
        "dsn has no meaning here: the server keeps its own database",
        "log.level has no meaning here: the server's own configuration says how it logs",
        "secrets.cipher has no meaning here: keys are the server's own",
        "secrets.cookie has no meaning here: keys are the server's own",
        "selfservice.flows.settings.ui_url is not supported and has no effect",
        "selfservice.flows.verification.after.hooks is not supported and has no effect",
        "selfservice.flows.verification.use is not supported and has no effect",
        "selfservice.methods.link.config.lifespan is not supported and has no effect",
        "selfservice.methods.password.enabled is not supported and has no effect",
        "serve.public.cors.debug is not supported and has no effect",
        "serve.public.port has no meaning here: the server's own configuration says where it listens",
        "telepathy is not supported and has no effect",
    ];
    let mut warnings = config.warnings;
    warnings.sort_by_key(|warning| expected.iter().position(|it| it == warning));
    assert_eq!(warnings, expected);
}

#[test]
fn what_cannot_be_meant_is_refused_by_its_key() {
    let with = |line: &str| format!("{PAGES}\n{line}");
    let cases = [
        (with("version: [1]"), "version must be text"),
        (
            with("serve: {public: {base_url: accounts.test}}"),
            "serve.public.base_url: \"accounts.test\" must begin with http:// or https:// and name a host",
        ),
        (
            with("serve: {admin: {base_url: \"http://admin.test/?a\"}}"),
            "serve.admin.base_url: \"http://admin.test/?a\" must be a scheme, a host, perhaps a port and a path, and nothing else",
        ),
        (
            with("session: {lifespan: 1 day}"),
            "session.lifespan: \"1 day\" is no length of time; write it like 1h, 30m or 90s",
        ),
        (with("session: {cookie: {persistent: maybe}}"), "session.cookie.persistent must be true or false"),
        (with("cookies: {same_site: Sometimes}"), "cookies.same_site must be Strict, Lax or None"),
        (with("cookies: {path: \"/; Domain=evil.test\"}"), "cookies: path and domain must be what a cookie may hold"),
        (with("identity: {default_schema_id: nobody}"), "identity.default_schema_id: there is no schema \"nobody\""),
        (with("identity: {schemas: [{id: a}]}"), "identity.schemas[0].url is missing"),
        (
            with("identity: {schemas: [{id: a, url: \"https://a.test/\"}]}"),
            "identity.schemas[0]: url must begin with file:// or base64://; nothing is fetched from a network",
        ),
        (
            "selfservice: {flows: {login: {enabled: true}}}".to_owned(),
            "selfservice.flows.error.ui_url is missing: there is no page to fall back to",
        ),
        ("[1]".to_owned(), "must be a mapping of keys and values"),
        ("a: [".to_owned(), "is no valid YAML"),
    ];
    for path in ["{x}", "a//b", "self-service/x", "admin"] {
        let sentence = refusal(&with(&format!("serve: {{public: {{base_url: \"https://a.test/{path}\"}}}}")));
        assert!(sentence.ends_with("has a path below which nothing can be served"), "{path}: {sentence}");
    }
    for (text, sentence) in cases {
        assert!(refusal(&text).starts_with(sentence), "{}\n{text}", refusal(&text));
    }
    let too_few = PAGES.replace("  flows:", "  methods: {code: {config: {max_submissions: 0}}}\n  flows:");
    assert_eq!(refusal(&too_few), "selfservice.methods.code.config.max_submissions must be at least 1");
}

#[test]
fn no_refusal_quotes_a_secret() {
    let sentence = refusal("secrets:\n  cookie: [hunter2, \"\n");
    assert!(!sentence.contains("hunter2"), "{sentence}");
}

#[test]
fn files_are_found_from_the_file_that_names_them() {
    let folder = TempFolder::new();
    let schema = r#"{"properties": {"traits": {"properties": {"email": {"type": "string"}}}}}"#;
    std::fs::write(folder.path().join("person.json"), schema).unwrap();
    let schemas = "identity: {default_schema_id: person, schemas: [{id: other, url: \"file://person.json\"}, {id: person, url: \"file://person.json\"}]}";
    let path = folder.path().join("kratos.yml");
    std::fs::write(&path, format!("{PAGES}\n{schemas}")).unwrap();
    let config = Config::from_file(&path, "https://accounts.test").unwrap();
    assert_eq!(config.default_schema.id, "person");
    assert_eq!(config.schema("other").unwrap().traits.len(), 1);
    assert!(config.schema("nobody").is_none());
    let missing = Config::from_file(&folder.path().join("none.yml"), "https://accounts.test").unwrap_err().to_string();
    assert!(missing.starts_with("dialects.kratos.config: cannot read "), "{missing}");
}
