//! Signing in by a code.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use testkit::world::other_than;
use tokio::task::JoinSet;

use crate::entering::{VERSION, submit, telling, with_person};
use crate::support::{ADA, Answer, BOB, CSRF_COOKIE, Mounted, NOBODY, ask};

const SESSION_COOKIE: &str = "ory_kratos_session";

#[tokio::test]
async fn a_native_client_signs_in_and_the_address_is_verified_by_it() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let begun = native.get("/self-service/login/api").await.is(200);
    assert_eq!(begun.state(), "choose_method");
    assert_eq!(begun.nodes(), ["identifier:text=!", "method:submit=code"]);
    let members = ["organization_id", "refresh", "requested_aal", "created_at", "updated_at"];
    assert!(members.iter().all(|member| begun.json().get(member).is_some()), "{begun}");
    assert!(begun.json().get("active").is_none() && begun.cookies().is_empty(), "{begun}");
    let id = begun.id();

    let body = json!({"method": "code", "identifier": " ADA@Example.org ", "transient_payload": {"a": 1}});
    let sent = native.hand_in("login", &id, &body).await.is(400);
    assert_eq!((sent.id(), sent.state().as_str(), sent.messages()), (id.clone(), "sent_email", vec![1_010_014]));
    assert_eq!((&sent.json()["transient_payload"], &sent.json()["active"]), (&json!({"a": 1}), &json!("code")));
    let form = [
        "identifier:hidden= ada@example.org !",
        "method:hidden=code",
        "code:text!",
        "method:submit=code",
        "resend:submit=code",
    ];
    assert_eq!(sent.nodes(), form);
    assert!(!mounted.is_verified(ADA).await);

    let code = mounted.code(ADA).await;
    let done = native.log_in(&id, ADA, Some(&code)).await.is(200);
    assert!(done.cookies().is_empty(), "{done}");
    let body = done.json();
    assert_eq!(body["continue_with"], Value::Null);
    assert_eq!(body["session"]["authentication_methods"][0]["method"], "code");
    assert_eq!(body["session"]["identity"]["verifiable_addresses"][0]["status"], "completed");
    assert!(mounted.is_verified(ADA).await);
    let token = body["session_token"].as_str().unwrap();
    assert_eq!(native.whoami(&[("x-session-token", token)]).await.is(200).json(), body["session"]);
    // Once.
    let again = native.log_in(&id, ADA, Some(&code)).await.is(400);
    assert_eq!((again.messages(), again.state().as_str()), (vec![4_010_007], "passed_challenge"));
}

#[tokio::test]
async fn a_wrong_code_is_told_a_new_one_replaces_the_old_and_messages_replace_each_other() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, first) = mounted.login_sent(ADA).await;
    let form = [
        "csrf_token:hidden=!",
        "identifier:hidden=ada@example.org",
        "code:text!",
        "resend:submit=code",
        "method:hidden=code",
        "method:submit=code",
    ];
    for _ in 0..2 {
        let wrong = native.log_in(&id, ADA, Some(&other_than(&first))).await.is(400);
        assert_eq!((wrong.messages(), wrong.nodes()), (vec![4_010_008], form.map(str::to_owned).to_vec()));
    }
    let missing = native.hand_in("login", &id, &json!({"method": "code", "code": first})).await.is(400);
    assert_eq!(missing.messages(), [0_u64; 0]);
    assert_eq!(missing.nodes()[1], "identifier:hidden= 4000002");
    assert_eq!(native.look("login", &id).await.nodes(), missing.nodes());

    let body = json!({"method": "code", "identifier": ADA, "resend": "code", "code": first});
    let sent = native.hand_in("login", &id, &body).await.is(400);
    assert_eq!(sent.messages(), [1_010_014]);
    assert_eq!(sent.nodes()[0], "identifier:hidden=ada@example.org");
    let second = mounted.code(ADA).await;
    assert_eq!(native.log_in(&id, ADA, Some(&first)).await.is(400).messages(), [4_010_008]);
    native.log_in(&id, ADA, Some(&second)).await.is(200);
}

