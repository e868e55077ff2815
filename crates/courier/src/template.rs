//! What a mail says: subject, text and HTML from one typed context.
//!
//! Nothing a user chose is ever in the context: brand and host come from the configuration, code and purpose from the flow. Only to
//! an address that was replaced is it told, masked, by which one. A template that names a value it is not given fails instead of leaving a hole, and HTML is escaped.

use std::fmt;
use std::time::Duration;

use engine::{Purpose, Secret, Timestamp};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use thiserror::Error;

/// What a mail with a code is made of.
#[derive(Debug, Clone, Copy)]
pub struct CodeMail<'a> {
    /// What passing the code means.
    pub purpose: Purpose,
    /// The code, as it is typed.
    pub code: &'a Secret<String>,
    /// Where it may be brought back by a click.
    pub link: Option<&'a Secret<String>>,
    /// How many minutes it has left to live.
    pub minutes: u64,
    /// The host that it is typed into: the public origin without scheme and port.
    pub host: &'a str,
    /// What the operator calls the product.
    pub brand: &'a str,
}

/// How many minutes a code that dies at `not_after` has left to live, as told to a person: rounded down, but not for the
/// seconds that a prompt mail takes.
pub fn minutes_left(now: Timestamp, not_after: Timestamp) -> u64 {
    not_after.since(now).saturating_add(Duration::from_secs(15)).as_secs() / 60
}

/// A mail's words. They hold the code: `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject, one line, without the code: subjects are logged and shown on locked screens.
    pub subject: String,
    /// The plain text. The code stands on a line of its own; the last line binds it to the host.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rendered").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A template that cannot be used. Its text names the template and the line, never a value.
#[derive(Debug, Error)]
#[error("the mail template {name} failed: {kind}{}", line.map(|line| format!(" in line {line}")).unwrap_or_default())]
pub struct TemplateError {
    name: &'static str,
    kind: minijinja::ErrorKind,
    line: Option<usize>,
}

/// All mail templates.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

const CODE_SUBJECT: &str = "code.subject";
const CODE_TEXT: &str = "code.txt";
const CODE_HTML: &str = "code.html";
const NO_ACCOUNT_SUBJECT: &str = "no_account.subject";
const NO_ACCOUNT_TEXT: &str = "no_account.txt";
const NO_ACCOUNT_HTML: &str = "no_account.html";
const ADDRESS_REPLACED_SUBJECT: &str = "address_replaced.subject";
const ADDRESS_REPLACED_TEXT: &str = "address_replaced.txt";
const ADDRESS_REPLACED_HTML: &str = "address_replaced.html";

/// An HTML template between what all of them begin and end with.
macro_rules! framed {
    ($name:literal) => {
        concat!(
            include_str!("../templates/top.html"),
            include_str!(concat!("../templates/", $name)),
            include_str!("../templates/bottom.html"),
        )
    };
}

