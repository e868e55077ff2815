//! Signing up by a code.

use std::time::Duration;

use engine::Policy;
use http::Method;
use serde_json::{Value, json};
use testkit::world::{other_than, unlimited};
use tokio::task::JoinSet;

use crate::entering::{VERSION, submit, telling, with_person};
use crate::support::{ADA, Answer, BOB, Mounted, NOBODY, ask};

/// The surface with a schema of several traits.
async fn with_schema() -> Mounted {
    Mounted::with(&[(VERSION, &with_person())]).await
}

/// The line of the configuration that offers registration.
const OFFERED: &str = "registration: {ui_url: https://ui.test/registration}";

/// With this in its place, whoever registers is signed in and shown what is to be verified next.
const SIGNS_IN: &str = "registration: {ui_url: https://ui.test/registration, \
                        after: {code: {hooks: [{hook: session}, {hook: show_verification_ui}]}}}";

#[tokio::test]
async fn a_native_client_signs_up_and_the_address_is_verified() {
    let mounted = with_schema().await;
    let native = mounted.native();
    let begun = native.get("/self-service/registration/api").await.is(200);
    let form = [
        "csrf_token:hidden=!",
        "traits.email:email!",
        "traits.name:text",
        "traits.backup:email",
        "traits.age:number",
        "traits.news:checkbox",
        "method:submit=profile",
    ];
    assert_eq!((begun.state().as_str(), begun.nodes()), ("choose_method", form.map(str::to_owned).to_vec()));
    assert!(begun.json().get("organization_id").is_some() && begun.json().get("refresh").is_none());
    let id = begun.id();
    let traits = json!({"email": "Ada@example.org", "name": "Ada"});
    let sent = native.register(&id, &traits, None).await.is(400);
    assert_eq!((sent.state().as_str(), sent.messages()), ("sent_email", vec![1_040_005]));
    assert_eq!(sent.nodes()[1], "traits.email:hidden=Ada@example.org!");
    assert_eq!(
        sent.nodes()[6..],
        [
            "method:hidden=code",
            "code:text!",
            "method:submit=code",
            "resend:submit=code",
            "screen:submit=credential-selection"
        ]
    );
    assert!(mounted.engine().owner(mounted.world.project(), &crate::support::address(ADA)).await.is_err());

    let code = mounted.code(ADA).await;
    let wrong = native.register(&id, &traits, Some(&other_than(&code))).await.is(400);
    assert_eq!(wrong.messages(), [4_040_003]);
    assert_eq!(
        wrong.nodes()[6..],
        [
            "code:text!",
            "resend:submit=code",
            "method:hidden=code",
            "method:submit=code",
            "screen:submit=credential-selection"
        ]
    );
    let done = native.register(&id, &traits, Some(&code)).await.is(200).json();
    assert_eq!((&done["continue_with"], &done["identity"]["traits"]), (&Value::Null, &traits));
    assert!(done.get("session_token").is_none());
    let address = &done["identity"]["verifiable_addresses"][0];
    assert_eq!((&address["value"], &address["status"]), (&json!(ADA), &json!("completed")));
    let seen = mounted.seen(done["identity"]["id"].as_str().unwrap()).await;
    assert_eq!((&seen["schema_id"], &seen["credentials"]["code"]["identifiers"]), (&json!("person"), &json!([ADA])));
    let over = native.register(&id, &traits, Some(&code)).await.is(400);
    assert_eq!((over.messages(), over.state().as_str()), (vec![4_040_002], "passed_challenge"));
}

#[tokio::test]
async fn one_goes_from_who_it_is_to_how_to_sign_in_and_back() {
    let mounted = with_schema().await;
    let native = mounted.native();
    let id = native.enter("registration").await;
    let step = async |body: Value| native.hand_in("registration", &id, &body).await.is(400);
    let traits = json!({"email": ADA, "name": ""});
    let chosen = step(json!({"method": "profile", "traits": traits})).await;
    assert_eq!((chosen.messages(), chosen.state().as_str()), (vec![1_040_009], "choose_method"));
    assert_eq!(chosen.nodes()[1..3], ["traits.email:hidden=ada@example.org!", "traits.name:hidden"]);
    assert_eq!(chosen.nodes()[6..], ["method:submit=code", "screen:submit=previous"]);
    assert_eq!(native.look("registration", &id).await.nodes(), chosen.nodes());
    let back = step(json!({"method": "profile", "screen": "previous", "traits": traits})).await;
    assert_eq!((back.messages().len(), back.nodes()[1].as_str()), (0, "traits.email:email=ada@example.org!"));

    let wrong = step(json!({"method": "profile", "traits": {"email": "nope", "shoe": 42}})).await;
    assert_eq!(wrong.nodes()[1], "traits.email:email=nope! 4000040");
    assert_eq!(wrong.nodes().last().unwrap(), "traits:text 4000001");
    let empty = step(json!({"method": "profile"})).await;
    assert_eq!(empty.nodes()[1], "traits.email:email! 4000002");
    // From the code back to the choice, and to the code again: the first code is still good.
    step(json!({"method": "code", "traits": traits})).await;
    let code = mounted.code(ADA).await;
    let chosen = step(json!({"method": "profile", "screen": "credential-selection", "traits": traits})).await;
    assert_eq!((chosen.messages(), chosen.state().as_str()), (vec![1_040_009], "choose_method"));
    native.register(&id, &traits, Some(&code)).await.is(200);
}