#[tokio::test]
async fn a_browser_is_sent_from_page_to_page_and_has_two_new_cookies_at_the_end() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let browser = mounted.browser();
    let begun = browser.get("/self-service/login/browser?return_to=https://ui.test/in").await.is(303);
    let id = begun.leads_to();
    assert_eq!(begun.location(), format!("https://ui.test/login?flow={id}"));
    let token = browser.look("login", &id).await.is(200).value_of("csrf_token");
    let before = browser.cookie(CSRF_COOKIE).unwrap();
    let form = format!("method=code&identifier={ADA}&csrf_token={}", token.replace('+', "%2B"));
    let sent = browser.post_form(&submit("login", &id), &form).await.is(303);
    assert_eq!(sent.location(), begun.location());
    let page = browser.look("login", &id).await.is(200);
    assert_eq!((page.messages(), page.nodes().last().unwrap().as_str()), (vec![1_010_014], "csrf_token:hidden=*!"));
    let wrong = browser.post_form(&submit("login", &id), &format!("{form}&code=1")).await.is(303);
    assert_eq!(wrong.location(), begun.location());
    assert_eq!(browser.look("login", &id).await.messages(), [4_010_008]);

    let code = mounted.code(ADA).await;
    let done = browser.post_form(&submit("login", &id), &format!("{form}&code={code}")).await.is(303);
    assert_eq!((done.location(), done.header("content-type"), done.body.as_str()), ("https://ui.test/in", "", ""));
    assert_ne!(browser.cookie(CSRF_COOKIE).unwrap(), before);
    let lines: Vec<_> = done.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    let line = lines.iter().find(|line| line.starts_with(SESSION_COOKIE)).unwrap();
    for attribute in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure", "Max-Age=86400", "Expires="] {
        assert!(line.contains(attribute), "{attribute}: {line}");
    }
    browser.whoami(&[]).await.is(200);
    assert_eq!(browser.get("/self-service/login/browser").await.is(303).location(), "https://ui.test/");
}

#[tokio::test]
async fn a_script_is_given_a_session_and_no_token_and_is_not_asked_twice() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let script = mounted.script();
    let done = script.sign_in(&mounted, ADA).await;
    let body = done.json();
    assert!(body.get("session_token").is_none(), "{done}");
    assert_eq!(
        body["continue_with"],
        json!([{"action": "redirect_browser_to", "redirect_browser_to": "https://ui.test/"}])
    );
    assert_eq!(script.whoami(&[]).await.is(200).json(), body["session"]);
    let (status, id, _) = script.get("/self-service/login/browser").await.error();
    assert_eq!((status, id.as_str()), (400, "session_already_available"));
    // A flow that was begun before is of no use any more either.
    let other = mounted.script();
    let (flow, token) = other.enter_in_browser("login").await;
    other.sign_in(&mounted, ADA).await;
    let body = json!({"method": "code", "identifier": ADA, "csrf_token": token});
    let (_, id, _) = other.hand_in("login", &flow, &body).await.error();
    assert_eq!(id, "session_already_available");
}

#[tokio::test]
async fn who_confirms_who_it_is_has_a_new_session_and_the_old_one_is_over() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let script = mounted.script();
    let before = script.sign_in(&mounted, ADA).await.json()["session"]["id"].clone();
    let stale = script.cookie(SESSION_COOKIE).unwrap();
    let csrf = script.cookie(CSRF_COOKIE).unwrap();
    let begun = script.get("/self-service/login/browser?refresh=true").await.is(200);
    assert_eq!((begun.json()["refresh"].as_bool(), begun.messages()), (Some(true), vec![1_010_003]));
    let (id, token) = (begun.id(), begun.value_of("csrf_token"));
    let mut body = json!({"method": "code", "identifier": ADA, "csrf_token": token});
    script.hand_in("login", &id, &body).await.is(400);
    body["code"] = mounted.code(ADA).await.into();
    let done = script.hand_in("login", &id, &body).await.is(200);
    assert_ne!(done.json()["session"]["id"], before);
    assert_eq!(script.cookie(CSRF_COOKIE).unwrap(), csrf, "a form that is open elsewhere is still good");
    script.whoami(&[]).await.is(200);
    mounted.native().whoami(&[("cookie", &format!("{SESSION_COOKIE}={stale}"))]).await.is(401);
    // Who is not signed in has nothing to confirm.
    let begun = mounted.script().get("/self-service/login/browser?refresh=true").await.is(200);
    assert_eq!((begun.json()["refresh"].as_bool(), begun.messages().len()), (Some(false), 0));
}

