//! What the address learns that another one takes the place of.

use super::entries;
use super::entry::Verdict;
use super::stage::Stage;

#[tokio::test]
async fn st_33_the_old_address_is_told_by_a_mail_once_the_new_one_is_proved_and_not_before() {
    let Some(stage) = Stage::serve(false).await else { return };
    let mut told = 0;
    for entry in entries().iter().filter(|entry| entry.is_for_users) {
        let address = stage.address();
        let live = stage.ask(entry, &address).await;
        let Some(old) = live.replaces.clone() else { continue };
        let code = stage.code_to(&address).await;
        assert_eq!(stage.bring(&live, "WRONG1").await, Verdict::Wrong, "{}", entry.name);
        // Nothing is owed any more, and to the old one went nothing but the code by which its owner signed in.
        stage.mailed().await;
        assert_eq!(stage.mails_to(&old, 1).await.len(), 1, "{}", entry.name);
        assert_eq!(stage.bring(&live, &code).await, Verdict::Passed, "{}", entry.name);
        stage.proved(&live, &address);
        let notice = stage.mails_to(&old, 2).await.remove(1);
        assert_eq!(notice.recipients, [old], "{}", entry.name);
        let subject = notice.header("Subject").unwrap();
        assert!(subject.starts_with("The address of your account at "), "{}: {subject}", entry.name);
        let text = notice.text();
        assert!(text.contains("a***@example.com") && !text.contains(&address), "{}: {text}", entry.name);
        // A second try is no second change.
        assert_ne!(stage.bring(&live, &code).await, Verdict::Passed, "{}", entry.name);
        told += 1;
    }
    assert!(told > 0, "some entry replaces an address");
    stage.mailed().await;
    let notices = stage.stop("SELECT count(*) FROM outbox WHERE kind = 'address_replaced' AND state = 'sent'").await;
    assert!(notices.is_none_or(|notices| notices == told), "{notices:?} of {told}");
}
