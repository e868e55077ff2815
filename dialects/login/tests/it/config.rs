//! `[dialects.login]`.

use testkit::world::World;
use web::Dialect as _;

use crate::support::mount;

#[tokio::test]
async fn a_section_that_cannot_be_served_is_refused_in_one_sentence() {
    let engine = World::new().await.engine;
    for (section, sentence) in [
        (
            "json_name = 'camel'",
            "dialects.login: unknown field `json_name`, expected `json_names` or `token_life_hours`",
        ),
        ("json_names = 'snake'", "dialects.login: unknown variant `snake`, expected `proto` or `camel`"),
        ("json_names = 'Camel'", "dialects.login: unknown variant `Camel`, expected `proto` or `camel`"),
        ("token_life_hours = 0", "dialects.login.token_life_hours: must be from 1 to 720"),
        ("token_life_hours = 721", "dialects.login.token_life_hours: must be from 1 to 720"),
        ("token_life_hours = -1", "dialects.login: invalid value: integer `-1`, expected u64"),
        ("token_life_hours = '24'", "dialects.login: invalid type: string \"24\", expected u64"),
    ] {
        assert_eq!(mount(&engine, section).unwrap_err().to_string(), sentence);
    }
}

#[tokio::test]
async fn a_section_may_be_empty_and_its_bounds_are_inside() {
    let engine = World::new().await.engine;
    for section in
        ["", "json_names = 'proto'", "json_names = 'camel'", "token_life_hours = 1", "token_life_hours = 720"]
    {
        assert!(mount(&engine, section).is_ok(), "{section}");
    }
}

#[tokio::test]
async fn the_surface_owns_what_nobody_else_does_and_signs_with_one_algorithm() {
    let surface = mount(&World::new().await.engine, "").unwrap();
    assert_eq!(surface.name, "login");
    assert_eq!(surface.prefixes, ["/", "/v1/login"]);
    assert_eq!(surface.shared, ["/.well-known/jwks.json"]);
    assert!(surface.administration.is_none());
    assert_eq!(countersign_login::Login.name(), "login");
    assert_eq!(countersign_login::Login.algorithms(), [engine::Algorithm::Es256]);
}
