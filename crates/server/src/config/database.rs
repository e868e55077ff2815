//! Where the database is: a file, or the URL of a PostgreSQL database, whose password has a file of its own.

use std::fmt::Write as _;
use std::path::Path;

use engine::Secret;
use store::Location;

use super::raw::RawDatabase;
use super::{ConfigError, secrets};

/// The most connections that may be asked for: more than PostgreSQL is good at.
const MOST_CONNECTIONS: u16 = 1_000;

/// What the section `database` means; files are found from `folder`.
pub(super) fn location(raw: &RawDatabase, folder: &Path) -> Result<Location, ConfigError> {
    let location = place(raw, folder)?;
    match (location, raw.connections) {
        (location, None) => Ok(location),
        (Location::File(_), Some(_)) => Err(ConfigError::new("database.connections goes with database.url")),
        (Location::Url { url, .. }, Some(connections @ 1..=MOST_CONNECTIONS)) => Ok(Location::Url { url, connections }),
        (Location::Url { .. }, Some(_)) => {
            Err(ConfigError::new(format!("database.connections must be between 1 and {MOST_CONNECTIONS}")))
        }
    }
}

fn place(raw: &RawDatabase, folder: &Path) -> Result<Location, ConfigError> {
    match (&raw.path, &raw.url, &raw.password_file) {
        (Some(path), None, None) => Ok(Location::File(folder.join(path))),
        (None, Some(url), None) => from_url("database", url),
        (None, Some(url), Some(file)) => {
            let password = secrets::text(folder, file)?;
            from_url("database.url", &with_password(url, &password)?)
        }
        (Some(_), Some(_), _) => Err(ConfigError::new("database.path and database.url are both given: which?")),
        (Some(_), None, Some(_)) => Err(ConfigError::new("database.password_file goes with database.url")),
        (None, None, _) => Err(ConfigError::new("database: path or url is missing")),
    }
}

/// The PostgreSQL database at `url`, which `key` gave.
pub(super) fn from_url(key: &str, url: &str) -> Result<Location, ConfigError> {
    match Location::parse(url) {
        Location::File(_) => Err(ConfigError::new(format!("{key} must be a url that begins with postgres://"))),
        location @ Location::Url { .. } => Ok(location),
    }
}

/// User, and what stands behind him up to the `@`, in a URL that has one.
fn user_part(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let user = authority.rsplit_once('@')?.0;
    Some((scheme, user, rest.get(user.len()..)?))
}

/// Whether a URL holds a password.
pub(super) fn has_password(url: &str) -> bool {
    let in_query = url.split_once('?').is_some_and(|(_, query)| query.split('&').any(|it| it.starts_with("password=")));
    in_query || user_part(url).is_some_and(|(_, user, _)| user.contains(':'))
}

/// The URL with a password in it.
fn with_password(url: &str, password: &Secret<String>) -> Result<String, ConfigError> {
    let Some((scheme, user, rest)) = user_part(url).filter(|(_, user, _)| !user.is_empty() && !user.contains(':'))
    else {
        return Err(ConfigError::new("database.url must name a user, and no password beside database.password_file"));
    };
    let mut url = format!("{scheme}://{user}:");
    for byte in password.expose().bytes() {
        // Writing to text does not fail.
        let _ = write!(url, "%{byte:02X}");
    }
    url.push_str(rest);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_wherever_a_url_may_hold_one_and_put_where_it_belongs() {
        for url in ["postgres://u:p@h/db", "postgres://u@h/db?password=p", "postgresql://u:@h"] {
            assert!(has_password(url), "{url}");
        }
        for url in ["postgres://u@h:5432/db", "postgres://h/db?application_name=a:b@c", "postgres://h"] {
            assert!(!has_password(url), "{url}");
        }
        let password = Secret::new("p@/:ü".to_owned());
        let url = with_password("postgres://u@a,b:5433/db?x=y", &password).unwrap();
        assert_eq!(url, "postgres://u:%70%40%2F%3A%C3%BC@a,b:5433/db?x=y");
        for url in ["postgres://h/db", "postgres://u:p@h/db", "nothing"] {
            assert!(with_password(url, &password).is_err(), "{url}");
        }
    }
}