#[tokio::test]
async fn in_one_step_there_is_no_profile() {
    let unified = "registration: {ui_url: https://ui.test/registration, style: unified}";
    let mounted = Mounted::with(&[(OFFERED, unified)]).await;
    let native = mounted.native();
    let begun = native.get("/self-service/registration/api").await.is(200);
    assert_eq!(begun.nodes(), ["csrf_token:hidden=!", "traits.email:email!", "method:submit=code"]);
    let body = json!({"method": "profile", "traits": {"email": ADA}});
    assert_eq!(native.hand_in("registration", &begun.id(), &body).await.is(400).messages(), [4_010_003]);
    let sent = native.register(&begun.id(), &json!({"email": ADA}), None).await.is(400);
    assert!(!sent.nodes().iter().any(|node| node.starts_with("screen")), "{sent}");
}

#[tokio::test]
async fn a_plain_form_signs_up_with_text_alone() {
    let mounted = with_schema().await;
    let browser = mounted.browser();
    let id = browser.get("/self-service/registration/browser").await.is(303).leads_to();
    let token = browser.look("registration", &id).await.is(200).value_of("csrf_token").replace('+', "%2B");
    let form =
        format!("csrf_token={token}&traits.email={ADA}&traits.name=&traits.backup=&traits.age=36&traits.news=true");
    let page = format!("https://ui.test/registration?flow={id}");
    assert_eq!(
        browser.post_form(&submit("registration", &id), &format!("{form}&method=profile")).await.is(303).location(),
        page
    );
    assert_eq!(
        browser.post_form(&submit("registration", &id), &format!("{form}&method=code")).await.is(303).location(),
        page
    );
    assert_eq!(browser.look("registration", &id).await.messages(), [1_040_005]);
    let code = mounted.code(ADA).await;
    let done =
        browser.post_form(&submit("registration", &id), &format!("{form}&method=code&code={code}")).await.is(303);
    assert_eq!(done.location(), "https://ui.test/");
    let owner = mounted.engine().owner(mounted.world.project(), &crate::support::address(ADA)).await.unwrap();
    let traits: Value = serde_json::from_str(&owner.identity.traits).unwrap();
    assert_eq!(traits, json!({"email": ADA, "age": 36, "news": true}));
}

#[tokio::test]
async fn other_traits_than_the_code_was_sent_for_are_refused_and_do_no_harm() {
    let mounted = with_schema().await;
    let native = mounted.native();
    let traits = json!({"email": ADA});
    let (id, code) = mounted.registration_sent(&traits).await;
    for other in [json!({"email": BOB}), json!({"email": ADA, "name": "Eve"})] {
        let refused = native.register(&id, &other, Some(&code)).await.is(400);
        assert_eq!(
            (refused.messages(), refused.nodes()[1].as_str()),
            (vec![4_000_036], "traits.email:hidden=ada@example.org!")
        );
    }
    let refused = native.register(&id, &json!({"email": "nope"}), Some(&code)).await.is(400);
    assert_eq!(refused.nodes()[1], "traits.email:email=ada@example.org! 4000040");
    native.register(&id, &traits, Some(&code)).await.is(200);
}

#[tokio::test]
async fn a_taken_address_is_told_where_the_policy_reveals_accounts() {
    let mounted = Mounted::under(telling(), &[(VERSION, &with_person())]).await;
    let native = mounted.native();
    mounted.signed_up(&json!({"email": ADA, "backup": BOB})).await;
    let id = native.enter("registration").await;
    for taken in [ADA, BOB] {
        let refused = native.register(&id, &json!({"email": taken}), None).await.is(400);
        assert_eq!((refused.messages(), refused.state().as_str()), (vec![4_000_007], "choose_method"), "{taken}");
        assert_eq!(refused.nodes()[1], format!("traits.email:email={taken}!"));
    }
}

