//! Offers: which match, which is taken, and what several pairs come to.

use super::*;

#[test]
fn a_permit_is_an_offer_on_its_own_terms() {
    let rules = rules(
        r#"
        @id("day") @ttl("8h") permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"web");
        "#,
    );
    let sre = person("alice", &["sre"]);
    for (what, expected) in [
        ("shell deploy@web-1", "8h by day"),
        ("shell deploy@web-1 for 30m", "30m by day"),
        ("shell deploy@web-1 for 8h", "8h by day"),
        ("shell deploy@web-1 for 9h", "duration_denied"),
        ("sftp deploy@web-1", "no_access"),
        ("shell+agent deploy@web-1", "no_access"),
        ("shell deploy@db-1", "no_access"),
        ("shell deploy@nowhere", "no_access"),
        ("shell nobody@web-1", "no_access"),
    ] {
        assert_eq!(outcome(&decide(&rules, &sre, what)), expected, "{what}");
    }
    assert_eq!(outcome(&decide(&rules, &person("bob", &["dev"]), "shell deploy@web-1")), "no_access");
}
