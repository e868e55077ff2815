//! What an operator is told about a section that cannot be served.

use serde::Deserialize;
use web::ConfigError;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Names {
    Proto,
    Camel,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    json_names: Option<Names>,
}

fn section(text: &str) -> Result<Section, ConfigError> {
    ConfigError::section("login", text.parse().unwrap())
}

#[test]
fn a_section_that_is_wrong_says_where_and_what_in_one_line() {
    assert_eq!(section("").unwrap(), Section { json_names: None });
    assert_eq!(section("json_names = 'camel'").unwrap(), Section { json_names: Some(Names::Camel) });
    let error = section("json_name = 'camel'").unwrap_err().to_string();
    assert!(error.starts_with("dialects.login: unknown field `json_name`") && !error.contains('\n'), "{error}");
    let error = section("json_names = 7").unwrap_err().to_string();
    assert!(error.starts_with("dialects.login: ") && !error.contains('\n'), "{error}");
    let error = ConfigError::new("dialects.login.json_names", "must be `proto` or `camel`");
    assert_eq!(error.to_string(), "dialects.login.json_names: must be `proto` or `camel`");
}
