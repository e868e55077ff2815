//! Served as an operator has it, an address that somebody has and one that nobody has get the same answers.

use std::time::Duration;

use testkit::server::Answer;
use testkit::world::Backend;
use tokio::time::{Instant, sleep};

use super::entry::{Entry, Verdict};
use super::stage::Stage;
use super::{entries, other_doors};

/// How many guesses are tried: two more than are looked at.
const GUESSES: usize = 7;

/// Asking again before this has passed is asking once, at most entries; after it, it is too soon.
const AT_ONCE: Duration = Duration::from_secs(2);

/// All that somebody is told who asks for a code to `address` and does not get it: masked. He asks again after `pause`; none where that
/// is none and it took too long to say whether it was at once.
async fn told(stage: &Stage, entry: &Entry, address: &str, pause: Duration) -> Option<Vec<String>> {
    let mut visitor = stage.visitor();
    let mut own = vec![address.to_owned()];
    let began = Instant::now();
    let live = (entry.ask)(stage, &mut visitor, address).await;
    if let Some(live) = live {
        own.extend(live.replaces.clone());
        sleep(pause).await;
        visitor.send_as_is(&live.again).await;
        if pause.is_zero() && began.elapsed() >= AT_ONCE {
            return None;
        }
        // What is owed is out: a flow whose guesses are spent sends nothing any more.
        stage.mailed().await;
        for guess in 0..GUESSES {
            let answer = visitor.send_as_is(&live.bring(&format!("00000{guess}"))).await;
            assert_ne!(live.verdict(&answer), Verdict::Passed, "{}: one in a million", entry.name);
        }
    }
    Some(visitor.answers.iter().map(|answer| masked(answer, &own)).collect())
}

/// The whole answer without what differs between any two: ids, tokens, times, and the addresses of `own`.
fn masked(answer: &Answer, own: &[String]) -> String {
    let mut answer = answer.clone();
    // Of what is masked in the body, ids of decimal digits are of several lengths.
    answer.headers.retain(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "content-length"));
    let mut whole = answer.whole();
    for address in own {
        whole = whole.replace(address, "ADDRESS").replace(&address.replace('@', "%40"), "ADDRESS");
    }
    if let Some(wait) = answer.header("retry-after") {
        let seconds: u64 = wait.parse().unwrap();
        assert!((1..=600).contains(&seconds), "{whole}");
        // As every other number is masked: a second later the wait is another one, and what was alike is not.
        let is_wait = |word: &str| without_unit(word) == wait;
        whole = replaced(&whole, "", |word| if is_wait(word) { "NUMBER".to_owned() } else { word.to_owned() });
    }
    // Tokens first, in base64 of either kind; their lengths are chance, too. No path is so long.
    let whole = replaced(&whole, "+/-_", |word| if word.len() >= 40 { "TOKEN".to_owned() } else { word.to_owned() });
    replaced(&whole, "-_.", mask)
}

/// `text` with each word of letters, digits and `others` replaced by what `mask` makes of it.
fn replaced(text: &str, others: &str, mask: impl Fn(&str) -> String) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || others.contains(character);
    let mut replaced = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|character| !is_part(character)).unwrap_or(rest.len()));
        let (between, after) = after.split_at(after.find(is_part).unwrap_or(after.len()));
        replaced.push_str(&mask(word));
        replaced.push_str(between);
        rest = after;
    }
    replaced
}