#[tokio::test]
async fn second_factors_are_not_offered() {
    let mounted = Mounted::new().await;
    for aal in ["aal2", "aal3", "x"] {
        let (status, id, _) = mounted.native().get(&format!("/self-service/login/api?aal={aal}")).await.error();
        assert_eq!((status, id.as_str()), (400, ""), "{aal}");
    }
    mounted.native().get("/self-service/login/api?aal=aal1").await.is(200);
}

#[tokio::test]
async fn an_unknown_account_is_told_where_the_policy_reveals_accounts() {
    let mounted = Mounted::under(telling(), &[]).await;
    let native = mounted.native();
    let id = native.enter("login").await;
    for unknown in [NOBODY, "nonsense", "a b"] {
        let answer = native.log_in(&id, unknown, None).await.is(400);
        assert_eq!((answer.messages(), answer.state().as_str()), (vec![4_000_035], "choose_method"));
        assert_eq!(
            answer.nodes(),
            ["csrf_token:hidden=!".to_owned(), format!("identifier:text={unknown}!"), "method:submit=code".to_owned()]
        );
    }
    mounted.person(ADA).await;
    assert_eq!(native.log_in(&id, ADA, None).await.is(400).messages(), [1_010_014]);
}

/// All that somebody sees who signs in as `email` without reading its mail, and all that it costs.
async fn seen(mounted: &Mounted, email: &str) -> (Vec<String>, Vec<&'static str>) {
    let native = mounted.native();
    let id = native.enter("login").await;
    mounted.world.calls.take_calls();
    let mut answers: Vec<Answer> = vec![native.log_in(&id, email, None).await];
    for _ in 0..6 {
        answers.push(native.log_in(&id, email, Some("00000x")).await);
    }
    answers.push(native.look("login", &id).await);
    answers.push(native.log_in(&id, email, None).await);
    let answers = answers.iter().map(|answer| answer.masked(&id, email));
    (answers.collect(), mounted.world.calls.take_calls())
}

#[tokio::test]
async fn st_34_who_has_an_account_cannot_be_told_from_who_has_none() {
    let mounted = Mounted::with(&[(VERSION, &with_person())]).await;
    mounted.added(json!({"email": "amanda@example.org", "backup": "backup@example.org"})).await;
    let known = seen(&mounted, "amanda@example.org").await;
    assert!(known.0[0].starts_with("400\n") && known.0[0].contains("1010014") && known.0[6].contains("4000001"));
    assert_eq!(known, seen(&mounted, NOBODY).await);
    assert_eq!(known.0, seen(&mounted, "backup@example.org").await.0, "nor from an address that signs nobody in");
    assert_eq!((mounted.mails(NOBODY).await.len(), mounted.mails("backup@example.org").await.len()), (0, 0));
}

#[tokio::test]
async fn st_40_a_form_of_another_site_is_refused_whatever_it_brings() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let script = mounted.script();
    let (id, token) = script.enter_in_browser("login").await;
    let violation =
        |answer: Answer| assert_eq!(answer.error(), (403, "security_csrf_violation".to_owned(), String::new()));
    violation(script.log_in(&id, ADA, None).await);
    let (_, other) = mounted.script().enter_in_browser("login").await;
    let body = json!({"method": "code", "identifier": ADA, "csrf_token": other});
    violation(script.hand_in("login", &id, &body).await);
    assert_eq!(mounted.mails(ADA).await.len(), 0);
    // Nor does a right code pass without the token: it would sign the browser in as whoever made the form.
    let body = json!({"method": "code", "identifier": ADA, "csrf_token": token});
    script.hand_in("login", &id, &body).await.is(400);
    let code = mounted.code(ADA).await;
    violation(script.log_in(&id, ADA, Some(&code)).await);
    violation(
        mounted
            .script()
            .hand_in("login", &id, &json!({"method": "code", "identifier": ADA, "code": code, "csrf_token": token}))
            .await,
    );
    // The flow is none the worse for it.
    let body = json!({"method": "code", "identifier": ADA, "csrf_token": token, "code": code});
    script.hand_in("login", &id, &body).await.is(200);
}

