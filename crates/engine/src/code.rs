//! Codes: derived, never drawn, never stored.
//!
//! A code is `HMAC-SHA-256(code key, "code" ‖ project ‖ seed ‖ epoch ‖ channel ‖ address)` shaped by a [`CodeFormat`]. Whoever
//! holds the flow's row and the key can derive it again, so a resend repeats the code that is already in somebody's inbox,
//! and neither the row nor the key alone yields it. What is stored to check it is a digest under a pepper.

use aws_lc_rs::hmac;

use crate::address::Address;
use crate::flow::Handle;
use crate::project::ProjectId;
use crate::secret::{Digest, KeyId, Keys, Secret};

/// What a code is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `0`–`9`.
    Digits,
    /// `A`–`Z` and `0`–`9`.
    UpperAlphanumeric,
    /// Twenty letters, no vowel among them, so that no code is a word (RFC 8628, 6.1).
    Consonants,
}

impl Alphabet {
    const fn symbols(self) -> &'static [u8] {
        match self {
            Self::Digits => b"0123456789",
            Self::Consonants => b"BCDFGHJKLMNPQRSTVWXZ",
            Self::UpperAlphanumeric => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        }
    }
}

/// Whether codes may be guessed by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// They may: only a few guesses are compared.
    Short,
    /// They may not.
    Long,
}

impl Form {
    /// Its name, as metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// How a code looks: an alphabet and a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeFormat {
    /// What it is written in.
    pub alphabet: Alphabet,
    /// How many symbols it has.
    pub length: u8,
}

impl CodeFormat {
    /// Six digits, leading zeros kept.
    pub const SIX_DIGITS: Self = Self { alphabet: Alphabet::Digits, length: 6 };

    /// What takes its place where short codes may not be guessed any more: one of 10¹², and where people can type letters one of 10¹³.
    #[must_use]
    pub const fn long(self) -> Self {
        match self.alphabet {
            _ if self.is_long() => self,
            Alphabet::Digits => Self { alphabet: Alphabet::Digits, length: 12 },
            Alphabet::UpperAlphanumeric | Alphabet::Consonants => Self { alphabet: Alphabet::Consonants, length: 10 },
        }
    }

    /// Whether there are so many that guessing at them, as often as anybody may, is no way in.
    pub const fn is_long(self) -> bool {
        self.codes() >= 1_000_000_000_000
    }

    /// Whether it is short or long.
    pub const fn form(self) -> Form {
        if self.is_long() { Form::Long } else { Form::Short }
    }

    /// What it looks like, in words.
    pub fn words(self) -> String {
        let symbols = match self.alphabet {
            Alphabet::Digits => "digits",
            Alphabet::UpperAlphanumeric => "letters and digits",
            Alphabet::Consonants => "letters",
        };
        format!("{} {symbols}", self.length)
    }

    /// How many codes there are, each as likely as every other.
    pub const fn codes(self) -> u128 {
        (self.alphabet.symbols().len() as u128).saturating_pow(self.length as u32)
    }

    /// The form in which it is stored: a letter for the alphabet and the length.
    pub fn name(self) -> String {
        let alphabet = match self.alphabet {
            Alphabet::Digits => 'd',
            Alphabet::UpperAlphanumeric => 'a',
            Alphabet::Consonants => 'c',
        };
        format!("{alphabet}{}", self.length)
    }

    /// Reads what [`CodeFormat::name`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        let alphabet = match name.chars().next()? {
            'd' => Alphabet::Digits,
            'a' => Alphabet::UpperAlphanumeric,
            'c' => Alphabet::Consonants,
            _ => return None,
        };
        Some(Self { alphabet, length: name.get(1..)?.parse().ok()? })
    }

    /// What somebody typed, as the code would be written: white space, dashes and dots dropped, full-width forms made plain,
    /// letters upper-cased. Nothing is cut, so what is too long stays wrong.
    pub fn normalise(self, typed: &str) -> Secret<String> {
        let mut code = String::with_capacity(typed.len());
        for symbol in typed.chars() {
            let plain = match symbol {
                // U+FF01..U+FF5E are the printable ASCII characters in full width.
                '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(symbol) - 0xfee0).unwrap_or(symbol),
                _ => symbol,
            };
            let is_separator = plain.is_whitespace() || matches!(plain, '-' | '.' | '\u{2010}'..='\u{2015}');
            if !is_separator {
                code.push(plain.to_ascii_uppercase());
            }
        }
        Secret::new(code)
    }
}

/// Whether a derived code is the one that is sent, or one that nobody is ever told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    /// Sent.
    Code,
    /// The stand-in of an address nobody owns: a digest like any other, of a code that never leaves memory.
    Decoy,
}

/// What a code is derived from, apart from the key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Derivation<'a> {
    pub(crate) label: Label,
    pub(crate) project: &'a ProjectId,
    pub(crate) seed: &'a [u8; 16],
    pub(crate) epoch: u32,
    pub(crate) address: &'a Address,
    pub(crate) format: CodeFormat,
}

