//! What is said to strangers, and what is not.

use serde_json::json;
use testkit::server::{Answer, Request, Server, stands_in};

use super::journey::{KEYS, START, VERIFY, Verdict, code_to, flow_of, other_than, start_request, verify_request};
use crate::support::BINARY;

/// Every answer that a stranger got, to look through afterwards.
struct Overheard<'a> {
    server: &'a Server,
    answers: Vec<Answer>,
}

impl Overheard<'_> {
    async fn send(&mut self, request: &Request) -> Answer {
        let answer = self.server.client().send(request).await;
        self.answers.push(answer.clone());
        answer
    }
}

#[tokio::test]
async fn st_23_no_answer_but_the_inbox_ever_holds_a_live_code() {
    let server = Server::dev(BINARY, &[]).await;
    let mut overheard = Overheard { server: &server, answers: Vec::new() };
    let mut codes = Vec::new();
    for number in 0..6 {
        let address = format!("person-{number}@example.com");
        let flow = flow_of(&overheard.send(&start_request(&address)).await);
        let code = code_to(&mut server.client(), &address).await;
        server.is_secret(&code);
        server.is_secret(&flow);
        let almost = [
            verify_request(&flow, &other_than(&code)),
            verify_request("00000000-0000-4000-8000-000000000000", &code),
            verify_request("no uuid", &code),
            verify_request("", &code),
            Request::post(VERIFY, format!(r#"{{"auth_flow_token":"{flow}","code":"{code}"#)),
            Request::post(VERIFY, json!({ "auth_flow_token": flow, "code": [&code] }).to_string()),
            Request::post(VERIFY, format!(r#"{{"auth_flow_token":"{flow}","code":"{code}","code":"{code}"}}"#)),
            Request::post(VERIFY, format!(r#"{{"auth_flow_token":"{flow}","code":{code}}}"#)),
            Request::post(VERIFY, format!(r#""{code}""#)),
            Request::post(VERIFY, code.clone()),
            Request::post(VERIFY, json!({ "auth_flow_token": code, "code": code }).to_string()),
            Request::post(START, json!({ "email": code }).to_string()),
            Request::post(START, json!({ &code: code }).to_string()),
            Request::get(&format!("{VERIFY}?code={code}&auth_flow_token={flow}")),
            Request::post(&format!("{VERIFY}?code={code}&auth_flow_token={flow}"), "{}"),
            Request::get(&format!("/v1/{code}")),
            Request::get(KEYS),
            start_request(&address),
        ];
        for request in &almost {
            overheard.send(request).await;
        }
        let right = overheard.send(&verify_request(&flow, &code)).await;
        let Verdict::Token(token) = Verdict::of(&right) else { panic!("the code is right: {}", right.whole()) };
        server.is_secret(&token);
        codes.push(code);
    }
    for answer in &overheard.answers {
        for code in &codes {
            assert!(!stands_in(code, &answer.whole()), "{code} is in {}", answer.whole());
        }
    }
    // The database and the log are looked through here: query strings and broken bodies are in neither.
    server.stop().await;
}

#[tokio::test]
async fn st_60_no_answer_to_a_sign_in_may_be_kept() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let started = client.send(&start_request("ada@example.com")).await;
    let flow = flow_of(&started);
    let code = code_to(&mut client, "ada@example.com").await;
    let mut answers = vec![started];
    for request in [
        verify_request(&flow, &other_than(&code)),
        verify_request(&flow, ""),
        Request::post(START, "{"),
        Request::post(START, vec![b' '; 1024 * 1024]),
        Request::new("PUT", START),
        Request::new("HEAD", START),
        Request::new("OPTIONS", START)
            .header("origin", "https://a.example")
            .header("access-control-request-method", "POST"),
        Request::get("/v1/unknown"),
        Request::get("/"),
        verify_request(&flow, &code),
        Request::get("/dev/messages"),
        Request::get("/dev/inbox"),
    ] {
        answers.push(client.send(&request).await);
    }
    for answer in &answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.whole());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{}", answer.whole());
        assert_eq!(answer.header("server"), None);
    }
    server.stop().await;
}

/// The searches of these tests find what is there.
#[tokio::test]
#[should_panic(expected = "a secret is in")]
async fn what_is_in_the_database_is_found_in_it() {
    let server = Server::dev(BINARY, &[]).await;
    super::journey::start(&mut server.client(), "ada@example.com").await;
    server.is_secret("ada@example.com");
    server.stop().await;
}
