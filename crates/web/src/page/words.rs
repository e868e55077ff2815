//! The words on pages: a catalogue for each language, and the choice among them.

use std::collections::BTreeMap;
use std::fmt;

/// The words of one language, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    language: String,
    table: BTreeMap<String, String>,
}

impl Words {
    /// Its language tag, as in `en`.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// All words by their names, for templates.
    pub fn table(&self) -> &BTreeMap<String, String> {
        &self.table
    }

    /// The word called `name`; its name, if there is none.
    pub fn get<'a>(&'a self, name: &'a str) -> &'a str {
        self.table.get(name).map_or(name, String::as_str)
    }
}

/// All languages a surface speaks. The first one knows every word.
#[derive(Debug, Clone)]
pub struct Catalogue {
    first: Words,
    others: Vec<Words>,
}

/// A catalogue that cannot be used: which language, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordsError {
    language: String,
    problem: String,
}

impl fmt::Display for WordsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the words of `{}`: {}", self.language, self.problem)
    }
}

impl std::error::Error for WordsError {}

impl Catalogue {
    /// Reads languages (a tag, and TOML that is one table of strings): `first` is spoken to whoever wants none of the `others`.
    ///
    /// # Errors
    /// Text that is no such table; a word that the first language does not have, or with other placeholders.
    pub fn new(first: (&str, &str), others: &[(&str, &str)]) -> Result<Self, WordsError> {
        let first = read(first)?;
        let others = others.iter().map(|other| complete(read(*other)?, &first)).collect::<Result<_, _>>()?;
        Ok(Self { first, others })
    }

    /// The words in the language that is wanted most: `wanted` are language tags in the order of preference, of which also
    /// only the first part (`de` of `de-AT`) counts.
    pub fn choose<'a>(&self, mut wanted: impl Iterator<Item = &'a str>) -> &Words {
        let speaks = |tag: &str| {
            let primary = tag.split(['-', '_']).next().unwrap_or(tag);
            let mut all = std::iter::once(&self.first).chain(&self.others);
            all.find(|words| words.language.eq_ignore_ascii_case(tag) || words.language.eq_ignore_ascii_case(primary))
        };
        wanted.find_map(speaks).unwrap_or(&self.first)
    }
}

/// The tags of an `accept-language` header (RFC 9110, 12.5.4), the most wanted first.
pub fn accepted(header: &str) -> impl Iterator<Item = &str> {
    let mut tags: Vec<(u16, &str)> = header.split(',').take(20).filter_map(weighted).collect();
    // Stable: of two that are wanted alike, the first one named.
    tags.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    tags.into_iter().map(|(_, tag)| tag)
}

/// A tag and its weight in thousandths; none where it is not wanted at all.
fn weighted(item: &str) -> Option<(u16, &str)> {
    let mut parts = item.split(';').map(str::trim);
    let tag = parts.next().filter(|tag| !tag.is_empty() && *tag != "*")?;
    let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1000), thousandths)?;
    (weight > 0).then_some((weight, tag))
}

/// RFC 9110, 12.4.2: `0` to `1` with at most three decimals.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let decimals: u16 = format!("{decimals:0<3}").get(..3)?.parse().ok()?;
    Some((whole * 1000 + decimals).min(1000))
}

fn read((language, text): (&str, &str)) -> Result<Words, WordsError> {
    match toml::from_str(text) {
        Ok(table) => Ok(Words { language: language.to_owned(), table }),
        Err(error) => Err(WordsError { language: language.to_owned(), problem: error.message().trim().to_owned() }),
    }
}

/// `words` with what they lack in the words of `first`.
fn complete(mut words: Words, first: &Words) -> Result<Words, WordsError> {
    for (name, text) in &words.table {
        let problem = match first.table.get(name) {
            None => format!("`{name}` is no word of `{}`", first.language),
            Some(original) if placeholders(original) != placeholders(text) => {
                format!("`{name}` has other placeholders than in `{}`", first.language)
            }
            Some(_) => continue,
        };
        return Err(WordsError { language: words.language, problem });
    }
    for (name, text) in &first.table {
        words.table.entry(name.clone()).or_insert_with(|| text.clone());
    }
    Ok(words)
}

/// The names in braces, sorted.
fn placeholders(text: &str) -> Vec<&str> {
    let mut names: Vec<_> =
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: (&str, &str) = ("en", "hello = 'Hello, {name}'\nbye = 'Bye'");

    fn chosen(header: &str) -> String {
        let catalogue =
            Catalogue::new(ENGLISH, &[("de", "hello = 'Hallo, {name}'"), ("pt-BR", "bye = 'Tchau'")]).unwrap();
        catalogue.choose(accepted(header)).language().to_owned()
    }

    #[test]
    fn the_language_that_is_wanted_most_is_spoken() {
        for (header, language) in [
            ("", "en"),
            ("*", "en"),
            ("de", "de"),
            ("de-AT, en;q=0.9", "de"),
            ("fr, de;q=0.2, en;q=0.8", "en"),
            ("fr;q=0.9, DE;q=0.25, en;q=0.2", "de"),
            ("de;q=0, en;q=0.1", "en"),
            ("pt", "en"),
            ("pt-br", "pt-BR"),
            (";;;,q=,de;q=x", "en"),
        ] {
            assert_eq!(chosen(header), language, "{header}");
        }
    }

    #[test]
    fn a_word_that_a_language_lacks_is_said_in_the_first() {
        let catalogue = Catalogue::new(ENGLISH, &[("de", "hello = 'Hallo, {name}'")]).unwrap();
        let words = catalogue.choose(std::iter::once("de"));
        assert_eq!((words.get("hello"), words.get("bye")), ("Hallo, {name}", "Bye"));
    }

    #[test]
    fn words_that_cannot_be_used_are_refused() {
        for (text, sentence) in [
            ("hi = 'Hi'", "the words of `de`: `hi` is no word of `en`"),
            ("hello = 'Hallo, {person}'", "the words of `de`: `hello` has other placeholders than in `en`"),
            ("hello = 3", "the words of `de`: invalid type: integer `3`, expected a string"),
        ] {
            assert_eq!(Catalogue::new(ENGLISH, &[("de", text)]).unwrap_err().to_string(), sentence);
        }
    }
}
