//! A browser in which somebody has signed in.

use std::time::Duration;

use web::hand_over::SignIn;

use crate::support::{BACK, Mounted};

#[tokio::test]
async fn who_has_signed_in_goes_on_at_once() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let first = visitor.signed_in().await;
    let (identity, _) = visitor.taken(&first).await;
    mounted.world.clock.advance(Duration::from_hours(11));
    for is_silent in [false, true] {
        let path = visitor.path_of(&SignIn { is_silent, ..visitor.sign_in() });
        let answer = visitor.get(&path).await;
        assert_eq!(visitor.taken(&answer).await, (identity, Duration::from_hours(11)));
    }
}

#[tokio::test]
async fn what_is_asked_for_decides_whether_that_suffices() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let first = visitor.signed_in().await;
    let (identity, _) = visitor.taken(&first).await;
    mounted.world.clock.advance(Duration::from_mins(1));
    let usual = visitor.sign_in();
    let minute = Duration::from_mins(1);
    for (sign_in, suffices) in [
        (SignIn { max_age: Some(Duration::ZERO), ..usual.clone() }, false),
        (SignIn { max_age: Some(minute), ..usual.clone() }, false),
        (SignIn { max_age: Some(minute * 2), ..usual.clone() }, true),
        (SignIn { identity: Some(identity.get()), ..usual.clone() }, true),
        (SignIn { identity: Some(identity.get() + 1), ..usual.clone() }, false),
    ] {
        for is_silent in [false, true] {
            let path = visitor.path_of(&SignIn { is_silent, ..sign_in.clone() });
            let answer = visitor.get(&path).await;
            match (suffices, is_silent) {
                (true, _) => assert_eq!(visitor.taken(&answer).await.0, identity),
                (false, true) => {
                    assert_eq!(answer.target(), BACK);
                    assert_eq!(answer.parameter("error"), "login_required");
                }
                (false, false) => answer.assert_page(200, "Your e-mail address"),
            }
        }
    }
}

#[tokio::test]
async fn where_no_page_may_be_shown_none_is() {
    let mounted = Mounted::new().await;
    let visitor = mounted.visitor();
    let path = visitor.path_of(&SignIn { is_silent: true, ..visitor.sign_in() });
    let mut without_cookies = visitor.clone();
    without_cookies.cookies.clear();
    for mut visitor in [visitor, without_cookies] {
        let answer = visitor.get(&path).await;
        assert_eq!(answer.target(), BACK);
        assert_eq!(answer.parameter("error"), "login_required");
    }
}

#[tokio::test]
async fn a_browser_is_remembered_for_as_long_as_is_configured() {
    let mounted = Mounted::with(testkit::world::unlimited(), "session_hours = 1").await;
    let mut visitor = mounted.visitor();
    visitor.signed_in().await;
    mounted.world.clock.advance(Duration::from_millis(3_599_999));
    let path = visitor.path_of(&visitor.sign_in());
    assert_eq!(visitor.get(&path).await.target(), BACK);
    mounted.world.clock.advance(Duration::from_millis(1));
    let path = visitor.path_of(&visitor.sign_in());
    visitor.get(&path).await.assert_page(200, "Your e-mail address");
}

#[tokio::test]
async fn st_41_what_nobody_was_given_is_nobodys_session() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    visitor.signed_in().await;
    let name = "__Host-countersign-session";
    let own = visitor.cookies[name].clone();
    let altered = format!("{}{}", &own[..31], if own.ends_with('A') { "B" } else { "A" });
    for token in ["", "x", &altered, &"A".repeat(32)] {
        visitor.cookies.insert(name.to_owned(), token.to_owned());
        let path = visitor.path_of(&visitor.sign_in());
        visitor.get(&path).await.assert_page(200, "Your e-mail address");
    }
}
