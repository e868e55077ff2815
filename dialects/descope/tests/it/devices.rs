//! Devices that an address knows: their codes stay short and their flows their own, whatever strangers ask.

use serde_json::json;
use testkit::world::other_than;

use crate::support::{ADA, Answer, BOB, Mounted};

async fn starts(mounted: &Mounted, token: &str) -> String {
    let body = json!({ "loginId": ADA }).to_string();
    mounted.post_as(token, "/v1/auth/otp/signin/email", &body).await.ok();
    mounted.code(ADA).await
}

async fn brings(mounted: &Mounted, token: &str, code: &str) -> Answer {
    mounted.post_as(token, "/v1/auth/otp/verify/email", &json!({ "loginId": ADA, "code": code }).to_string()).await
}

#[tokio::test]
async fn st_08_a_refresh_token_keeps_its_owners_codes_short() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    let foreign = mounted.signed_in(BOB).await.refresh_jwt();
    // Strangers guess all they may, and ask for the long code that follows.
    mounted.start("signin", ADA).await.ok();
    let short = mounted.code(ADA).await;
    for _ in 0..5 {
        mounted.verify(ADA, &other_than(&short)).await.refused(401, "E061102");
    }
    mounted.start("signin", ADA).await.ok();
    let long = mounted.code(ADA).await;
    assert_eq!(long.len(), 12);
    assert_eq!(starts(&mounted, &foreign).await, long, "somebody else's token shows nothing");
    let own = starts(&mounted, &token).await;
    assert_eq!(own.len(), 6);
    // What strangers may still guess, they guess at long codes.
    brings(&mounted, &foreign, &own).await.refused(401, "E061102");
    mounted.verify(ADA, &own).await.refused(401, "E061102");
    brings(&mounted, &token, &own).await.ok();
    // The long one is good as well, for whoever can read her mail.
    mounted.verify(ADA, &long).await.ok();
}

#[tokio::test]
async fn what_was_asked_with_a_token_may_be_brought_without_one() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    let code = starts(&mounted, &token).await;
    mounted.verify(ADA, &code).await.ok();
    mounted.verify(ADA, &code).await.refused(401, "E061102");
}