/// All that somebody sees who signs up as `email` without reading its mail.
async fn seen(mounted: &Mounted, email: &str) -> Vec<String> {
    let native = mounted.native();
    let id = native.enter("registration").await;
    let traits = json!({"email": email});
    let mut answers: Vec<Answer> = vec![native.register(&id, &traits, None).await];
    for _ in 0..6 {
        answers.push(native.register(&id, &traits, Some("00000x")).await);
    }
    answers.push(native.look("registration", &id).await);
    answers.iter().map(|answer| answer.masked(&id, email)).collect()
}

#[tokio::test]
async fn st_34_a_taken_address_cannot_be_told_from_a_free_one() {
    let mounted = with_schema().await;
    mounted.signed_up(&json!({"email": "amanda@example.org", "backup": "backup@example.org"})).await;
    let mails = mounted.mails("amanda@example.org").await.len();
    let free = seen(&mounted, NOBODY).await;
    assert!(free[0].starts_with("400\n") && free[0].contains("1040005"), "{}", free[0]);
    assert_eq!(seen(&mounted, "amanda@example.org").await, free);
    assert_eq!(seen(&mounted, "backup@example.org").await, free);
    assert_eq!(mounted.mails("amanda@example.org").await.len(), mails, "whoever has it is not written to");
    assert_eq!(mounted.mails(NOBODY).await.len(), 1);
}

/// An account that was prepared for somebody else must not be where he ends up.
#[tokio::test]
async fn an_address_claimed_beside_a_proved_one_leads_nobody_into_that_account() {
    let mounted = Mounted::with(&[(VERSION, &with_person()), (OFFERED, SIGNS_IN)]).await;
    let eve = mounted.signed_up(&json!({"email": "eve@example.org", "backup": ADA})).await;
    // The mail says what it is for; its owner does not follow it, and signs up and in by himself.
    let mails = mounted.mails(ADA).await.len();
    let native = mounted.native();
    let id = native.enter("registration").await;
    native.register(&id, &json!({"email": ADA}), None).await.is(400);
    let id = native.enter("login").await;
    native.log_in(&id, ADA, None).await.is(400);
    assert_eq!(mounted.mails(ADA).await.len(), mails, "no code is on its way that would sign him in there");
    assert_eq!(mounted.seen(&eve).await["verifiable_addresses"][1]["verified"], false);
}

#[tokio::test]
async fn with_the_hooks_one_is_signed_in_and_a_second_address_is_verified_next() {
    let mounted = Mounted::with(&[(VERSION, &with_person()), (OFFERED, SIGNS_IN)]).await;
    let native = mounted.native();
    let traits = json!({"email": ADA, "backup": BOB});
    let (id, code) = mounted.registration_sent(&traits).await;
    let done = native.register(&id, &traits, Some(&code)).await.is(200).json();
    let token = done["session_token"].as_str().unwrap();
    let verification = done["continue_with"][0]["flow"]["id"].as_str().unwrap();
    let expected = json!([
        {"action": "show_verification_ui", "flow": {"id": verification, "verifiable_address": BOB}},
        {"action": "set_ory_session_token", "ory_session_token": token},
    ]);
    assert_eq!(done["continue_with"], expected);
    let status = |identity: &Value, at: usize| identity["verifiable_addresses"][at]["status"].clone();
    assert_eq!((status(&done["identity"], 0), status(&done["identity"], 1)), (json!("completed"), json!("sent")));
    assert_eq!(done["identity"], done["session"]["identity"]);
    native.whoami(&[("x-session-token", token)]).await.is(200);
    let code = mounted.code(BOB).await;
    assert_eq!(native.bring(verification, &code).await.is(200).state(), "passed_challenge");
    let seen = native.whoami(&[("x-session-token", token)]).await.is(200).json();
    assert_eq!(status(&seen["identity"], 1), "completed");

    // A browser goes to the page of the verification.
    let browser = mounted.browser();
    let (id, token) = browser.enter_in_browser("registration").await;
    let form = format!(
        "method=code&csrf_token={}&traits.email=c@example.org&traits.backup=d@example.org",
        token.replace('+', "%2B")
    );
    browser.post_form(&submit("registration", &id), &form).await.is(303);
    let code = mounted.code("c@example.org").await;
    let done = browser.post_form(&submit("registration", &id), &format!("{form}&code={code}")).await.is(303);
    assert!(done.location().starts_with("https://ui.test/verification?flow="), "{done}");
    assert_eq!(browser.see(&done.leads_to()).await.is(200).state(), "sent_email");
    browser.whoami(&[]).await.is(200);
}

#[tokio::test]
async fn a_second_address_of_somebody_else_stays_his() {
    let mounted = with_schema().await;
    mounted.person(BOB).await;
    let identity = mounted.signed_up(&json!({"email": ADA, "backup": BOB})).await;
    let seen = mounted.seen(&identity).await;
    assert_eq!(seen["verifiable_addresses"].as_array().unwrap().len(), 1);
    assert_eq!(seen["traits"]["backup"], BOB);
    mounted.signed_in(BOB).await;
}

