//! The whole way, and what each page carries.

use std::time::Duration;

use testkit::world::unlimited;
use web::hand_over::SignIn;

use crate::support::{BACK, EMAIL, Mounted};

#[tokio::test]
async fn an_address_and_a_code_and_one_is_back_signed_in() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    assert!(page.body.contains("We sent a code to a***@example.com."), "{page}");
    assert!(!page.body.contains(EMAIL));
    let code = mounted.code().await;
    mounted.world.clock.advance(Duration::from_mins(3));
    let answer = visitor.type_code(&page, &code).await;
    let (identity, ago) = visitor.taken(&answer).await;
    let owner = mounted.world.engine.owner(mounted.world.project(), &crate::support::ada()).await.unwrap();
    assert_eq!((identity, ago), (owner.identity.id, Duration::ZERO));
    assert_eq!(
        visitor.cookies.keys().collect::<Vec<_>>(),
        ["__Host-countersign-browser", "__Host-countersign-device", "__Host-countersign-session"]
    );
}

#[tokio::test]
async fn cookies_are_for_this_host_and_no_script() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.begin().await;
    let answer = visitor.type_address(&page, EMAIL).await;
    let flow = answer.header("set-cookie");
    assert!(
        flow.starts_with("__Host-countersign-flow=")
            && flow.ends_with("; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax")
    );
    let page = visitor.get("/sign-in/code").await;
    let answer = visitor.type_code(&page, &mounted.code().await).await;
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    assert_eq!(set.len(), 3);
    assert!(
        set[0].starts_with("__Host-countersign-session=")
            && set[0].ends_with("; Max-Age=43200; HttpOnly; Secure; SameSite=Lax")
    );
    assert!(
        set[1].starts_with("__Host-countersign-device=")
            && set[1].ends_with("; Max-Age=7776000; HttpOnly; Secure; SameSite=Lax")
    );
    assert_eq!(
        set[2],
        "__Host-countersign-flow=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
    );
}

#[tokio::test]
async fn st_58_st_60_every_page_is_kept_by_nobody_and_leads_to_the_application_at_most() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let address = visitor.begin().await;
    let code = visitor.asked(EMAIL).await;
    for page in [&address, &code] {
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("x-frame-options"), "DENY");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.ends_with("; form-action 'self' https://app.example"), "{policy}");
        for foreign in ["http://", "//cdn", "url(", "@import", "src="] {
            assert!(!page.body.contains(foreign), "{foreign}");
        }
    }
    assert!(address.body.len() + code.body.len() < 30_000);
}

#[tokio::test]
async fn a_code_is_taken_as_people_paste_it() {
    let mounted = Mounted::new().await;
    for shape in ["{}{}", " {} {} ", "{}-{}", "{} – {}", "{}.{}\n"] {
        let mut visitor = mounted.visitor();
        let page = visitor.asked(EMAIL).await;
        let code = mounted.code().await;
        let typed = shape.replacen("{}", &code[..3], 1).replacen("{}", &code[3..], 1);
        assert_eq!(visitor.type_code(&page, &typed).await.target(), BACK, "{shape}");
    }
}

#[tokio::test]
async fn the_same_code_is_sent_again() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    mounted.world.clock.advance(Duration::from_secs(31));
    let answer = visitor.post("/sign-in/code/resend", &[("token", &page.hidden("token"))]).await;
    assert_eq!(answer.header("location"), "https://id.example.com/sign-in/code?sent=again");
    let page = visitor.get("/sign-in/code?sent=again").await;
    page.assert_page(200, "Another mail is on its way");
    assert_eq!(mounted.world.engine.inbox(None).await.unwrap().len(), 2);
    assert_eq!(mounted.code().await, code);
    assert_eq!(visitor.type_code(&page, &code).await.target(), BACK);
}

#[tokio::test]
async fn st_37_the_link_in_the_mail_changes_nothing_and_fills_the_code_in() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    visitor.asked(EMAIL).await;
    let shown = mounted.world.engine.inbox(None).await.unwrap();
    let link = shown[0].link.as_ref().unwrap().expose().clone();
    let code = mounted.code().await;
    assert_eq!(link, format!("https://id.example.com/sign-in/link?code={code}"));
    let path = link.strip_prefix("https://id.example.com").unwrap();
    for method in [http::Method::GET, http::Method::HEAD, http::Method::OPTIONS, http::Method::GET] {
        let headers = [("sec-purpose", "prefetch")];
        let answer = visitor.ask(crate::support::request(method, path, &headers, "")).await;
        assert!(answer.headers.get("set-cookie").is_none());
    }
    let page = visitor.get(path).await;
    page.assert_page(200, &format!("value=\"{code}\""));
    assert_eq!(visitor.type_code(&page, &code).await.target(), BACK);
}