/// `30` of `30s`.
fn without_unit(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

/// A word, or what kind of a word it is.
fn mask(word: &str) -> String {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    // A date and its hour, or seconds and their parts: `2026-01-31T12`, `49.240Z`.
    let is_moment = (word.starts_with("20") && digits >= 8 && word.len() <= 13 && word.contains('-'))
        || (word.ends_with('Z') && digits >= 2 && digits + 2 >= word.len());
    if is_moment {
        return "MOMENT".to_owned();
    }
    // Statuses have three digits, the numbers of what Kratos says seven. Minutes, waits, unix times and ids have others.
    if digits > 0 && digits == without_unit(word).len() && !matches!(digits, 1 | 3 | 7) {
        return "NUMBER".to_owned();
    }
    // Drawn by chance, or sealed: as long as every other of its kind.
    if word.len() >= 16 && digits > 0 {
        return format!("CHANCE-{}", word.len());
    }
    word.to_owned()
}

/// Asks at every door for an address that was added, and for one that was not.
async fn cannot_be_told_apart(sign_up: bool) {
    let Some(stage) = Stage::serve(sign_up).await else { return };
    let mut pairs = Vec::new();
    let mut pause = Duration::ZERO;
    for entry in entries().into_iter().chain(other_doors()) {
        let (known, unknown, of_known, of_unknown) = loop {
            let (known, unknown) = (stage.address(), stage.address());
            stage.add(&known).await;
            let of_known = told(&stage, &entry, &known, pause).await;
            let of_unknown = told(&stage, &entry, &unknown, pause).await;
            if let (Some(of_known), Some(of_unknown)) = (of_known, of_unknown) {
                break (known, unknown, of_known, of_unknown);
            }
            // Too slow for that: from here on nobody asks at once. (Trying it again and again would spend what one network may send.)
            pause = AT_ONCE + Duration::from_millis(100);
        };
        pairs.push(format!("('{known}', '{unknown}')"));
        assert_eq!(of_known.len(), of_unknown.len(), "{}", entry.name);
        for (of_known, of_unknown) in of_known.iter().zip(&of_unknown) {
            assert_eq!(of_known, of_unknown, "{}", entry.name);
        }
        // It is not that nobody gets anything: who can answer has a mail, and nobody else.
        let mailed = stage.mailed().await;
        let has_mail = [&known, &unknown].map(|address| mailed.contains(address));
        let is_begun = of_known.len() > GUESSES;
        match (is_begun, sign_up) {
            (false, _) => assert_eq!(has_mail, [false, false], "{}", entry.name),
            (true, _) if entry.is_for_users => assert_eq!(has_mail, [false, true], "{}", entry.name),
            (true, false) => assert_eq!(has_mail, [true, false], "{}", entry.name),
            (true, true) => assert!(has_mail.contains(&true), "{}", entry.name),
        }
        let guesses = if of_known.len() > GUESSES { GUESSES } else { 0 };
        println!("{}: {} answers are the same, {guesses} of them to guesses", entry.name, of_known.len());
    }
    let differ = stage.stop(&differences(&pairs)).await;
    assert!(
        differ.is_none_or(|differ| differ == 0),
        "of so many pairs more is kept about one than about the other: {differ:?}"
    );
}

/// Counts the `pairs` of addresses about which not as many rows are kept, or not as long ones. What the courier notes when it has sent a
/// message, or has not, is not of the start.
fn differences(pairs: &[String]) -> String {
    let joined = match Backend::usual() {
        Backend::Postgres => |of_each: &str| format!("string_agg({of_each}, ',')"),
        Backend::Memory | Backend::Sqlite => |of_each: &str| format!("group_concat({of_each})"),
    };
    let kept = |address: &str| {
        let rows = |table: &str, order: &str, of_each: &str| {
            format!(
                "(SELECT count(*) || ':' || coalesce({}, '') FROM \
                 (SELECT * FROM {table} WHERE address = {address} ORDER BY {order}) AS kept)",
                joined(of_each),
            )
        };
        [
            rows("flows", "id", "attempts || '/' || sends || '/' || epoch || '/' || length(coalesce(code_digest, ''))"),
            rows("outbox", "id", "'' || length(coalesce(link, ''))"),
            rows("budgets", "project", "length(stranger) || '/' || length(known)"),
        ]
        .join(" || ';' || ")
    };
    format!(
        "SELECT count(*) FROM (VALUES {}) AS pairs WHERE {} <> {}",
        pairs.join(", "),
        kept("column1"),
        kept("column2"),
    )
}

#[tokio::test]
async fn st_34_st_35_a_known_and_an_unknown_address_get_the_same_answers_where_nobody_signs_up() {
    cannot_be_told_apart(false).await;
}

#[tokio::test]
async fn st_34_st_35_a_known_and_an_unknown_address_get_the_same_answers_where_anybody_signs_up() {
    cannot_be_told_apart(true).await;
}
