//! `countersign.example.toml` is what the code accepts, and all of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use testkit::world::World;
use toml::{Table, Value};
use web::{App, Dialect};

use super::*;

const EXAMPLE: &str = include_str!("../../../../../countersign.example.toml");

/// The example with every option and every list's element that is commented out put in.
fn whole_example() -> String {
    let is_option = |line: &str| {
        let name = line.split(['=', ' ']).next().unwrap_or("");
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        line.starts_with("[[") || line.contains(" = ") && !name.is_empty() && name.bytes().all(is_plain)
    };
    let uncommented = |line: &str| line.strip_prefix('#').filter(|rest| is_option(rest)).unwrap_or(line).to_owned();
    EXAMPLE.lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

/// `text` without the sections of surfaces that this binary was built without; and of two places where the database may be, the
/// second.
fn of_this_binary(text: &str) -> String {
    let known: Vec<_> = crate::dialects::all().iter().map(|dialect| dialect.name()).collect();
    let mut table: Table = text.parse().unwrap();
    if let Some(Value::Table(database)) = table.get_mut("database")
        && database.contains_key("url")
    {
        database.remove("path");
    }
    if let Some(Value::Table(dialects)) = table.get_mut("dialects") {
        dialects.retain(|name, _| known.contains(&name));
    }
    if let Some(Value::Table(server)) = table.get_mut("server") {
        server.retain(|key, root| key != "root" || root.as_str().is_some_and(|name| known.contains(&name)));
    }
    table.to_string()
}

#[test]
fn the_example_is_accepted_as_it_is_and_with_everything_in_it() {
    let folder = Folder::new();
    let config = folder.parse(&of_this_binary(EXAMPLE), &[]).unwrap();
    assert_eq!(config.relays.len(), 1);
    let config = folder.parse(&of_this_binary(&whole_example()), &[]).unwrap();
    assert!(config.relays[0].credentials.is_some());
    assert_eq!(config.database.backend(), "postgres");
    assert_eq!(config.admin_listen, Some("127.0.0.1:9090".parse().unwrap()));
}

#[test]
fn the_example_shows_the_defaults() {
    let folder = Folder::new();
    let (short, whole) = (
        folder.parse(&of_this_binary(EXAMPLE), &[]).unwrap(),
        folder.parse(&of_this_binary(&whole_example()), &[]).unwrap(),
    );
    assert_eq!(whole.listen, short.listen);
    assert_eq!(whole.trusted_proxies, short.trusted_proxies);
    assert_eq!(whole.log, short.log);
    assert_eq!(whole.projects.default_project().policy, short.projects.default_project().policy);
    // What says "no default".
    assert_eq!(short.admin_listen, None);
    assert!(short.relays[0].credentials.is_none() && short.relays[0].certificate_authority.is_none());
}

/// `table` with a key that nobody knows in the section at `path`, whose lists are entered at their first element.
fn with_unknown_key(mut table: Table, path: &[&str]) -> Table {
    let mut section = &mut table;
    for part in path {
        section = match section.get_mut(*part).unwrap() {
            Value::Array(list) => list[0].as_table_mut().unwrap(),
            other => other.as_table_mut().unwrap(),
        };
    }
    section.insert("telepathy".to_owned(), Value::Boolean(true));
    table
}

/// The keys that the refusal of that one says are known.
fn keys_in(sentence: &str) -> BTreeSet<String> {
    let (what, known) = sentence.split_once(", expected ").unwrap();
    assert!(what.ends_with("unknown field `telepathy`"), "{sentence}");
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What is known in the section at `path`.
fn known_keys(path: &[&str]) -> BTreeSet<String> {
    let table = with_unknown_key(of_this_binary(&whole_example()).parse().unwrap(), path);
    keys_in(&RawConfig::parse(&table.to_string(), &Environment::new()).unwrap_err().to_string())
}

fn keys_of(table: &Table) -> BTreeSet<String> {
    table.keys().cloned().collect()
}

#[test]
fn the_example_shows_every_option() {
    let table: Table = whole_example().parse().unwrap();
    assert!(table["server"]["root"].is_str());
    let secrets = BTreeSet::from(["master_key".to_owned(), "older_master_key".to_owned()]);
    assert_eq!(keys_of(&table), known_keys(&[]));
    for section in ["server", "database", "mail", "log"] {
        assert_eq!(keys_of(table[section].as_table().unwrap()), known_keys(&[section]), "{section}");
    }
    assert_eq!(keys_of(table["keys"].as_table().unwrap()), &known_keys(&["keys"]) - &secrets);
    assert_eq!(keys_of(table["mail"]["relays"][0].as_table().unwrap()), known_keys(&["mail", "relays"]));
    assert_eq!(keys_of(table["projects"][0].as_table().unwrap()), known_keys(&["projects"]));
    for secret in secrets {
        assert!(EXAMPLE.contains(&format!("COUNTERSIGN__KEYS__{}", secret.to_uppercase())), "{secret}");
    }
}

#[tokio::test]
async fn the_example_shows_every_option_of_every_surface() {
    let folder = Folder::new();
    let world = World::new().await;
    let config = folder.parse(&of_this_binary(&whole_example()), &[]).unwrap();
    let app = App {
        engine: Arc::clone(&world.engine),
        project: Arc::clone(config.projects.default_project()),
        origin: config.origin.as_ref().unwrap().as_str().to_owned(),
        development: false,
    };
    let refused = |dialect: &dyn Dialect, section| dialect.mount(app.clone(), section).unwrap_err().to_string();
    let (short, whole): (Table, Table) = (EXAMPLE.parse().unwrap(), whole_example().parse().unwrap());
    for dialect in crate::dialects::all() {
        let name = dialect.name();
        assert!(dialect.mount(app.clone(), short["dialects"][name].as_table().unwrap().clone()).is_ok(), "{name}");

        let section = whole["dialects"][name].as_table().unwrap();
        let known = keys_in(&refused(&*dialect, with_unknown_key(section.clone(), &[])));
        assert_eq!(keys_of(section), known, "{name}");
        for (list, elements) in section {
            if let Some(element) = elements.as_array().and_then(|list| list.first()).and_then(Value::as_table) {
                let known = keys_in(&refused(&*dialect, with_unknown_key(section.clone(), &[list.as_str()])));
                assert_eq!(keys_of(element), known, "{name}.{list}");
            }
        }
    }
}
