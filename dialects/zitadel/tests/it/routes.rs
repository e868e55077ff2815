//! Every route there is, and what is said to every other.

use axum::body::Body;
use http::Method;
use web::{Dialect as _, Failure};

use crate::support::{ADA, Answer, EMAIL, ME, Mounted, RESEND, VERIFY, with_headers};

const ROUTES: [(&str, &[Method]); 4] =
    [(ME, &[Method::GET]), (EMAIL, &[Method::GET, Method::PUT]), (RESEND, &[Method::POST]), (VERIFY, &[Method::POST])];

#[tokio::test]
async fn a_verb_that_a_path_has_not_is_said_in_the_surfaces_shape() {
    let mounted = Mounted::new().await;
    let all = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for (path, verbs) in ROUTES {
        for method in all.iter().filter(|method| !verbs.contains(method)) {
            let answer = mounted.ask(with_headers(method.clone(), path, &[], Body::empty())).await;
            assert_eq!(answer.body, r#"{"code":12,"message":"Method Not Allowed"}"#, "{method} {path}");
            assert_eq!(answer.status, 405);
            assert_eq!(answer.header("x-robots-tag"), "none");
        }
        for method in verbs {
            let answer = mounted.ask(with_headers(method.clone(), path, &[], Body::empty())).await;
            assert_eq!(answer.error(), (401, 16, String::new()), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_is_said_in_the_surfaces_shape() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    for path in
        ["/auth/v1/users/me/email/_verify/", "/auth/v2/users/me", "/auth", "/auth/v1/users/1", "/auth/v1/users/me/"]
    {
        let answer = mounted.get(&ada.token, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (404, r#"{"code":5,"message":"Not Found"}"#),
            "{path}"
        );
    }
    assert_eq!(mounted.surface().prefixes, ["/auth/v1"]);
    assert!(mounted.surface().administration.is_none());
    assert_eq!(countersign_zitadel::Zitadel.algorithms(), [engine::Algorithm::Rs256]);
}

#[tokio::test]
async fn a_preflight_allows_what_it_asks_for_and_no_credentials() {
    let mounted = Mounted::new().await;
    let headers = [
        ("origin", "https://app.example.test"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let answer = mounted.ask(with_headers(Method::OPTIONS, VERIFY, &headers, Body::empty())).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (204, ""));
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.test");
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,content-type");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let vary: Vec<_> = answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(vary, ["access-control-request-method", "access-control-request-headers", "Origin"]);

    let listed = Mounted::with(testkit::world::unlimited(), "allowed_origins = []").await;
    let answer = listed.ask(with_headers(Method::OPTIONS, VERIFY, &headers, Body::empty())).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (204, ""));
    // Without the headers that make it one, it is a verb like any other.
    assert_eq!(mounted.ask(with_headers(Method::OPTIONS, VERIFY, &[], Body::empty())).await.status, 405);
}

#[tokio::test]
async fn what_happens_outside_of_the_handlers_is_said_in_the_same_shape() {
    let mounted = Mounted::new().await;
    let expected = [
        (404, r#"{"code":5,"message":"Not Found"}"#),
        (405, r#"{"code":12,"message":"Method Not Allowed"}"#),
        (500, r#"{"code":13,"message":"An internal error occurred"}"#),
        (408, r#"{"code":4,"message":"the request did not arrive in time"}"#),
        (413, r#"{"code":3,"message":"the body is longer than 65536 bytes"}"#),
        (503, r#"{"code":14,"message":"try again later"}"#),
    ];
    for (failure, (status, body)) in Failure::ALL.into_iter().zip(expected) {
        let answer = Answer::of((mounted.surface().failure)(failure)).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (status, body), "{failure:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-robots-tag"), "none");
    }
}
