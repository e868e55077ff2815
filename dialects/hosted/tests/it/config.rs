//! `[dialects.hosted]`.

use testkit::world::World;
use web::Dialect as _;

use crate::support::{ORIGIN, mount};

#[tokio::test]
async fn a_section_that_cannot_be_served_is_refused_in_one_sentence() {
    let engine = World::new().await.engine;
    for (section, sentence) in [
        ("session_hour = 1", "dialects.hosted: unknown field `session_hour`, expected `session_hours`"),
        ("session_hours = 0", "dialects.hosted.session_hours: must be from 1 to 720"),
        ("session_hours = 721", "dialects.hosted.session_hours: must be from 1 to 720"),
        ("session_hours = '1'", "dialects.hosted: invalid type: string \"1\", expected u64"),
    ] {
        assert_eq!(mount(&engine, section, ORIGIN).unwrap_err().to_string(), sentence);
    }
    for section in ["", "session_hours = 1", "session_hours = 720"] {
        assert!(mount(&engine, section, ORIGIN).is_ok());
    }
}

#[tokio::test]
async fn the_surface_owns_its_paths_and_signs_nothing() {
    let surface = mount(&World::new().await.engine, "", ORIGIN).unwrap();
    assert_eq!((surface.name, surface.prefixes), ("hosted", vec!["/sign-in".to_owned(), "/sign-out".to_owned()]));
    assert!(surface.administration.is_none());
    assert_eq!(countersign_hosted::Hosted.name(), "hosted");
    assert!(countersign_hosted::Hosted.algorithms().is_empty());
}
