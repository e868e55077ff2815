//! Who may send a form: the browser that was shown its page, from that page.

use crate::support::{BACK, EMAIL, Mounted, request};

#[tokio::test]
async fn st_40_a_form_without_its_token_is_refused() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let address = visitor.begin().await;
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    let foreign = mounted.visitor().begin().await.hidden("token");
    let sealed = address.hidden("request");
    let sign_out = mounted.visitor().begin().await.hidden("request");
    mounted.world.calls.take_calls();
    for token in ["", "x", &foreign, &sealed, &sign_out] {
        let start = [("request", sealed.as_str()), ("email", EMAIL), ("token", token)];
        visitor.post("/sign-in", &start).await.assert_page(400, "another browser");
        visitor.post("/sign-in/code", &[("code", &code), ("token", token)]).await.assert_page(400, "another browser");
        visitor.post("/sign-in/code/resend", &[("token", token)]).await.assert_page(400, "another browser");
    }
    let start = [("request", sealed.as_str()), ("email", EMAIL)];
    visitor.post("/sign-in", &start).await.assert_page(400, "another browser");
    assert!(mounted.world.calls.take_calls().is_empty(), "nothing was asked of the store");
    assert_eq!(visitor.type_code(&page, &code).await.target(), BACK);
}

#[tokio::test]
async fn st_40_a_form_of_another_site_is_refused_whatever_it_carries() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let address = visitor.begin().await;
    let page = visitor.asked(EMAIL).await;
    let (token, sealed, code) = (page.hidden("token"), address.hidden("request"), mounted.code().await);
    for site in ["cross-site", "same-site", "none"] {
        for path in ["/sign-in", "/sign-in/code", "/sign-in/code/resend", "/sign-out"] {
            let body = format!("token={token}&request={sealed}&code={code}&email=ada%40example.com");
            let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", site)];
            let answer = visitor.ask(request(http::Method::POST, path, &headers, body)).await;
            answer.assert_page(403, "sent by another site");
        }
    }
    assert_eq!(visitor.type_code(&page, &code).await.target(), BACK);
}

#[tokio::test]
async fn st_15_st_40_what_is_no_plain_form_is_not_read() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let (token, code) = (page.hidden("token"), mounted.code().await);
    let form = format!("token={token}&code={code}");
    for (kind, body) in [
        ("text/plain", form.clone()),
        ("application/json", format!(r#"{{"token":"{token}","code":"{code}"}}"#)),
        ("application/x-www-form-urlencoded", format!("{form}&code={code}")),
        ("application/x-www-form-urlencoded", format!("{form}&token={token}")),
        ("application/x-www-form-urlencoded", format!("token={token}&code=%ff")),
    ] {
        let answer = visitor.ask(request(http::Method::POST, "/sign-in/code", &[("content-type", kind)], body)).await;
        answer.assert_page(400, "go back to the application");
    }
    assert_eq!(visitor.type_code(&page, &code).await.target(), BACK);
}

#[tokio::test]
async fn st_41_a_stranger_with_half_of_the_cookies_gets_nowhere() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    for missing in ["__Host-countersign-browser", "__Host-countersign-flow"] {
        let mut stranger = visitor.clone();
        stranger.cookies.remove(missing);
        stranger.get("/sign-in/code").await.assert_page(400, "another browser");
        stranger.type_code(&page, &code).await.assert_page(400, "another browser");
    }
    // A browser of his own, with a page of its own, and somebody else's flow: the right code hands nobody over.
    let mut thief = mounted.visitor();
    let own = thief.asked("thief@example.com").await;
    thief.cookies.insert("__Host-countersign-flow".to_owned(), visitor.cookies["__Host-countersign-flow"].clone());
    thief.get("/sign-in/code").await.assert_page(400, "another browser");
    thief.type_code(&own, &code).await.assert_page(400, "another browser");
    assert!(!thief.cookies.contains_key("__Host-countersign-session"));
}

#[tokio::test]
async fn st_14_a_request_that_nobody_sealed_leads_nowhere() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let path = visitor.path_of(&visitor.sign_in());
    for path in [
        "/sign-in".to_owned(),
        "/sign-in?request=".to_owned(),
        "/sign-in?request=x".to_owned(),
        "/sign-in?return_to=https://evil.example".to_owned(),
        format!("{path}&{}", path.split_once('?').unwrap().1),
        path.replacen("request=A", "request=B", 1).replacen("request=", "request=A", 1),
    ] {
        let answer = visitor.get(&path).await;
        answer.assert_page(400, "go back to the application");
        assert!(!answer.body.contains("evil"));
    }
    let mut other = mounted.visitor();
    other.get(&path).await.assert_page(400, "another browser");
    let sealed = visitor.begin().await.hidden("request");
    let own = other.begin().await.hidden("token");
    let start = [("request", sealed.as_str()), ("token", own.as_str()), ("email", EMAIL)];
    other.post("/sign-in", &start).await.assert_page(400, "another browser");
    visitor.get(&path).await.assert_page(200, "Your e-mail address");
}
