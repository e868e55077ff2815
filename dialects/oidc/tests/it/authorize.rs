//! The authorization request, and the way back from the pages: what is answered by a page, what to the application, and what to nobody.

use std::time::Duration;

use web::hand_over::SignInRefusal;

use crate::support::{BROWSER, CLIENTS, Mounted, ORIGIN, authorize_path, cookie};

const OTHER_BROWSER: &str = "x123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

#[tokio::test]
async fn a_good_request_goes_to_the_pages_sealed() {
    let mounted = Mounted::new().await;
    let answer = mounted.authorize(&[("login_hint", "ada@example.com"), ("ui_locales", "de en")]).await;
    let (sign_in, _) = mounted.sign_in(&answer);
    assert_eq!(sign_in.application, "The App");
    assert_eq!(sign_in.leads_to, "https://app.example");
    assert_eq!(sign_in.login_hint.as_deref(), Some("ada@example.com"));
    assert_eq!(sign_in.locales.as_deref(), Some("de en"));
    assert_eq!((sign_in.is_silent, sign_in.max_age, sign_in.identity), (false, None, None));
    assert!(!answer.header("location").contains("app.example"), "{answer}");
    assert_eq!(answer.header("set-cookie"), "", "the browser has its name");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_browser_without_a_name_is_given_one() {
    let mounted = Mounted::new().await;
    for headers in [&[][..], &[("cookie", "__Host-countersign-browser=short")][..]] {
        let answer = mounted.get(&authorize_path(&[]), headers).await;
        let set = answer.header("set-cookie");
        let (name, rest) = set.split_once('=').unwrap().1.split_at(43);
        assert_eq!(rest, "; Path=/; HttpOnly; Secure; SameSite=Lax");
        assert_eq!(mounted.sign_in(&answer).0.browser.as_bytes(), name.as_bytes());
    }
}

#[tokio::test]
async fn st_14_who_is_no_application_or_names_a_strange_address_gets_a_page_and_no_redirect() {
    let mounted = Mounted::new().await;
    for id in ["", "nobody", "APP", "app "] {
        mounted.authorize(&[("client_id", id)]).await.assert_page(400, "No application is known here");
    }
    for uri in [
        "",
        "https://evil.example/cb",
        "https://app.example/cb/../evil",
        "https://app.example@evil.example/cb",
        "https://app.example/cb#x",
        "https://app.example/CB",
        "https://app.example:443/cb",
        "https://other.example/cb",
        "http://app.example/cb",
        "//app.example/cb",
        "\\\\app.example/cb",
        "javascript:alert(1)",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1:1/other",
    ] {
        let answer = mounted.authorize(&[("redirect_uri", uri), ("response_type", "token")]).await;
        answer.assert_page(400, "names an address to return to");
        assert!(!answer.body.contains("evil"), "{uri}");
    }
    let twice = format!("{}&redirect_uri=https%3A%2F%2Fevil.example", authorize_path(&[]));
    mounted.get(&twice, &[]).await.assert_page(400, "cannot be read");
    mounted
        .post("/oauth/v2/authorize", &[("state", "a"), ("state", "b")], &[])
        .await
        .assert_page(400, "cannot be read");
}

#[tokio::test]
async fn an_application_on_this_machine_is_answered_on_any_port() {
    let mounted = Mounted::new().await;
    let answer = mounted.authorize(&[("redirect_uri", "http://127.0.0.1:49152/cb")]).await;
    assert_eq!(mounted.sign_in(&answer).0.leads_to, "http://127.0.0.1:49152");
}

#[tokio::test]
async fn every_other_error_goes_to_the_application_with_its_state_and_our_name() {
    let mounted = Mounted::new().await;
    let long = "x".repeat(2049);
    for (change, error) in [
        (("response_type", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", "code id_token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("scope", ""), "invalid_scope"),
        (("scope", "address"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("prompt", "none login"), "invalid_request"),
        (("prompt", "dance"), "invalid_request"),
        (("max_age", "-1"), "invalid_request"),
        (("max_age", "soon"), "invalid_request"),
        (("request", "x"), "request_not_supported"),
        (("request_uri", "https://app.example/x"), "request_uri_not_supported"),
        (("id_token_hint", "x"), "invalid_request"),
        (("nonce", long.as_str()), "invalid_request"),
    ] {
        let answer = mounted.authorize(&[change]).await;
        assert_eq!(answer.target(), "https://app.example/cb", "{change:?}");
        let mut parameters = answer.parameters();
        assert!(parameters.remove("error_description").is_some());
        let expected = [("error", error), ("iss", ORIGIN), ("state", "a&b=c d")];
        assert!(
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected),
            "{change:?}: {answer}"
        );
    }
    let answer = mounted.authorize(&[("state", &long)]).await;
    assert_eq!(answer.parameters().get("state"), None);
    assert_eq!(answer.parameter("error"), "invalid_request");
}

#[tokio::test]
async fn without_a_secret_there_must_be_a_challenge() {
    let mounted = Mounted::new().await;
    for id in ["app", "other"] {
        let answer =
            mounted.authorize(&[("client_id", id), ("code_challenge", ""), ("code_challenge_method", "")]).await;
        assert_eq!(answer.parameter("error"), "invalid_request");
        assert_eq!(answer.parameter("error_description"), "code_challenge is missing");
    }
}

#[tokio::test]
async fn what_is_unknown_is_ignored() {
    let mounted = Mounted::new().await;
    let changes =
        [("acr_values", "x"), ("display", "popup"), ("claims_locales", "de"), ("x", "y"), ("prompt", "consent")];
    mounted.sign_in(&mounted.authorize(&changes).await);
}

#[tokio::test]
async fn prompt_and_max_age_are_handed_on() {
    let mounted = Mounted::new().await;
    for (change, is_silent, max_age) in [
        (("prompt", "none"), true, None),
        (("prompt", "login"), false, Some(Duration::ZERO)),
        (("prompt", "select_account"), false, Some(Duration::ZERO)),
        (("prompt", "create"), false, Some(Duration::ZERO)),
        (("max_age", "60"), false, Some(Duration::from_mins(1))),
    ] {
        let (sign_in, _) = mounted.sign_in(&mounted.authorize(&[change]).await);
        assert_eq!((sign_in.is_silent, sign_in.max_age), (is_silent, max_age), "{change:?}");
    }
}

#[tokio::test]
async fn whom_the_application_means_is_whom_it_gets() {
    let mounted = Mounted::new().await;
    let hint = mounted.tokens("openid").await.text("id_token");
    let grace = mounted.person("grace@example.com").await;
    let ada = mounted.person("ada@example.com").await;
    mounted.world.clock.advance(Duration::from_hours(2)); // a hint may be over
    let answer = mounted.authorize(&[("id_token_hint", &hint)]).await;
    assert_eq!(mounted.sign_in(&answer).0.identity, Some(ada.get()));
    let back = mounted.signed_in(&answer, grace).await;
    assert_eq!(mounted.come_back(&back).await.parameter("error"), "login_required");
    let back = mounted.signed_in(&answer, ada).await;
    assert_eq!(mounted.come_back(&back).await.parameter("code").len(), 43);
    // An access token is no ID token.
    let access = mounted.tokens("openid").await.text("access_token");
    let answer = mounted.authorize(&[("id_token_hint", &access)]).await;
    assert_eq!(answer.parameter("error"), "invalid_request");
}

#[tokio::test]
async fn that_nobody_signed_in_is_told_to_the_application() {
    let mounted = Mounted::new().await;
    let (sign_in, sealed) = mounted.sign_in(&mounted.authorize(&[]).await);
    for (refusal, error) in
        [(SignInRefusal::LoginRequired, "login_required"), (SignInRefusal::AccessDenied, "access_denied")]
    {
        let url = sign_in.refused_url(ORIGIN, &sealed, refusal);
        // In a frame of another site a browser keeps its cookies to itself.
        let answer = mounted.get(url.strip_prefix(ORIGIN).unwrap(), &[]).await;
        assert_eq!(answer.target(), "https://app.example/cb");
        assert_eq!((answer.parameter("error").as_str(), answer.parameter("state").as_str()), (error, "a&b=c d"));
        assert_eq!(answer.parameter("iss"), ORIGIN);
    }
}

#[tokio::test]
async fn st_39_st_41_what_was_begun_in_one_browser_is_not_ended_in_another() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let back = mounted.signed_in(&mounted.authorize(&[]).await, ada).await;
    for headers in [&[][..], &[("cookie", &*cookie(OTHER_BROWSER))][..]] {
        mounted.get(&back, headers).await.assert_page(400, "another browser");
    }
    assert_eq!(mounted.come_back(&back).await.parameter("code").len(), 43);
}

#[tokio::test]
async fn a_sign_in_comes_back_once_and_with_its_own_request() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let (first, second) = (mounted.authorize(&[]).await, mounted.authorize(&[]).await);
    let back = mounted.signed_in(&first, ada).await;
    let ticket = back.split_once("&ticket=").unwrap().1;
    let crossed = format!("/oauth/v2/authorize/callback?request={}&ticket={ticket}", second.parameter("request"));
    mounted.come_back(&crossed).await.assert_page(400, "go back to the application");
    mounted.come_back(&back).await.assert_page(400, "go back to the application"); // burned by that
    let back = mounted.signed_in(&first, ada).await;
    assert_eq!(mounted.come_back(&back).await.status, 303);
    mounted.come_back(&back).await.assert_page(400, "done already");
}