#[tokio::test]
async fn st_39_in_another_browser_the_link_says_where_to_type_the_code() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    let path = format!("/sign-in/link?code={code}");
    let mut another = mounted.visitor();
    let mut halfway = mounted.visitor();
    halfway.cookies.insert("__Host-countersign-flow".to_owned(), visitor.cookies["__Host-countersign-flow"].clone());
    for stranger in [&mut another, &mut halfway] {
        let answer = stranger.get(&path).await;
        answer.assert_page(200, "go back to the window in which you began");
        assert!(!answer.body.contains(&code) && !answer.body.contains("<form"));
    }
    assert_eq!(visitor.type_code(&page, &code).await.target(), BACK);
}

#[tokio::test]
async fn a_hint_is_filled_in_and_is_text() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let hostile = "\"><script>alert(1)</script>".to_owned();
    let sign_in = SignIn { login_hint: Some(hostile.clone()), application: hostile, ..visitor.sign_in() };
    let path = visitor.path_of(&sign_in);
    let page = visitor.get(&path).await;
    page.assert_page(200, "value=\"&quot;&gt;&lt;script&gt;alert(1)");
    assert!(!page.body.contains("<script>alert"));
}

#[tokio::test]
async fn who_does_not_want_to_goes_back_with_that() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let pages = [visitor.begin().await, visitor.asked(EMAIL).await];
    for page in pages {
        assert!(page.body.contains("&amp;error=access_denied\">Back to The App</a>"), "{page}");
        assert!(page.body.contains("href=\"https:&#x2f;&#x2f;id.example.com&#x2f;back?request="), "{page}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_said_so_and_sends_nothing() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.begin().await;
    for typed in ["", "ada", "ada@", "a@example.com,b@example.com", "ada@example.com\r\nbcc: b@example.com", "\"><b>@x"]
    {
        let answer = visitor.type_address(&page, typed).await;
        answer.assert_page(400, "This is no e-mail address");
        assert!(answer.body.contains("aria-invalid=\"true\"") && !answer.body.contains("<b>"));
    }
    assert!(mounted.world.engine.inbox(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_page_says_how_long_to_wait_and_the_server_decides() {
    let policy = engine::Policy { send_limit: Some(engine::SendLimit::default()), ..unlimited() };
    let mounted = Mounted::with(policy, "").await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    page.assert_page(200, "in 30 seconds.</p>");
    mounted.world.clock.advance(Duration::from_millis(12_500));
    visitor.get("/sign-in/code").await.assert_page(200, "data-seconds=\"18\"");
    let answer = visitor.post("/sign-in/code/resend", &[("token", &page.hidden("token"))]).await;
    answer.assert_page(429, "Please wait 18 seconds");
    assert_eq!(answer.header("retry-after"), "18");
    assert!(!answer.body.contains("aria-invalid=\"true\""));
    mounted.world.clock.advance(Duration::from_millis(17_500));
    let page = visitor.get("/sign-in/code").await;
    assert!(!page.body.contains("data-seconds"), "{page}");
    let answer = visitor.post("/sign-in/code/resend", &[("token", &page.hidden("token"))]).await;
    assert_eq!(answer.target(), "https://id.example.com/sign-in/code");
    // Starting over is no way around it, and a long wait is told in minutes.
    let page = visitor.begin().await;
    visitor.type_address(&page, EMAIL).await.assert_page(429, "Please wait 30 seconds");
    for _ in 0..3 {
        mounted.world.clock.advance(Duration::from_secs(30));
        assert_eq!(visitor.type_address(&page, EMAIL).await.status, 303);
    }
    mounted.world.clock.advance(Duration::from_secs(30));
    let answer = visitor.type_address(&page, EMAIL).await;
    answer.assert_page(429, "Please wait 58 minutes");
    assert_eq!(answer.header("retry-after"), "3450");
}
