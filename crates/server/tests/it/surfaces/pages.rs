//! Where something rides on cookies: what pages of other sites may do with them, and what those are worth that were there before.

use testkit::server::{Answer, Request};

use super::entries;
use super::entry::{Entry, Live, Owner, Verdict};
use super::stage::Stage;
use super::visitor::keep;

/// Everybody signs in at `serve`, where cookies are as in production.
async fn live(stage: &Stage, entry: &Entry) -> (Live, String, String) {
    let address = stage.address();
    if entry.owner == Owner::Somebody {
        stage.add(&address).await;
    }
    let live = stage.ask(entry, &address).await;
    let code = stage.code_to(&address).await;
    (live, code, address)
}

/// Whether `request` carries a cookie.
fn has_cookies(stage: &Stage, request: &Request) -> bool {
    let (head, _) = request.bytes(stage.server.address());
    String::from_utf8(head).unwrap().to_lowercase().contains("\r\ncookie: ")
}

#[tokio::test]
async fn st_40_a_page_of_another_site_brings_no_code_and_asks_for_none_where_cookies_do() {
    let Some(stage) = Stage::serve(true).await else { return };
    for entry in entries() {
        let (live, code, address) = live(&stage, &entry).await;
        let request = live.bring(&code);
        let rides_on_cookies = has_cookies(&stage, &request);
        assert_eq!(rides_on_cookies, live.signed_in.is_some(), "{}: whatever does is looked at by ST-41", entry.name);
        if rides_on_cookies {
            for headers in [
                vec![
                    ("origin", "https://evil.example"),
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "no-cors"),
                ],
                vec![("origin", "null"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
            ] {
                // What a page of another site can make a browser send: the cookies, and nothing that only our own page was told.
                let with = |request: Request| headers.iter().fold(request, |it, (name, value)| it.header(name, value));
                let forged = with(without_token(&stage, &request));
                let answer = stage.send(&forged).await;
                assert_ne!(live.verdict(&answer), Verdict::Passed, "{}: {}", entry.name, answer.whole());
                let asked = stage.send(&with(without_token(&stage, &live.again))).await;
                assert!(asked.status >= 400, "{}: {}", entry.name, asked.whole());
            }
        }
        // Where there are none, a page of another site has nothing to send that is anybody's but its own.
        assert_eq!(stage.bring(&live, &code).await, Verdict::Passed, "{}", entry.name);
        stage.proved(&live, &address);
        stage.mailed().await;
        assert_eq!(stage.codes_to(&address, 1).await.len(), 1, "{}: nothing more was sent", entry.name);
    }
    stage.stop("SELECT 0").await;
}

/// `request` without the token that stands in the page's own form.
fn without_token(stage: &Stage, request: &Request) -> Request {
    let (_, body) = request.bytes(stage.server.address());
    let text = String::from_utf8(body).unwrap();
    let body = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(mut body) => {
            body.as_object_mut().unwrap().remove("csrf_token");
            body.to_string()
        }
        Err(_) => text.split('&').filter(|field| !field.starts_with("token=")).collect::<Vec<_>>().join("&"),
    };
    request.clone().body(body)
}

#[tokio::test]
async fn st_41_what_a_browser_had_before_it_was_signed_in_signs_nobody_in() {
    let Some(stage) = Stage::serve(true).await else { return };
    for entry in entries() {
        let (live, code, address) = live(&stage, &entry).await;
        let Some(signed_in) = &live.signed_in else { continue };
        let is_in = |answer: &Answer| (signed_in.is)(answer);
        let before = stage.send(&signed_in.request(&signed_in.before)).await;
        assert!(!is_in(&before), "{}: {}", entry.name, before.whole());

        let passed = stage.send(&live.bring(&code)).await;
        assert_eq!(live.verdict(&passed), Verdict::Passed, "{}: {}", entry.name, passed.whole());
        stage.proved(&live, &address);
        let mut cookies = signed_in.before.clone();
        keep(&mut cookies, &passed);
        assert_ne!(cookies, signed_in.before, "{}", entry.name);
        let after = stage.send(&signed_in.request(&cookies)).await;
        assert!(is_in(&after), "{}: {}", entry.name, after.whole());
        // Whoever planted them, or saw them, has nothing.
        let planted = stage.send(&signed_in.request(&signed_in.before)).await;
        assert!(!is_in(&planted), "{}: {}", entry.name, planted.whole());
    }
    stage.stop("SELECT 0").await;
}
