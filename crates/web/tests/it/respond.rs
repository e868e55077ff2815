//! Answers to the byte.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use http_body_util::BodyExt as _;
use web::respond;

async fn told(response: Response) -> String {
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    let headers: Vec<String> =
        parts.headers.iter().map(|(name, value)| format!(" {name}={}", value.to_str().unwrap())).collect();
    let body = body.collect().await.unwrap().to_bytes();
    format!("{status}{} {}", headers.concat(), String::from_utf8_lossy(&body)).trim_end().to_owned()
}

#[tokio::test]
async fn st_60_answers_are_no_store_and_only_public_ones_are_not() {
    let body = BTreeMap::from([("a", 1)]);
    assert_eq!(
        told(respond::json(StatusCode::CREATED, &body)).await,
        r#"201 cache-control=no-store content-type=application/json; charset=utf-8 {"a":1}"#
    );
    assert_eq!(told(respond::empty(StatusCode::NO_CONTENT)).await, "204 cache-control=no-store");
    assert_eq!(
        told(respond::bytes(StatusCode::OK, respond::HTML, "<p>")).await,
        "200 cache-control=no-store content-type=text/html; charset=utf-8 <p>"
    );
    assert_eq!(
        told(respond::see_other("/login?flow=1").unwrap()).await,
        "303 cache-control=no-store location=/login?flow=1"
    );
    assert_eq!(
        told(respond::public(respond::JSON, "{}", Duration::from_mins(5))).await,
        "200 cache-control=public, max-age=300 content-type=application/json; charset=utf-8 {}"
    );
}

#[tokio::test]
async fn a_redirect_smuggles_no_header_in() {
    assert!(respond::see_other("/x\r\nset-cookie: a=b").is_err());
}

#[tokio::test]
async fn st_50_a_body_that_cannot_be_serialised_tells_nothing() {
    let keyed_by_bytes = BTreeMap::from([([4_u8, 2], "428193")]);
    assert_eq!(told(respond::json(StatusCode::OK, &keyed_by_bytes)).await, "500 cache-control=no-store");
}