#[tokio::test]
async fn a_sign_in_may_take_an_hour() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let answer = mounted.authorize(&[]).await;
    mounted.world.clock.advance(Duration::from_secs(3599));
    let back = mounted.signed_in(&answer, ada).await;
    mounted.world.clock.advance(Duration::from_secs(1));
    mounted.come_back(&back).await.assert_page(400, "took too long");
}

#[tokio::test]
async fn a_way_back_that_we_did_not_pave_leads_nowhere() {
    let mounted = Mounted::new().await;
    let request = mounted.authorize(&[]).await.parameter("request");
    let altered = format!("{}A", &request[..request.len() - 1]);
    for query in [
        String::new(),
        "request=x".to_owned(),
        format!("request={altered}&error=access_denied"),
        format!("request={request}"),
        format!("request={request}&ticket="),
        format!("request={request}&ticket=x"),
        format!("request={request}&error=anything"),
        format!("request={request}&request={request}"),
    ] {
        mounted.come_back(&format!("/oauth/v2/authorize/callback?{query}")).await.assert_page(400, "<h1>");
    }
}

#[tokio::test]
async fn an_application_that_is_gone_gets_nothing() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let back = mounted.signed_in(&mounted.authorize(&[]).await, ada).await;
    for (section, text) in [
        (CLIENTS.replace("\"app\"", "\"app2\""), "No application is known"),
        (CLIENTS.replace("app.example/cb\"", "app.example/moved\""), "has not declared"),
    ] {
        let surface = crate::support::mount(&mounted.world.engine, &section, false).unwrap();
        let request = crate::support::request(http::Method::GET, &back, &[("cookie", &cookie(BROWSER))], "");
        crate::support::ask(&surface, request).await.assert_page(400, text);
    }
}

#[tokio::test]
async fn who_has_been_erased_in_the_meantime_gets_no_further() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let back = mounted.signed_in(&mounted.authorize(&[]).await, ada).await;
    mounted.world.engine.erase_identity(&mounted.world.context(), ada).await.unwrap();
    // What was handed over is gone with him: a way back like any that nobody paved.
    assert_eq!(mounted.come_back(&back).await.status, 400);
}