#[tokio::test]
async fn registration_is_refused_where_the_file_or_the_policy_does_not_offer_it() {
    let disabled = (OFFERED, "registration: {enabled: false}");
    let closed = Policy { sign_up: false, ..unlimited() };
    for mounted in [Mounted::with(&[disabled]).await, Mounted::under(closed, &[]).await] {
        let native = mounted.native();
        for path in ["/self-service/registration/api", "/self-service/registration/flows?id=x"] {
            let (status, id, _) = native.get(path).await.error();
            assert_eq!((status, id.as_str()), (400, "self_service_flow_disabled"), "{path}");
        }
        assert_eq!(native.register(NOBODY, &json!({"email": ADA}), None).await.error().1, "self_service_flow_disabled");
        let page = mounted.browser().get("/self-service/registration/browser").await.is(303);
        assert!(page.location().starts_with("https://ui.test/error?id="), "{page}");
    }
}

#[tokio::test]
async fn who_is_signed_in_has_an_account() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (_, token) = mounted.signed_in(ADA).await;
    let request =
        mounted.native().request(Method::GET, "/self-service/registration/api", &[("x-session-token", &token)], "");
    assert_eq!(mounted.native().ask(request).await.error().1, "session_already_available");
    let script = mounted.script();
    script.sign_in(&mounted, ADA).await;
    assert_eq!(script.get("/self-service/registration/browser").await.error().1, "session_already_available");
    let browser = mounted.browser();
    browser.take_cookie("ory_kratos_session", &script.cookie("ory_kratos_session").unwrap());
    assert_eq!(browser.get("/self-service/registration/browser").await.is(303).location(), "https://ui.test/");
}

#[tokio::test]
async fn thirty_two_right_codes_at_once_make_one_identity() {
    let mounted = Mounted::new().await;
    let traits = json!({"email": ADA});
    let (id, code) = mounted.registration_sent(&traits).await;
    let body = json!({"method": "code", "traits": traits, "code": code}).to_string();
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let headers = [("content-type", "application/json")];
        let request = mounted.native().request(Method::POST, &submit("registration", &id), &headers, body.clone());
        all.spawn(ask(mounted.router(), request));
    }
    let answers = all.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().filter(|answer| answer.status != 200).all(|answer| answer.messages() == [4_040_002]));
    let listed = mounted.operate(Method::GET, "/admin/identities", Value::Null).await.is(200).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_code_or_a_flow_that_came_too_late_is_replaced() {
    let mounted = Mounted::with(&[("config: {}", "config: {lifespan: 5m}")]).await;
    let native = mounted.native();
    let traits = json!({"email": ADA});
    let (id, code) = mounted.registration_sent(&traits).await;
    for wait in [Duration::from_mins(5), Duration::from_hours(1)] {
        mounted.world.clock.advance(wait);
        let (status, error, next) = native.register(&id, &traits, Some(&code)).await.error();
        assert_eq!((status, error.as_str()), (410, "self_service_flow_expired"));
        let next = native.look("registration", &next).await.is(200);
        assert_eq!((next.messages(), next.state().as_str()), (vec![4_040_001], "choose_method"));
    }
}

#[tokio::test]
async fn what_a_stranger_sends_is_kept_within_bounds() {
    let mounted = with_schema().await;
    let native = mounted.native();
    let id = native.enter("registration").await;
    for method in ["profile", "code"] {
        let body = json!({"method": method, "traits": {"email": ADA, "name": "x".repeat(10_000)}});
        let refused = native.hand_in("registration", &id, &body).await.is(400);
        assert_eq!((refused.messages(), refused.nodes()[1].as_str()), (vec![4_000_001], "traits.email:email!"));
    }
    assert_eq!(mounted.mails(ADA).await.len(), 0);
}

#[tokio::test]
async fn st_40_a_form_of_another_site_signs_nobody_up() {
    let mounted = Mounted::new().await;
    let script = mounted.script();
    let (id, _) = script.enter_in_browser("registration").await;
    let refused = script.register(&id, &json!({"email": ADA}), None).await;
    assert_eq!(refused.error().1, "security_csrf_violation");
    assert_eq!(mounted.mails(ADA).await.len(), 0);
}

impl Mounted {
    /// The public id of whoever signed up with `traits`.
    async fn signed_up(&self, traits: &Value) -> String {
        let (id, code) = self.registration_sent(traits).await;
        let done = self.native().register(&id, traits, Some(&code)).await.is(200);
        done.json()["identity"]["id"].as_str().unwrap().to_owned()
    }
}
