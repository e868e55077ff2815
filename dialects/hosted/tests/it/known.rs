//! A browser in which somebody signed in once: what that is worth when strangers have spent what they may, and that it is worth no more.

use std::time::Duration;

use engine::{KNOWN_FOR, Policy, SendLimit};
use testkit::world::{other_than, unlimited};
use web::hand_over::SignOut;

use crate::support::{EMAIL, Mounted, Visitor};

const COOKIE: &str = "__Host-countersign-device";
const DAY: Duration = Duration::from_hours(24);

/// Somebody who signed in as `email`, and out again.
async fn signed_out<'a>(mounted: &'a Mounted, email: &str) -> Visitor<'a> {
    let mut visitor = mounted.visitor();
    let page = visitor.asked(email).await;
    let code = mounted.code_to(&engine::Address::email(email).unwrap()).await;
    let answer = visitor.type_code(&page, &code).await;
    let (identity, _) = visitor.taken(&answer).await;
    let sign_out = SignOut {
        begun_at: mounted.context().now,
        identity: Some(identity.get()),
        return_to: Some("https://app.example/bye".to_owned()),
        leads_to: None,
        locales: None,
    };
    let path = visitor.path_of_sign_out(&sign_out);
    assert_eq!(visitor.get(&path).await.status, 303);
    assert!(!visitor.cookies.contains_key("__Host-countersign-session"));
    visitor
}

/// A stranger spends what strangers may guess about Ada.
async fn spend(mounted: &Mounted) {
    let mut stranger = mounted.visitor();
    let page = stranger.asked(EMAIL).await;
    let wrong = other_than(&mounted.code().await);
    for _ in 0..5 {
        assert_eq!(stranger.type_code(&page, &wrong).await.status, 400);
    }
}

/// How long the code is that `visitor` is sent for Ada.
async fn length(mounted: &Mounted, visitor: &mut Visitor<'_>) -> usize {
    visitor.asked(EMAIL).await;
    mounted.code().await.len()
}

#[tokio::test]
async fn who_signed_in_here_once_goes_on_with_short_codes_when_strangers_have_spent_theirs() {
    let mounted = Mounted::new().await;
    let mut ada = signed_out(&mounted, EMAIL).await;
    spend(&mounted).await;
    assert_eq!(length(&mounted, &mut mounted.visitor()).await, 12, "a stranger's");
    let page = ada.asked(EMAIL).await;
    let code = mounted.code().await;
    assert_eq!(code.len(), 6);
    let token = page.hidden("token");
    // In the same flow, from a browser that brings everything but the proof, it is not even compared.
    let mut without = ada.clone();
    without.cookies.remove(COOKIE);
    assert_eq!(without.post("/sign-in/code", &[("token", &token), ("code", &code)]).await.status, 400);
    assert_eq!(ada.type_code(&page, &code).await.status, 303);
}

#[tokio::test]
async fn who_signed_in_here_once_does_not_wait_because_strangers_asked() {
    let policy = Policy { send_limit: Some(SendLimit::default()), ..unlimited() };
    let mounted = Mounted::with(policy, "").await;
    let mut ada = signed_out(&mounted, EMAIL).await;
    mounted.world.clock.advance(DAY);
    mounted.visitor().asked(EMAIL).await;
    let mut other = mounted.visitor();
    let page = other.begin().await;
    assert_eq!(other.type_address(&page, EMAIL).await.status, 429, "strangers wait");
    let page = ada.asked(EMAIL).await;
    mounted.world.clock.advance(Duration::from_secs(31));
    mounted.visitor().asked(EMAIL).await;
    let resend = [("token", page.hidden("token"))];
    let resend = resend.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut without = ada.clone();
    without.cookies.remove(COOKIE);
    assert_eq!(without.post("/sign-in/code/resend", &resend).await.status, 429);
    assert_eq!(ada.post("/sign-in/code/resend", &resend).await.target(), "https://id.example.com/sign-in/code");
}

#[tokio::test]
async fn a_browser_is_known_to_who_signed_in_last_for_ninety_days_and_to_nobody_by_anything_else() {
    let mounted = Mounted::new().await;
    let mut ada = signed_out(&mounted, EMAIL).await;
    let bob = signed_out(&mounted, "bob@example.com").await;
    let began = mounted.context().now;
    mounted.world.clock.set(began.plus(KNOWN_FOR).minus(Duration::from_mins(1)));
    spend(&mounted).await;
    assert_eq!(length(&mounted, &mut ada).await, 6);
    let own = ada.cookies[COOKIE].clone();
    let altered = format!("{}{}", &own[..own.len() - 2], if own.ends_with("AA") { "BB" } else { "AA" });
    // Bob's is worth nothing for Ada; nor is another sealed value of ours, nor one that nobody sealed.
    let flow = ada.cookies["__Host-countersign-flow"].clone();
    for cookie in ["", "x", altered.as_str(), flow.as_str(), bob.cookies[COOKIE].as_str()] {
        let mut stranger = mounted.visitor();
        stranger.cookies.insert(COOKIE.to_owned(), cookie.to_owned());
        assert_eq!(length(&mounted, &mut stranger).await, 12, "{cookie}");
    }
    mounted.world.clock.advance(Duration::from_mins(1));
    assert_eq!(length(&mounted, &mut ada).await, 12, "not any more");
}

#[tokio::test]
async fn st_34_it_is_given_with_a_right_code_alone_and_signs_nobody_in() {
    let mounted = Mounted::with(Policy { sign_up: false, ..unlimited() }, "").await;
    mounted.world.engine.register(mounted.world.project(), crate::support::ada()).await.unwrap();
    for email in [EMAIL, "abe@example.com"] {
        let mut visitor = mounted.visitor();
        let page = visitor.asked(email).await;
        visitor.type_code(&page, "wrong!").await;
        assert!(!visitor.cookies.contains_key(COOKIE), "{email}");
    }
    let mut ada = mounted.visitor();
    let answer = ada.signed_in().await;
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    let given = set.iter().find(|line| line.starts_with(COOKIE)).unwrap();
    assert!(given.ends_with("; Path=/; Max-Age=7776000; HttpOnly; Secure; SameSite=Lax"), "{given}");
    ada.cookies.remove("__Host-countersign-session");
    let path = ada.path_of(&ada.sign_in());
    ada.get(&path).await.assert_page(200, "Your e-mail address");
}
