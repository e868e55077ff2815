//! TLS and credentials: with whom mails are spoken about, and with whom not.

use std::time::Duration;

use countersign_courier::{Relay, RelayError, RelaySettings, Security, SendError};
use engine::Secret;
use testkit::mailbox::{MailboxOptions, MailboxTls, Rule, Stage};

use crate::support::{PATIENCE, mail, plain, secured};

/// What becomes of a mail at a relay so set up.
async fn sent(settings: RelaySettings) -> Result<(), SendError> {
    let mail = mail("ada@example.org", 77);
    Relay::new(settings).unwrap().send(&mail.envelope, &mail.content).await
}

fn failure(outcome: Result<(), SendError>) -> String {
    let error = outcome.unwrap_err();
    assert!(matches!(error, SendError::RelayFailed { .. }), "never permanent for the mail: {error:?}");
    error.to_string()
}

#[tokio::test]
async fn starttls_under_an_own_authority_works() {
    let Some((mailbox, settings)) = secured(MailboxTls::StartTls, MailboxOptions::default()) else { return };
    sent(settings).await.unwrap();
    assert_eq!(mailbox.wait_for("ada@example.org", 1, PATIENCE).await.len(), 1);
    let said = String::from_utf8(mailbox.transcripts().await.concat()).unwrap();
    assert!(said.starts_with("EHLO [127.0.0.1]\r\nSTARTTLS\r\n"), "{said}");
    assert_eq!(mailbox.count("EHLO").await, 2, "once more under tls");
}

#[tokio::test]
async fn a_relay_can_be_known_by_its_ip_address() {
    let Some((mailbox, mut settings)) = secured(MailboxTls::StartTls, MailboxOptions::default()) else { return };
    settings.host = "127.0.0.1".to_owned();
    sent(settings).await.unwrap();
    assert_eq!(mailbox.messages().await.len(), 1);
}

#[tokio::test]
async fn implicit_tls_works() {
    let Some((mailbox, settings)) = secured(MailboxTls::Implicit, MailboxOptions::default()) else { return };
    sent(settings).await.unwrap();
    assert_eq!(mailbox.wait_for("ada@example.org", 1, PATIENCE).await.len(), 1);
}

#[tokio::test]
async fn a_certificate_for_another_host_name_is_refused() {
    let options =
        || MailboxOptions { certificate_names: vec!["mail.example.net".to_owned()], ..MailboxOptions::default() };
    for tls in [MailboxTls::StartTls, MailboxTls::Implicit] {
        let Some((mailbox, settings)) = secured(tls, options()) else { return };
        assert_eq!(failure(sent(settings).await), "the relay's certificate is for another host name");
        assert!(mailbox.offered().await.is_empty());
        assert_eq!(mailbox.count("MAIL").await, 0);
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let Some((mailbox, mut settings)) = secured(MailboxTls::StartTls, MailboxOptions::default()) else { return };
    let Some((_other, of_other)) = secured(MailboxTls::StartTls, MailboxOptions::default()) else { return };
    settings.certificate_authority = of_other.certificate_authority;
    assert_eq!(failure(sent(settings).await), "the relay's certificate is from an authority we do not know");
    assert_eq!(mailbox.count("MAIL").await, 0);
}

#[tokio::test]
async fn a_relay_that_does_not_offer_starttls_is_refused() {
    let Some((mailbox, _)) = plain() else { return };
    let mut settings = RelaySettings::new("127.0.0.1", mailbox.port(), Security::StartTls);
    let Some((_other, of_other)) = secured(MailboxTls::StartTls, MailboxOptions::default()) else { return };
    settings.certificate_authority = of_other.certificate_authority;
    settings.credentials = Some(("user".to_owned(), Secret::new("password".to_owned())));
    assert_eq!(failure(sent(settings).await), "the relay does not offer starttls");
    let said = mailbox.transcripts().await.concat();
    assert_eq!(said, b"EHLO [127.0.0.1]\r\n", "neither mail nor password was said in clear");
}

#[tokio::test]
async fn a_relay_that_refuses_starttls_or_says_more_than_its_answer_is_refused() {
    let Some((mailbox, settings)) = secured(MailboxTls::StartTls, MailboxOptions::default()) else { return };
    mailbox.add_rule(Rule::answer(Stage::StartTls, "454 4.7.0 not now").times(1)).await;
    assert_eq!(failure(sent(settings.clone()).await), "the relay refused starttls: 454 4.7.0");
    mailbox.add_rule(Rule::answer(Stage::StartTls, "220 go ahead\r\n250 injected").times(1)).await;
    assert_eq!(failure(sent(settings).await), "something was said in clear behind the relay's answer to starttls");
    assert_eq!(mailbox.count("MAIL").await, 0);
}

#[tokio::test]
async fn credentials_are_given_under_tls_by_plain_and_by_login() {
    for withheld in ["LOGIN", "PLAIN"] {
        let options = MailboxOptions {
            credentials: Some(("countersign".to_owned(), "pass word: ü".to_owned())),
            mechanisms_withheld: vec![withheld.to_owned()],
            ..MailboxOptions::default()
        };
        let Some((mailbox, mut settings)) = secured(MailboxTls::StartTls, options) else { return };
        settings.credentials = Some(("countersign".to_owned(), Secret::new("pass word: ü".to_owned())));
        sent(settings.clone()).await.unwrap();
        assert_eq!(mailbox.messages().await.len(), 1, "without {withheld}");

        settings.credentials = Some(("countersign".to_owned(), Secret::new("wrong".to_owned())));
        assert_eq!(failure(sent(settings.clone()).await), "the relay refused our credentials: 535 5.7.8");
        settings.credentials = None;
        assert_eq!(failure(sent(settings).await), "the relay refused the sender: 530 5.7.0");
    }
}

#[tokio::test]
async fn a_relay_without_a_way_to_sign_in_is_never_told_the_password() {
    let Some((mailbox, mut settings)) = secured(MailboxTls::StartTls, MailboxOptions::default()) else { return };
    settings.credentials = Some(("countersign".to_owned(), Secret::new("password".to_owned())));
    mailbox.add_rule(Rule::answer(Stage::Ehlo, "250-mailbox.test\r\n250- \r\n250 STARTTLS").times(2)).await;
    let reason = failure(timeout(sent(settings)).await);
    assert_eq!(reason, "the relay offers neither auth plain nor auth login");
    assert_eq!(mailbox.count("AUTH").await, 0);
}

async fn timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

#[test]
fn a_relay_that_cannot_be_secured_is_refused_when_it_is_set_up() {
    let mut in_clear = RelaySettings::new("mail.example.com", 25, Security::Plain);
    in_clear.credentials = Some(("user".to_owned(), Secret::new("password".to_owned())));
    assert_eq!(Relay::new(in_clear).unwrap_err(), RelayError::CredentialsInClear);
    let mut settings = RelaySettings::new("mail.example.com", 587, Security::StartTls);
    settings.certificate_authority = Some(b"no certificate".to_vec());
    assert_eq!(Relay::new(settings.clone()).unwrap_err(), RelayError::CertificateAuthority);
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    settings.certificate_authority = Some(broken.to_vec());
    assert_eq!(Relay::new(settings.clone()).unwrap_err(), RelayError::CertificateAuthority);
    settings.hello_name = "two words".to_owned();
    assert_eq!(Relay::new(settings).unwrap_err(), RelayError::HelloName);
}
