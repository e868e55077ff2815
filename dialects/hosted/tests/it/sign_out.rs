//! Signing out.

use web::hand_over::SignOut;

use crate::support::{Mounted, Visitor};

const GOODBYE: &str = "https://app.example/bye?state=x";

fn sign_out(mounted: &Mounted, identity: Option<i64>, returns: bool) -> SignOut {
    SignOut {
        begun_at: mounted.context().now,
        identity,
        return_to: returns.then(|| GOODBYE.to_owned()),
        leads_to: returns.then(|| "https://app.example".to_owned()),
        locales: None,
    }
}

async fn is_remembered(visitor: &mut Visitor<'_>) -> bool {
    let path = visitor.path_of(&visitor.sign_in());
    visitor.get(&path).await.status == 303
}

#[tokio::test]
async fn whom_the_application_speaks_for_is_signed_out_at_once() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let signed_in = visitor.signed_in().await;
    let (identity, _) = visitor.taken(&signed_in).await;
    let mut twin = visitor.clone();
    let path = visitor.path_of_sign_out(&sign_out(&mounted, Some(identity.get()), true));
    let answer = visitor.get(&path).await;
    assert_eq!(answer.header("location"), GOODBYE);
    assert!(!visitor.cookies.contains_key("__Host-countersign-session"));
    assert!(!is_remembered(&mut twin).await, "the session has ended, not only its cookie");
    // Once more does no harm.
    assert_eq!(visitor.get(&path).await.header("location"), GOODBYE);
}

#[tokio::test]
async fn anybody_else_is_asked_first() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let signed_in = visitor.signed_in().await;
    let (identity, _) = visitor.taken(&signed_in).await;
    for (identity, returns) in [(None, false), (None, true), (Some(identity.get() + 1), true)] {
        let path = visitor.path_of_sign_out(&sign_out(&mounted, identity, returns));
        let page = visitor.get(&path).await;
        page.assert_page(200, "Sign out?");
        assert_eq!(page.body.contains("Stay signed in"), returns);
        assert!(is_remembered(&mut visitor).await);
    }
    let path = visitor.path_of_sign_out(&sign_out(&mounted, None, true));
    let page = visitor.get(&path).await;
    assert!(page.header("content-security-policy").ends_with("form-action 'self' https://app.example"));
    let (request, token) = (page.hidden("request"), page.hidden("token"));
    let answer = visitor.post("/sign-out", &[("request", &request), ("token", &token)]).await;
    assert_eq!(answer.header("location"), GOODBYE);
    assert!(!is_remembered(&mut visitor).await);
}

#[tokio::test]
async fn without_anywhere_to_go_a_page_says_that_it_is_done() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    visitor.signed_in().await;
    visitor.cookies.remove("__Host-countersign-browser"); // it may have been forgotten in the meantime
    let path = visitor.path_of_sign_out(&sign_out(&mounted, None, false));
    let page = visitor.get(&path).await;
    let (request, token) = (page.hidden("request"), page.hidden("token"));
    let answer = visitor.post("/sign-out", &[("request", &request), ("token", &token)]).await;
    answer.assert_page(200, "You are signed out");
    visitor.get(&path).await.assert_page(200, "You are signed out");
}

#[tokio::test]
async fn st_40_only_the_page_itself_signs_out() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    visitor.signed_in().await;
    let path = visitor.path_of_sign_out(&sign_out(&mounted, None, false));
    let page = visitor.get(&path).await;
    let request = page.hidden("request");
    let mut other = mounted.visitor();
    other.signed_in().await;
    let foreign = other.get(&path).await.hidden("token");
    for token in ["", "x", &foreign] {
        let answer = visitor.post("/sign-out", &[("request", &request), ("token", token)]).await;
        answer.assert_page(400, "go back to the application");
    }
    let answer = visitor.post("/sign-out", &[("request", "x"), ("token", &page.hidden("token"))]).await;
    answer.assert_page(400, "go back to the application");
    visitor.get("/sign-out").await.assert_page(400, "go back to the application");
    visitor.get("/sign-out?return_to=https://evil.example").await.assert_page(400, "go back to the application");
    assert!(is_remembered(&mut visitor).await);
}