impl Templates {
    /// The templates that come with the program.
    ///
    /// # Refusals
    /// A template that cannot be read.
    pub fn new() -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let sources = [
            (CODE_SUBJECT, include_str!("../templates/code.subject")),
            (CODE_TEXT, include_str!("../templates/code.txt")),
            (CODE_HTML, framed!("code.html")),
            (NO_ACCOUNT_SUBJECT, include_str!("../templates/no_account.subject")),
            (NO_ACCOUNT_TEXT, include_str!("../templates/no_account.txt")),
            (NO_ACCOUNT_HTML, framed!("no_account.html")),
            (ADDRESS_REPLACED_SUBJECT, include_str!("../templates/address_replaced.subject")),
            (ADDRESS_REPLACED_TEXT, include_str!("../templates/address_replaced.txt")),
            (ADDRESS_REPLACED_HTML, framed!("address_replaced.html")),
        ];
        for (name, source) in sources {
            environment.add_template(name, source).map_err(|error| failed(name, &error))?;
        }
        Ok(Self { environment })
    }

    /// The words of a mail with a code.
    ///
    /// # Refusals
    /// A template that wants a value it is not given.
    pub fn render_code(&self, mail: &CodeMail<'_>) -> Result<Rendered, TemplateError> {
        let CodeMail { purpose, code, link, minutes, host, brand } = *mail;
        let subject = self.render(CODE_SUBJECT, context! { purpose => purpose.name(), brand })?.trim().to_owned();
        let link = link.map(Secret::expose);
        let words = context! { subject => subject.as_str(), code => code.expose(), link, minutes, host, brand };
        Ok(Rendered { text: self.render(CODE_TEXT, words.clone())?, html: self.render(CODE_HTML, words)?, subject })
    }

    /// The words of a mail that tells whoever reads an address that nobody has an account with it.
    ///
    /// # Refusals
    /// A template that wants a value it is not given.
    pub fn render_no_account(&self, host: &str, brand: &str) -> Result<Rendered, TemplateError> {
        let subject = self.render(NO_ACCOUNT_SUBJECT, context! { brand })?.trim().to_owned();
        let words = context! { subject => subject.as_str(), host, brand };
        let text = self.render(NO_ACCOUNT_TEXT, words.clone())?;
        Ok(Rendered { text, html: self.render(NO_ACCOUNT_HTML, words)?, subject })
    }

    /// The words of a mail that tells whoever reads an address that the one that is `by` masked took its place at `when`.
    ///
    /// # Refusals
    /// See [`Templates::render_code`].
    pub fn render_address_replaced(
        &self,
        by: &str,
        when: Timestamp,
        host: &str,
        brand: &str,
    ) -> Result<Rendered, TemplateError> {
        let subject = self.render(ADDRESS_REPLACED_SUBJECT, context! { brand })?.trim().to_owned();
        let words = context! { subject => subject.as_str(), by, when => to_the_minute(when), host, brand };
        let text = self.render(ADDRESS_REPLACED_TEXT, words.clone())?;
        Ok(Rendered { text, html: self.render(ADDRESS_REPLACED_HTML, words)?, subject })
    }

    /// Every mail there is, rendered with invented values: what `countersign check` looks at.
    ///
    /// # Refusals
    /// See [`Templates::render_code`].
    pub fn samples(&self) -> Result<Vec<Rendered>, TemplateError> {
        let code = Secret::new("042817".to_owned());
        let link = Secret::new("https://accounts.example.com/verify?code=042817".to_owned());
        let (host, brand) = ("accounts.example.com", "Example & Sons");
        let mut mails =
            [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp, Purpose::VerifyAddress, Purpose::ChangeAddress]
                .into_iter()
                .map(|purpose| {
                    self.render_code(&CodeMail { purpose, code: &code, link: Some(&link), minutes: 10, host, brand })
                })
                .collect::<Result<Vec<_>, _>>()?;
        mails.push(self.render_no_account(host, brand)?);
        let when = Timestamp::from_millis(1_795_230_245_007);
        mails.push(self.render_address_replaced("a***@example.org", when, host, brand)?);
        Ok(mails)
    }

    fn render(&self, name: &'static str, words: Value) -> Result<String, TemplateError> {
        let template = self.environment.get_template(name).map_err(|error| failed(name, &error))?;
        template.render(words).map_err(|error| failed(name, &error))
    }
}

/// `when` as told to a person who may be anywhere: `2026-11-21 03:04 UTC`.
fn to_the_minute(when: Timestamp) -> String {
    let text = when.rfc3339();
    let (date, time) = text.split_once('T').unwrap_or_default();
    format!("{date} {} UTC", time.get(..5).unwrap_or_default())
}

