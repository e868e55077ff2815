//! The binary with a configuration file of Kratos: as a flag, and in a section of its own.

use testkit::server::{Client, Request, Server, run};

use crate::support::{BINARY, NO_RELAY, configuration, folder_with};

/// With a URL that has a path, and a schema beside the file.
const FILE: &str = r#"
dsn: memory
serve:
  public: {base_url: "https://accounts.test/auth"}
  admin: {base_url: "https://admin.test"}
selfservice:
  default_browser_return_url: https://ui.test/
  flows:
    error: {ui_url: https://ui.test/error}
    login: {ui_url: https://ui.test/login}
    registration: {ui_url: https://ui.test/registration}
    verification: {enabled: true, ui_url: https://ui.test/verification}
identity: {default_schema_id: person, schemas: [{id: person, url: "file://schemas/person.json"}]}
courier: {smtp: {from_address: sender@accounts.test, from_name: Sender}}
"#;

const SCHEMA: &str = r#"{"properties": {"traits": {"properties": {"email": {
    "type": "string", "ory.sh/kratos": {"verification": {"via": "email"}}}}}}}"#;

/// Puts the file and its schema into `folder`.
fn write_file(folder: &std::path::Path) {
    std::fs::create_dir_all(folder.join("kratos/schemas")).unwrap();
    std::fs::write(folder.join("kratos/kratos.yml"), FILE).unwrap();
    std::fs::write(folder.join("kratos/schemas/person.json"), SCHEMA).unwrap();
}

/// What is so however the file was given.
async fn serves_the_file(server: &Server) {
    let mut public = server.client();
    let mut operator = Client::new(server.admin());
    assert_eq!(public.get("/health/ready").await.status, 200);
    assert_eq!(operator.get("/health/ready").await.status, 200);
    assert_eq!(operator.get("/readyz").await.status, 200);
    assert_eq!(public.get("/auth/schemas").await.json()[0]["id"], "person");
    let there = public.get("/admin/identities").await;
    assert_eq!((there.status, there.header("location")), (307, Some("https://admin.test/admin/identities")));
    assert!(server.log().contains("dsn has no meaning here"), "{}", server.log());
}

#[tokio::test]
async fn dev_takes_the_file_as_a_flag_and_answers_unknown_paths_as_the_original() {
    let folder = folder_with("");
    write_file(folder.path());
    let file = folder.path().join("kratos/kratos.yml");
    let server = Server::dev(BINARY, &["--kratos-config", file.to_str().unwrap()]).await;
    serves_the_file(&server).await;
    let mut client = server.client();
    let root = client.get("/").await;
    assert_eq!((root.status, root.header("content-type")), (404, Some("text/plain; charset=utf-8")));
    assert_eq!(client.get("/dev/inbox").await.status, 200, "what is the server's own stays");
    server.stop().await;
}

#[tokio::test]
async fn st_13_a_host_that_a_stranger_names_reaches_no_link() {
    let folder = folder_with("");
    write_file(folder.path());
    let file = folder.path().join("kratos/kratos.yml");
    let server = Server::dev(BINARY, &["--kratos-config", file.to_str().unwrap()]).await;
    let mut client = server.client();
    let asked = |request: Request| {
        let request = request.header("host", "evil.test").header("accept", "application/json");
        request.header("x-forwarded-host", "evil.test").header("forwarded", "host=evil.test")
    };
    let person = r#"{"schema_id": "person", "traits": {"email": "ada@example.org"}}"#;
    assert_eq!(Client::new(server.admin()).send(&asked(Request::post("/admin/identities", person))).await.status, 201);
    let flow = client.send(&asked(Request::get("/self-service/verification/api"))).await.json();
    let (id, action) = (flow["id"].as_str().unwrap(), flow["ui"]["action"].as_str().unwrap());
    assert_eq!(action, format!("https://accounts.test/auth/self-service/verification?flow={id}"));
    let body = r#"{"method": "code", "email": "ada@example.org"}"#;
    let submit = Request::post(&format!("/self-service/verification?flow={id}"), body);
    let sent = client.send(&asked(submit)).await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    let mut sent = sent.json();
    sent["request_url"] = serde_json::Value::Null;
    assert!(!sent.to_string().contains("evil.test"), "{sent}");
    let mails = client.get("/dev/messages").await.text();
    assert!(mails.contains("https://accounts.test/auth/self-service/verification?"), "{mails}");
    assert!(!mails.contains("evil.test"), "{mails}");
    server.stop().await;
}

#[tokio::test]
async fn serve_finds_the_file_from_its_own_and_the_root_is_whose_it_says() {
    let folder = folder_with(&configuration(NO_RELAY, "[dialects.kratos]\nconfig = \"kratos/kratos.yml\""));
    write_file(folder.path());
    let server = Server::serve(BINARY, folder, &[]).await;
    serves_the_file(&server).await;
    let root = server.client().get("/").await;
    assert_eq!((root.status, root.header("set-cookie")), (404, None), "the login surface's");
    assert!(server.log().contains("mail.from says who mails are from"), "{}", server.log());
    server.stop().await;

    let folder = folder_with(&configuration(NO_RELAY, "[dialects.kratos]\nconfig = \"kratos/kratos.yml\""));
    write_file(folder.path());
    let server = Server::serve(BINARY, folder, &[("COUNTERSIGN__SERVER__ROOT", "kratos")]).await;
    let root = server.client().get("/").await;
    assert_eq!((root.status, root.header("content-type")), (404, Some("text/plain; charset=utf-8")));
    server.stop().await;
}

#[tokio::test]
async fn serve_has_no_kratos_unless_it_is_told() {
    let server = Server::serve(BINARY, folder_with(&configuration(NO_RELAY, "")), &[]).await;
    assert_eq!(server.client().get("/health/alive").await.status, 404);
    assert_eq!(Client::new(server.admin()).get("/admin/identities").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused_in_one_sentence() {
    let folder = folder_with("");
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--kratos-config", "none.yml"];
    let ran = run(BINARY, folder.path(), &arguments, &[]).await;
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    assert!(ran.stderr.starts_with("countersign: dialects.kratos.config: cannot read none.yml"), "{ran:?}");
}
