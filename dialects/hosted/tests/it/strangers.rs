//! Whether anybody owns an address shows nowhere.

use engine::{Address, Policy, SendLimit};
use testkit::world::unlimited;

use crate::support::{Answer, EMAIL, Mounted, Visitor};

/// Status, headers and body, with what is random made the same.
fn masked(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.status);
    for (name, value) in &answer.headers {
        let value = value.to_str().unwrap();
        let value = match name.as_str() {
            "set-cookie" => {
                value.split(['=', ';']).enumerate().filter(|(at, _)| *at != 1).map(|(_, part)| part).collect()
            }
            _ => value.to_owned(),
        };
        text.extend([name.as_str(), ": ", &value, "\n"]);
    }
    let mut body = answer.body.as_str();
    // Sealed values are as long as what is in them, so their lengths count.
    while let Some((before, rest)) = body.split_once("value=\"") {
        let (value, after) = rest.split_once('"').unwrap();
        text.extend([before, &value.len().to_string()]);
        body = after;
    }
    while let Some((before, rest)) = body.split_once("request=") {
        let end = rest.find(|symbol: char| !symbol.is_ascii_alphanumeric() && !"-_".contains(symbol)).unwrap();
        text.extend([before, &end.to_string()]);
        body = &rest[end..];
    }
    text + body
}

/// Everything somebody sees who does not have the code.
async fn seen(mut visitor: Visitor<'_>, email: &str) -> Vec<String> {
    let page = visitor.begin().await;
    let mut answers = vec![visitor.type_address(&page, email).await];
    let page = visitor.get("/sign-in/code").await;
    answers.push(page.clone());
    answers.push(visitor.post("/sign-in/code/resend", &[("token", &page.hidden("token"))]).await);
    for code in ["000000", "", "1", "x", "12345678901234567890", "000001", "000002"] {
        answers.push(visitor.type_code(&page, code).await);
    }
    answers.push(visitor.get("/sign-in/link?code=000000").await);
    let start = visitor.begin().await;
    answers.push(visitor.type_address(&start, email).await);
    answers.iter().map(masked).collect()
}

#[tokio::test]
async fn st_34_st_36_a_known_and_an_unknown_address_get_the_same_to_the_byte() {
    for send_limit in [None, Some(SendLimit::default())] {
        let policy = Policy { sign_up: false, send_limit, ..unlimited() };
        let mounted = Mounted::with(policy, "").await;
        let known = Address::email(EMAIL).unwrap();
        mounted.world.engine.register(mounted.world.project(), known).await.unwrap();
        let (known, unknown) = (seen(mounted.visitor(), EMAIL).await, seen(mounted.visitor(), "abe@example.com").await);
        for (known, unknown) in known.iter().zip(&unknown) {
            assert_eq!(known, unknown);
        }
        assert!(known.iter().any(|answer| answer.contains("If a***@example.com may sign in here")));
        assert!(known.iter().any(|answer| answer.contains("too many wrong codes")));
        assert_eq!(known.iter().any(|answer| answer.contains("Too many codes were asked for")), send_limit.is_some());
    }
}

#[tokio::test]
async fn nobody_signs_up_where_nobody_may() {
    let mounted = Mounted::with(Policy { sign_up: false, ..unlimited() }, "").await;
    let mut visitor = mounted.visitor();
    visitor.asked(EMAIL).await;
    // Whether anything would be mailed is decided when mail is sent.
    assert!(mounted.world.engine.lease_messages(10).await.unwrap().is_empty());
    let owner = mounted.world.engine.owner(mounted.world.project(), &Address::email(EMAIL).unwrap()).await;
    assert!(owner.is_err());
}
