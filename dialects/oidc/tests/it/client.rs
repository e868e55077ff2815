//! Who an application is, at the token endpoint and at revocation alike.

use crate::support::{Mounted, SECRET, basic};

const PATHS: [&str; 2] = ["/oauth/v2/token", "/oauth/v2/revoke"];

#[tokio::test]
async fn who_is_nobody_or_has_another_secret_is_refused() {
    let mounted = Mounted::new().await;
    for path in PATHS {
        for form in [
            &[][..],
            &[("client_id", "nobody")],
            &[("client_id", "web")],
            &[("client_id", "web"), ("client_secret", "")],
            &[("client_id", "web"), ("client_secret", "wrong")],
            &[("client_id", "app"), ("client_secret", "wrong")],
            &[("client_secret", SECRET)],
        ] {
            let answer = mounted.post(path, form, &[]).await;
            assert_eq!(answer.error(), (401, "invalid_client".to_owned()), "{path} {form:?}");
            assert_eq!(answer.header("www-authenticate"), "", "{path} {form:?}");
        }
        for authorization in [
            basic("web", "wrong"),
            basic("nobody", SECRET),
            basic("web", ""),
            basic("app", "wrong"),
            "Basic".to_owned(),
            "Basic !".to_owned(),
            "Basic d2Vi".to_owned(),
            "Bearer x".to_owned(),
        ] {
            let answer = mounted.post(path, &[], &[("authorization", &authorization)]).await;
            assert_eq!(answer.error(), (401, "invalid_client".to_owned()), "{path} {authorization}");
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"countersign\"");
        }
        let other = mounted.post(path, &[("client_id", "app")], &[("authorization", &basic("web", SECRET))]).await;
        assert_eq!(other.error(), (401, "invalid_client".to_owned()));
    }
}

#[tokio::test]
async fn one_way_to_authenticate_is_enough() {
    let mounted = Mounted::new().await;
    for path in PATHS {
        let form = [("client_id", "web"), ("client_secret", SECRET)];
        let answer = mounted.post(path, &form, &[("authorization", &basic("web", SECRET))]).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()));
    }
}

#[tokio::test]
async fn who_is_who_he_says_gets_further() {
    let mounted = Mounted::new().await;
    let plain = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("web:{}", SECRET.replace('+', "%2B")),
    );
    for (form, headers) in [
        (&[("client_id", "app")][..], vec![]),
        (&[("client_id", "web"), ("client_secret", SECRET)], vec![]),
        (&[], vec![("authorization", basic("web", SECRET))]),
        (&[("client_id", "web")], vec![("authorization", basic("web", SECRET).replace("Basic", "basic"))]),
        (&[], vec![("authorization", basic("app", ""))]),
        (&[], vec![("authorization", format!("Basic {plain}"))]),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for path in PATHS {
            let answer = mounted.post(path, form, &headers).await;
            assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{form:?} {headers:?}");
        }
    }
}
