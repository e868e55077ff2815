//! That no secret prints.

use super::development::development_settings;
use super::*;

#[test]
fn a_configuration_prints_no_secret_and_no_refusal_does() {
    let folder = Folder::new();
    let relay = "url = 'smtp://x', username = 'ada', password_file = 'relay.password'";
    let text = least_with("url = \"smtp://mail.example.com\"", relay);
    let older = STANDARD.encode(OLDER_KEY);
    let config = folder.parse(&text, &[("COUNTERSIGN__KEYS__OLDER_MASTER_KEY", &older)]).unwrap();
    let development = Config::development(development_settings()).unwrap();
    let mut printed = vec![format!("{config:?} {config:#?} {:#?}", config.relays), format!("{development:?}")];

    // What goes wrong may be near a secret, and must not quote it.
    let key = STANDARD.encode(KEY);
    printed.push(
        folder
            .refusal(&least_with("keys.master_key_file = \"master.key\"", &format!("keys.master_key = '{key}'")), &[]),
    );
    printed.push(folder.refusal(LEAST, &[("COUNTERSIGN__KEYS__OLDER_MASTER_KEY", &key[1..])]));
    printed.push(folder.refusal(&text.replace("smtp://x", &format!("smtp://ada:{PASSWORD}@x")), &[]));
    printed.push(folder.refusal(&least_with("origin", &format!("keys.master_key = '{key}\norigin")), &[]));
    printed.push(folder.refusal(LEAST, &[("COUNTERSIGN__KEYS__MASTER_KEY", "[1, 2]"), ("COUNTERSIGN__KEYS__X", &key)]));

    let secrets = [
        PASSWORD.to_owned(),
        key,
        older,
        String::from_utf8(KEY.to_vec()).unwrap(),
        STANDARD.encode(DEVELOPMENT_KEY),
        format!("{KEY:?}").trim_matches(['[', ']']).to_owned(),
        format!("{OLDER_KEY:?}").trim_matches(['[', ']']).to_owned(),
        format!("{DEVELOPMENT_KEY:?}").trim_matches(['[', ']']).to_owned(),
    ];
    for text in printed {
        assert!(!text.is_empty());
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()) && !text.contains(&secret[1..secret.len() - 1]), "{text}");
        }
    }
}