#[tokio::test]
async fn st_40_a_native_flow_takes_nothing_from_a_browser() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let id = native.enter("login").await;
    let body = json!({"method": "code", "identifier": ADA}).to_string();
    for header in [("origin", "https://ui.test"), ("cookie", "theme=dark")] {
        let headers = [("content-type", "application/json"), header];
        let answer =
            native.ask(native.request(Method::POST, &submit("login", &id), &headers, body.clone())).await.is(400);
        assert_eq!((answer.messages(), answer.state().as_str()), (vec![4_000_001], "choose_method"), "{header:?}");
    }
    let headers = [("content-type", "application/json"), ("cookie", "__cf_bm=1; cf_clearance=2")];
    let answer = native.ask(native.request(Method::POST, &submit("login", &id), &headers, body)).await.is(400);
    assert_eq!(answer.messages(), [1_010_014]);
}

#[tokio::test]
async fn a_code_is_good_for_whom_it_was_sent_to_and_asking_for_another_costs_nothing() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    mounted.person(BOB).await;
    let native = mounted.native();
    let (id, code) = mounted.login_sent(ADA).await;
    for _ in 0..7 {
        let wrong = native.log_in(&id, BOB, Some(&code)).await.is(400);
        assert_eq!(
            (wrong.messages(), wrong.nodes()[1].as_str()),
            (vec![4_010_008], "identifier:hidden=bob@example.org")
        );
    }
    native.log_in(&id, ADA, Some(&code)).await.is(200);
}

#[tokio::test]
async fn five_wrong_codes_end_a_login_and_the_right_one_does_not_pass_after_them() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.login_sent(ADA).await;
    for _ in 0..5 {
        assert_eq!(native.log_in(&id, ADA, Some(&other_than(&code))).await.is(400).messages(), [4_010_008]);
    }
    let over = native.log_in(&id, ADA, Some(&code)).await.is(400);
    assert_eq!((over.id(), over.messages()), (id.clone(), vec![4_000_001]));
    assert_eq!(native.log_in(&id, ADA, None).await.is(400).messages(), [4_000_001]);
    assert_eq!(mounted.mails(ADA).await.len(), 1);
}

#[tokio::test]
async fn thirty_two_right_codes_at_once_open_one_session() {
    let mounted = Mounted::new().await;
    let ada = mounted.person(ADA).await;
    let (id, code) = mounted.login_sent(ADA).await;
    let body = json!({"method": "code", "identifier": ADA, "code": code}).to_string();
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let headers = [("content-type", "application/json")];
        let request = mounted.native().request(Method::POST, &submit("login", &id), &headers, body.clone());
        all.spawn(ask(mounted.router(), request));
    }
    let answers = all.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().filter(|answer| answer.status != 200).all(|answer| answer.messages() == [4_010_007]));
    let project = mounted.engine().projects().default_project();
    let context = mounted.engine().context(project, "kratos", engine::Client::default());
    assert_eq!(mounted.engine().sessions(&context, ada).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_expired_login_is_replaced_by_one_that_goes_to_the_same_place() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let id = native.get("/self-service/login/api?return_to=https://ui.test/in").await.is(200).id();
    let browser = mounted.browser();
    let (page, token) = browser.enter_in_browser("login").await;
    mounted.world.clock.advance(Duration::from_hours(1));
    let gone = native.look("login", &id).await;
    assert_eq!(gone.error(), (410, "self_service_flow_expired".to_owned(), String::new()));
    assert_eq!(gone.json()["error"]["details"]["api"], "https://accounts.test/self-service/login/api");
    let (status, error, next) = native.log_in(&id, ADA, None).await.error();
    assert_eq!((status, error.as_str()), (410, "self_service_flow_expired"));
    let next = native.look("login", &next).await.is(200);
    assert_eq!((next.messages(), &next.json()["return_to"]), (vec![4_010_001], &json!("https://ui.test/in")));
    assert_eq!(next.json()["type"], "api");

    let form = format!("method=code&identifier={ADA}&csrf_token={}", token.replace('+', "%2B"));
    let next = browser.post_form(&submit("login", &page), &form).await.is(303).leads_to();
    assert_ne!(next, page);
    assert_eq!(browser.look("login", &next).await.is(200).messages(), [4_010_001]);
    assert_eq!(mounted.mails(ADA).await.len(), 0);
}