impl Derivation<'_> {
    /// The code under the key `id`; `None` if that key is gone.
    pub(crate) fn code(&self, keys: &Keys, id: KeyId) -> Option<Secret<String>> {
        let key = keys.code(id)?;
        let label: &[u8] = match self.label {
            Label::Code => b"code",
            Label::Decoy => b"decoy",
        };
        let symbols = self.format.alphabet.symbols();
        // The largest multiple of the alphabet's size that a byte can hold: bytes above it are thrown away, so that every
        // symbol is as likely as every other.
        let usable = 256 - 256 % symbols.len();
        let mut code = String::with_capacity(usize::from(self.format.length));
        let mut block = 0_u32;
        loop {
            for byte in self.block(key, label, block).as_bytes() {
                if code.len() == usize::from(self.format.length) {
                    return Some(Secret::new(code));
                }
                let drawn = usize::from(*byte);
                if let Some(symbol) = symbols.get(drawn % symbols.len()).filter(|_| drawn < usable) {
                    code.push(char::from(*symbol));
                }
            }
            block += 1;
        }
    }

    /// Block `block` of the key stream. Lengths go before what varies in length, so that no two derivations share an input.
    fn block(&self, key: &hmac::Key, label: &[u8], block: u32) -> Digest {
        let project = self.project.as_str().as_bytes();
        let address = self.address.as_str().as_bytes();
        Digest::keyed(
            key,
            &[
                label,
                &[0],
                &(project.len() as u64).to_be_bytes(),
                project,
                self.seed,
                &self.epoch.to_be_bytes(),
                self.address.channel().name().as_bytes(),
                &[0],
                &(address.len() as u64).to_be_bytes(),
                address,
                &block.to_be_bytes(),
            ],
        )
    }
}

/// What is stored to check `code`, bound to the flow's handle; `None` if the pepper `id` is gone.
pub(crate) fn digest(keys: &Keys, id: KeyId, handle: &Handle, code: &str) -> Option<Digest> {
    Some(Digest::keyed(keys.pepper(id)?, &[handle.as_bytes(), code.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKey;

    fn code(keys: &Keys, seed: [u8; 16], epoch: u32, format: CodeFormat) -> String {
        let project = ProjectId::new("P1");
        let address = Address::email("a@example.com").unwrap();
        let derivation =
            Derivation { label: Label::Code, project: &project, seed: &seed, epoch, address: &address, format };
        derivation.code(keys, keys.newest()).unwrap().expose().clone()
    }

    #[test]
    fn the_same_row_and_key_give_the_same_code_and_anything_else_another() {
        let keys = Keys::new(&MasterKey::new([1; 32])).unwrap();
        let first = code(&keys, [1; 16], 1, CodeFormat::SIX_DIGITS);
        assert_eq!(first, code(&keys, [1; 16], 1, CodeFormat::SIX_DIGITS));
        assert_ne!(first, code(&keys, [1; 16], 2, CodeFormat::SIX_DIGITS));
        assert_ne!(first, code(&keys, [2; 16], 1, CodeFormat::SIX_DIGITS));
        let other = Keys::new(&MasterKey::new([2; 32])).unwrap();
        assert_ne!(first, code(&other, [1; 16], 1, CodeFormat::SIX_DIGITS));
    }

    #[test]
    fn st_49_every_code_is_as_likely_as_every_other() {
        let keys = Keys::new(&MasterKey::new([3; 32])).unwrap();
        let mut digits = [[0_u32; 10]; 6];
        let mut leading_zero = 0;
        let rounds = 200_000_u32;
        for round in 0..rounds {
            let mut seed = [0; 16];
            seed[..4].copy_from_slice(&round.to_be_bytes());
            let code = code(&keys, seed, 1, CodeFormat::SIX_DIGITS);
            assert_eq!(code.len(), 6);
            leading_zero += u32::from(code.starts_with('0'));
            for (position, symbol) in code.bytes().enumerate() {
                digits[position][usize::from(symbol - b'0')] += 1;
            }
        }
        assert!(leading_zero > rounds / 11, "leading zeros are kept");
        for counts in digits {
            let expected = f64::from(rounds) / 10.0;
            let chi_square: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
            // Nine degrees of freedom: above 33.7 once in 10,000 for a fair generator. The inputs are fixed.
            assert!(chi_square < 33.7, "{counts:?}");
        }
    }

    #[test]
    fn st_49_two_flows_of_the_same_moment_have_different_codes() {
        let keys = Keys::new(&MasterKey::new([3; 32])).unwrap();
        assert_ne!(code(&keys, [7; 16], 1, CodeFormat::SIX_DIGITS), code(&keys, [8; 16], 1, CodeFormat::SIX_DIGITS));
    }

    #[test]
    fn a_code_is_read_however_it_was_typed() {
        let format = CodeFormat::SIX_DIGITS;
        for typed in ["012345", " 012 345\n", "012-345", "０１２３４５", "0 1 2 3 4 5", "012–345"] {
            assert_eq!(format.normalise(typed).expose(), "012345", "{typed}");
        }
        assert_eq!(format.normalise("0123456").expose(), "0123456");
        assert_eq!(format.normalise("ab12cd").expose(), "AB12CD");
    }

    #[test]
    fn a_format_survives_being_stored() {
        for format in [
            CodeFormat::SIX_DIGITS,
            CodeFormat { alphabet: Alphabet::UpperAlphanumeric, length: 6 },
            CodeFormat::SIX_DIGITS.long(),
        ] {
            assert_eq!(CodeFormat::from_name(&format.name()), Some(format));
        }
        assert_eq!(CodeFormat::from_name("x6"), None);
    }
}
