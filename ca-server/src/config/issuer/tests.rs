//! Entries that are refused, each with the key and what to write there.

use super::super::{Config, ConfigError, Layout};
use crate::oidc::IssuerConfig;

const ENTRY: &str = "name = \"corp\"\nurl = \"https://id.example.com\"\nclient_id = \"jit-ssh\"\n";

fn parse(entry: &str) -> Result<IssuerConfig, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("listen = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:8443\"\n[[issuer]]\n{entry}");
    Config::parse(&text, &Layout::new(folder.path())).map(|mut config| config.issuers.remove(0))
}

#[test]
fn the_device_grant_has_a_client_of_its_own() {
    let both = "flows = [\"code\", \"device\"]\n";
    for (lines, says) in [
        (both.to_owned(), "device_client_id is missing"),
        (format!("{both}device_client_id = \"\""), "device_client_id is empty"),
        (format!("{both}device_client_id = \"jit-ssh\""), "is the same as `client_id`"),
        (
            "flows = [\"device\"]\ndevice_client_id = \"tv\"".to_owned(),
            "is for entries whose `flows` has both",
        ),
        ("device_client_id = \"tv\"".to_owned(), "is for entries whose `flows` has both"),
        (format!("{both}device_client_secret_file = \"nothing\""), "cannot be read"),
    ] {
        let error = parse(&format!("{ENTRY}{lines}")).unwrap_err().to_string();
        assert!(error.contains(says), "{lines}: {error}");
    }
    let error = parse(&format!("{ENTRY}jwks_file = \"keys.json\"")).unwrap_err().to_string();
    assert!(error.contains("/keys.json cannot be read") && error.contains("jwks_file"), "{error}");
    let taken = parse(&format!("{ENTRY}{both}device_client_id = \"tv\"")).unwrap();
    assert_eq!(taken.device_client.unwrap().id, "tv");
    assert!(parse(&format!("{ENTRY}flows = [\"device\"]")).unwrap().device_client.is_none());
}

#[test]
fn what_can_never_work_is_refused_with_its_place_and_what_to_write() {
    let workload = "name = \"ci\"\nurl = \"https://ci.example.com\"\nkind = \"workload\"\n";
    for (entry, says) in [
        (
            format!("{ENTRY}flows = \"code\""),
            vec![":7:9:", "flows is a text and has to be a list", "flows = [\""],
        ),
        (format!("{ENTRY}flows = [1]"), vec![":7:10:", "flows is a whole number and has to be a text"]),
        (
            format!("{ENTRY}privileged_flows = \"yes\""),
            vec!["privileged_flows is a text and has to be true or false"],
        ),
        (format!("{ENTRY}groups_map = [\"sre\"]"), vec!["groups_map is a list and has to be a table"]),
        (format!("{ENTRY}username = true"), vec!["username is true or false and has to be a text"]),
        ("name = \"corp\"".to_owned(), vec!["\"url\" is missing: write it here"]),
        (ENTRY.replace("corp", ""), vec![":4:1:", "issuer 1: name is empty", "such as corp"]),
        (
            ENTRY.replace("https://id.example.com", "nope"),
            vec![":5:1:", "url is \"nope\", which is not a URL", "https://"],
        ),
        (ENTRY.replace("https://id", " https://id"), vec!["not a URL"]),
        (ENTRY.replace("example.com", "example.com/a b"), vec!["not a URL"]),
        (format!("{ENTRY}flows = []"), vec![":7:1:", "flows is empty", "choose from code, device"]),
        (format!("{workload}audience = \"x\"\nflows = []"), vec!["flows is empty", "write token"]),
        (format!("{ENTRY}flows = [\"code\", \"code\"]"), vec!["has code twice"]),
        (format!("{ENTRY}flows = [\"token\"]"), vec!["is not for users"]),
        (format!("{ENTRY}audience = \"\""), vec!["audience is empty"]),
        (format!("{workload}audience = \" \""), vec!["audience is empty"]),
        (format!("{ENTRY}username = \"\""), vec!["username is empty", "leave the key out"]),
        (format!("{ENTRY}groups = \"\""), vec!["groups is empty"]),
        (
            format!("{ENTRY}allowed_domains = [\"example.com.\"]"),
            vec!["allowed_domains has \"example.com.\""],
        ),
        (format!("{ENTRY}allowed_domains = [\".example.com\"]"), vec!["plain domain"]),
        (format!("{ENTRY}allowed_domains = [\"https://example.com\"]"), vec!["plain domain"]),
        (format!("{ENTRY}allowed_domains = [\"a\\tb\"]"), vec!["plain domain"]),
        (format!("{ENTRY}scopes = [\"openid email\"]"), vec!["scopes has \"openid email\"", "of its own"]),
        (format!("{ENTRY}scopes = [\"\"]"), vec!["scopes has \"\""]),
        (
            format!("{ENTRY}max_token_age = \"9999d\""),
            vec![":7:1:", "max_token_age is 9999d: write 1d at most"],
        ),
        (format!("{ENTRY}max_token_age = \"soon\""), vec!["max_token_age is not a duration"]),
        (format!("{ENTRY}revalidate = \"1s\""), vec!["revalidate is 1s: write 1m or more"]),
    ] {
        let error = parse(&entry).unwrap_err().to_string();
        for word in says {
            assert!(error.contains(word), "{entry}: {word:?} in {error}");
        }
    }
    for lines in [
        "max_token_age = \"1d\"\nrevalidate = \"1m\"",
        "scopes = [\"openid\", \"https://example.com/groups\"]",
        "allowed_domains = [\"example.com\", \"xn--bcher-kva.example\"]",
    ] {
        assert!(parse(&format!("{ENTRY}{lines}")).is_ok(), "{lines}");
    }
}