#[tokio::test]
async fn a_code_that_came_too_late_ends_the_flow_of_old_and_is_a_wrong_one_since() {
    let short = ("config: {}", "config: {lifespan: 5m}");
    let mounted = Mounted::with(&[short]).await;
    mounted.person(ADA).await;
    let (id, code) = mounted.login_sent(ADA).await;
    mounted.world.clock.advance(Duration::from_mins(5));
    let (status, error, next) = mounted.native().log_in(&id, ADA, Some(&code)).await.error();
    assert_eq!((status, error.as_str()), (410, "self_service_flow_expired"));
    assert_eq!(mounted.native().look("login", &next).await.is(200).messages(), [4_010_001]);

    let mounted = Mounted::with(&[short, (VERSION, "")]).await;
    mounted.person(ADA).await;
    let (id, code) = mounted.login_sent(ADA).await;
    mounted.world.clock.advance(Duration::from_mins(5));
    let late = mounted.native().log_in(&id, ADA, Some(&code)).await.is(400);
    assert_eq!((late.id(), late.messages()), (id.clone(), vec![4_010_008]));
    mounted.native().log_in(&id, ADA, None).await.is(400);
    let fresh = mounted.code(ADA).await;
    mounted.native().log_in(&id, ADA, Some(&fresh)).await.is(200);
}

#[tokio::test]
async fn who_may_not_sign_in_is_told_so_once_the_code_is_right() {
    let mounted = Mounted::new().await;
    let body = json!({"traits": {"email": ADA}, "state": "inactive"});
    let id = mounted.operate(Method::POST, "/admin/identities", body).await.is(201).id();
    let (flow, code) = mounted.login_sent(ADA).await;
    let refused = mounted.native().log_in(&flow, ADA, Some(&code)).await;
    assert_eq!(refused.error(), (401, String::new(), String::new()));
    assert_eq!(refused.json()["error"]["details"]["identity_id"], id);
}

#[tokio::test]
async fn a_login_without_a_flow_a_method_or_a_body_goes_nowhere() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let body = json!({"method": "code", "identifier": ADA});
    assert_eq!(native.post("/self-service/login", &body).await.error().0, 400);
    assert_eq!(native.post("/self-service/login?flow=x", &body).await.error().0, 400);
    let unknown = submit("login", "6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60");
    assert_eq!(native.post(&unknown, &body).await.error().0, 404);
    let id = native.enter("login").await;
    for method in [json!({"identifier": ADA}), json!({"method": "password", "identifier": ADA})] {
        assert_eq!(native.hand_in("login", &id, &method).await.is(400).messages(), [4_010_002]);
    }
    for (content_type, text) in [("application/json", ""), ("application/json", "{"), ("text/plain", "method=code")] {
        assert_eq!(
            native.post_text(&submit("login", &id), content_type, text).await.is(400).messages(),
            [4_000_001],
            "{text}"
        );
    }
    // A verification is no login.
    let verification = native.begin().await;
    assert_eq!(native.log_in(&verification, ADA, None).await.error().0, 404);
}
