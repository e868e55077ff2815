//! `countersign budget`: what the limits in force leave to whoever guesses, in figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use engine::{CodeFormat, LONG_GUESSES, Project, SHORT_GUESSES};

use super::{CommandError, print};
use crate::config::{Config, DevelopmentSettings, Environment};
use crate::dialects;

/// Print how likely it is that somebody guesses his way in, under the configuration in force.
///
/// Exits with 1 where a stranger's chance for an address and day is above the bound, which is then the reason.
#[derive(Debug, Args)]
pub(crate) struct Budget {
    /// The most that a stranger's chance for an address and day may be.
    #[arg(long, default_value_t = 6e-6, value_name = "CHANCE")]
    max: f64,
    /// How many codes an hour are tried in a project, at as many addresses as it takes.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    attempts_per_hour: u32,
    /// The configuration; without a file of this name, and without this option, that of `countersign dev --production-policy`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is read where no file is named.
const USUAL: &str = "countersign.toml";

/// Hours of a year.
const YEAR: f64 = 24.0 * 365.0;

impl Budget {
    pub(crate) fn run(self, environment: &Environment) -> Result<(), CommandError> {
        let named = self.config.clone().or_else(|| Some(PathBuf::from(USUAL)).filter(|file| file.exists()));
        let config = match &named {
            Some(file) => Config::read(file, environment)?,
            None => Config::development(DevelopmentSettings {
                production_policy: true,
                ..DevelopmentSettings::of(PathBuf::from("."))
            })?,
        };
        let of =
            named.map_or_else(|| "countersign dev --production-policy".to_owned(), |file| file.display().to_string());
        print(&format!("What {of} leaves to whoever guesses"))?;
        let formats = formats();
        let mut projects: Vec<_> = config.projects.iter().collect();
        projects.sort_by_key(|project| &project.id);
        for project in projects {
            print(&self.report(project, &formats))?;
        }
        let worst =
            formats.keys().map(|format| Chance::of(format.0)).fold(0.0, |worst, chance| chance.day().max(worst));
        if worst > self.max * (1.0 + 1e-9) {
            return Err(CommandError::Other(format!(
                "a stranger's chance for an address and day is {worst:.3e}, above the bound of {:.3e}",
                self.max
            )));
        }
        Ok(print(&format!(
            "\na stranger's chance for an address and day is at most {worst:.3e}; the bound is {:.3e}",
            self.max
        ))?)
    }

    fn report(&self, project: &Project, formats: &BTreeMap<Format, Vec<&'static str>>) -> String {
        let mut text = format!("\nproject {}\n", project.id);
        // Each message carries a short code that may be guessed at five times, if each goes to another address.
        let sends = project.policy.send_limit.map(|limit| u64::from(limit.project));
        let most = sends.map(|sends| sends.saturating_mul(SHORT_GUESSES as u64));
        let attempts = u64::from(self.attempts_per_hour);
        let evaluated = most.map_or(attempts, |most| most.min(attempts));
        for (Format(format), surfaces) in formats {
            let chance = Chance::of(*format);
            let expected = |attempts: u64| as_real(u128::from(attempts)) * YEAR / chance.short;
            // What cannot fail: text is written to memory.
            let _ = write!(
                text,
                "  codes of {} ({}), then of {}\n\
                 \x20   an address and day, strangers            {:.3e}  ({SHORT_GUESSES} short codes {:.3e}, {LONG_GUESSES} long ones {:.3e})\n\
                 \x20   an address and day, known devices        {:.3e}  (apart: who has one of them has the same again)\n\
                 \x20   an identity and day, strangers           {:.3e}  for each address it has\n\
                 \x20   guessed addresses a year                 {:.3}  at {attempts} attempts an hour in this project",
                format.words(),
                surfaces.join(", "),
                format.long().words(),
                chance.day(),
                chance.by_short(),
                chance.by_long(),
                chance.day(),
                chance.day(),
                expected(evaluated),
            );
            if let Some(most) = most {
                let _ = write!(
                    text,
                    "\n    guessed addresses a year, at the most    {:.3}  at {most} an hour: {} messages, {SHORT_GUESSES} guesses at each",
                    expected(most),
                    most / SHORT_GUESSES as u64,
                );
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// A format, in the order of how many codes it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format(CodeFormat);

impl Ord for Format {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.codes(), self.0.name()).cmp(&(other.0.codes(), other.0.name()))
    }
}

impl PartialOrd for Format {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The formats of all surfaces, and which have each.
fn formats() -> BTreeMap<Format, Vec<&'static str>> {
    let mut formats: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for dialect in dialects::all() {
        for format in dialect.code_formats() {
            formats.entry(Format(*format)).or_default().push(dialect.name());
        }
    }
    formats
}

/// How many codes there are.
#[derive(Debug, Clone, Copy)]
struct Chance {
    short: f64,
    long: f64,
}

impl Chance {
    fn of(format: CodeFormat) -> Self {
        Self { short: as_real(format.codes()), long: as_real(format.long().codes()) }
    }

    /// Of all short codes that are compared for strangers in a day.
    fn by_short(self) -> f64 {
        as_real(SHORT_GUESSES as u128) / self.short
    }

    /// The same of long ones.
    fn by_long(self) -> f64 {
        f64::from(LONG_GUESSES) / self.long
    }

    fn day(self) -> f64 {
        (self.by_short() + self.by_long()).min(1.0)
    }
}

/// A count as a real number.
fn as_real(count: u128) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "figures are printed with four digits")]
    let real = count as f64;
    real
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Alphabet;

    #[test]
    fn six_digits_leave_six_in_a_million_and_four_leave_too_much() {
        let day = Chance::of(CodeFormat::SIX_DIGITS).day();
        assert!((day - 6e-6).abs() < 1e-18, "{day}");
        let four = CodeFormat { length: 4, ..CodeFormat::SIX_DIGITS };
        assert!((Chance::of(four).day() - 5.01e-4).abs() < 1e-12);
        let letters = CodeFormat { alphabet: Alphabet::UpperAlphanumeric, length: 6 };
        assert!(Chance::of(letters).day() < 1e-6);
    }
}