fn failed(name: &'static str, error: &minijinja::Error) -> TemplateError {
    TemplateError { name, kind: error.kind(), line: error.line() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(brand: &str, minutes: u64) -> Rendered {
        let code = Secret::new("042817".to_owned());
        let mail = CodeMail {
            purpose: Purpose::SignInOrUp,
            code: &code,
            link: None,
            minutes,
            host: "accounts.example.com",
            brand,
        };
        Templates::new().unwrap().render_code(&mail).unwrap()
    }

    #[test]
    fn the_text_says_what_it_is_and_ends_in_an_origin_bound_code() {
        let mail = rendered("Example", 10);
        assert_eq!(mail.subject, "Your code to sign in to Example");
        let lines: Vec<&str> = mail.text.lines().collect();
        assert_eq!(lines.iter().filter(|line| **line == "042817").count(), 1);
        assert_eq!(lines.last(), Some(&"@accounts.example.com #042817"));
        assert!(mail.text.contains("within the next 10 minutes"));
        assert!(mail.text.contains("If you did not ask for it"));
        assert!(mail.html.contains(">042817</p>"));
        assert!(rendered("Example", 1).text.contains("within the next 1 minute."));
    }

    #[test]
    fn every_purpose_says_what_its_code_is_for() {
        let subjects: Vec<String> =
            Templates::new().unwrap().samples().unwrap().into_iter().map(|mail| mail.subject).collect();
        assert_eq!(
            subjects,
            [
                "Your code to sign in to Example & Sons",
                "Your code to create your account at Example & Sons",
                "Your code to sign in to Example & Sons",
                "Your code to confirm your address for Example & Sons",
                "Your code to confirm your address for Example & Sons",
                "No account at Example & Sons with this address",
                "The address of your account at Example & Sons was changed",
            ]
        );
    }

    #[test]
    fn st_22_html_is_escaped_and_the_subject_never_holds_the_code() {
        let mail = rendered("<img src=x>&\"'", 10);
        assert!(!mail.html.contains("<img"), "{}", mail.html);
        assert!(mail.html.contains("&lt;img"), "{}", mail.html);
        assert!(mail.text.contains("<img src=x>&\"'"), "plain text is not escaped");
        assert!(!mail.subject.contains("042817"));
    }

    #[test]
    fn a_link_is_told_in_both_parts_and_the_code_still_ends_the_text() {
        let (code, link) =
            ("042817".to_owned().into(), "https://a.example/verify?flow=1&code=042817".to_owned().into());
        let mail = CodeMail {
            purpose: Purpose::VerifyAddress,
            code: &code,
            link: Some(&link),
            minutes: 10,
            host: "a.example",
            brand: "Example",
        };
        let mail = Templates::new().unwrap().render_code(&mail).unwrap();
        assert_eq!(mail.text.matches("https://a.example/verify?flow=1&code=042817").count(), 1);
        let escaped = "href=\"https:&#x2f;&#x2f;a.example&#x2f;verify?flow=1&amp;code=042817\"";
        assert_eq!(mail.html.matches(escaped).count(), 1, "{}", mail.html);
        assert_eq!(mail.text.lines().last(), Some("@a.example #042817"));
    }

    #[test]
    fn who_has_no_account_is_told_so_without_code_or_link() {
        let mail = Templates::new().unwrap().render_no_account("a.example", "Example").unwrap();
        assert_eq!(mail.subject, "No account at Example with this address");
        assert!(mail.text.contains("a.example") && !mail.text.contains("http") && !mail.html.contains("href"));
    }

    #[test]
    fn st_33_whose_address_was_replaced_is_told_by_which_and_when_without_code_or_link() {
        let when = Timestamp::from_millis(1_795_230_299_999);
        let mail = Templates::new().unwrap().render_address_replaced("&***@b.example", when, "a.example", "Example");
        let mail = mail.unwrap();
        assert_eq!(mail.subject, "The address of your account at Example was changed");
        for said in ["&***@b.example", "2026-11-21 03:04 UTC", "a.example", "If it was not you"] {
            assert_eq!(mail.text.matches(said).count().min(1), 1, "{said}: {}", mail.text);
            let said = said.replace('&', "&amp;");
            assert_eq!(mail.html.matches(&said).count().min(1), 1, "{said}: {}", mail.html);
        }
        for part in [&mail.text, &mail.html] {
            assert!(!part.contains("http") && !part.contains("href"), "{part}");
        }
    }

    #[test]
    fn a_mail_prints_without_its_code() {
        assert!(!format!("{:?}", rendered("Example", 10)).contains("042817"));
    }

    #[test]
    fn a_template_that_wants_what_it_is_not_given_fails_without_showing_values() {
        let mut templates = Templates::new().unwrap();
        templates.environment.add_template(CODE_TEXT, "{{ code }}\n{{ name_of_the_user }}").unwrap();
        let code = Secret::new("042817".to_owned());
        let mail = CodeMail {
            purpose: Purpose::SignIn,
            code: &code,
            link: None,
            minutes: 10,
            host: "a.example",
            brand: "Example",
        };
        let error = templates.render_code(&mail).unwrap_err();
        assert_eq!(error.to_string(), "the mail template code.txt failed: undefined value in line 2");
        assert!(!format!("{error:?}").contains("042817"));
    }

    #[test]
    fn minutes_are_rounded_down_but_a_prompt_mail_says_ten() {
        let ends = Timestamp::from_millis(600_000);
        let said = |now| minutes_left(Timestamp::from_millis(now), ends);
        assert_eq!([0, 5_000, 15_000, 16_000, 540_000, 600_000, 700_000].map(said), [10, 10, 10, 9, 1, 0, 0]);
    }
}
