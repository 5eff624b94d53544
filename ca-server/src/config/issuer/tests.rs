//! Entries that are refused, each with the key and what to write there.

use std::path::Path;

use super::super::{Config, ConfigError};
use super::*;

const ENTRY: &str = "name = \"corp\"\nurl = \"https://id.example.com\"\nclient_id = \"jit-ssh\"\n";

fn whole(entry: &str) -> Result<IssuerConfig, ConfigError> {
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
        let error = whole(&format!("{ENTRY}{lines}")).unwrap_err().to_string();
        assert!(error.contains(says), "{lines}: {error}");
    }
    let error = whole(&format!("{ENTRY}jwks_file = \"keys.json\"")).unwrap_err().to_string();
    assert!(error.contains("/keys.json cannot be read") && error.contains("jwks_file"), "{error}");
    let taken = whole(&format!("{ENTRY}{both}device_client_id = \"tv\"")).unwrap();
    assert_eq!(taken.device_client.unwrap().id, "tv");
    assert!(whole(&format!("{ENTRY}flows = [\"device\"]")).unwrap().device_client.is_none());
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
        let error = whole(&entry).unwrap_err().to_string();
        for word in says {
            assert!(error.contains(word), "{entry}: {word:?} in {error}");
        }
    }
    for lines in [
        "max_token_age = \"1d\"\nrevalidate = \"1m\"",
        "scopes = [\"openid\", \"https://example.com/groups\"]",
        "allowed_domains = [\"example.com\", \"xn--bcher-kva.example\"]",
    ] {
        assert!(whole(&format!("{ENTRY}{lines}")).is_ok(), "{lines}");
    }
}

const PEOPLE: &str = "name = \"corp\"\nurl = \"https://id.example.com\"\nclient_id = \"jit-ssh\"\n";
const JOBS: &str = "name = \"ci\"\nurl = \"https://ci.example.com\"\nkind = \"workload\"\naudience = \"https://ca.example.com\"\n";

fn entry(text: &str) -> Result<IssuerConfig, Bad> {
    let raw: RawIssuer = toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    parse(raw, &Layout::new(Path::new("/nowhere")))
}

#[test]
fn what_an_entry_may_not_say() {
    for (base, line, key, why) in [
        (PEOPLE, "revalidate = \"\"", "revalidate", ""),
        (PEOPLE, "revalidate = \"15\"", "revalidate", ""),
        (PEOPLE, "revalidate = \"0s\"", "revalidate", "at least"),
        (PEOPLE, "revalidate = \"soon\"", "revalidate", ""),
        (PEOPLE, "revalidate = \"-15m\"", "revalidate", ""),
        (JOBS, "revalidate = \"15m\"", "revalidate", "leave it out"),
        (PEOPLE, "redirect_port = 0", "redirect_port", "from 1024"),
        (PEOPLE, "redirect_port = 80", "redirect_port", "from 1024"),
        (PEOPLE, "redirect_port = 8400\nflows = [\"device\"]", "redirect_port", "leave it out"),
        (JOBS, "redirect_port = 8400", "redirect_port", "leave it out"),
        (PEOPLE, "flows = []", "flows", "choose from"),
        (PEOPLE, "flows = [\"token\"]", "flows", "users"),
        (PEOPLE, "flows = [\"implicit\"]", "flows", "implicit"),
        (JOBS, "flows = [\"code\"]", "flows", "workloads"),
        (PEOPLE, "algorithms = [\"none\"]", "algorithms", "none"),
        (PEOPLE, "algorithms = [\"HS256\"]", "algorithms", "HS256"),
        (PEOPLE, "algorithms = []", "algorithms", "is empty"),
        (PEOPLE, "kind = \"robot\"", "kind", "user or workload"),
        (PEOPLE, "allowed_domains = [\"@example.com\"]", "allowed_domains", "plain domain"),
        (PEOPLE, "allowed_domains = [\"*.example.com\"]", "allowed_domains", "plain domain"),
        (PEOPLE, "max_token_age = \"long\"", "max_token_age", ""),
        (PEOPLE, "[groups_map]\na = [\"sre\"]", "groups_map", "without groups"),
        (PEOPLE, "groups = \"g\"\n[groups_map]\na = [\"S R E\"]", "groups_map", "S R E"),
        (PEOPLE, "[tags]\n\"a b\" = \"x\"", "tags", "letters"),
        (PEOPLE, "client_secret_file = \"not-there\"", "client_secret_file", "cannot be read"),
    ] {
        let (field, said) = entry(&format!("{base}{line}\n")).map(drop).expect_err(line);
        assert_eq!(field, key, "{line}");
        assert!(said.contains(why), "{line}: {said}");
    }
}

#[test]
fn what_is_asked_for_with_revalidation_and_what_without() {
    let scopes = |line: &str| entry(&format!("{PEOPLE}{line}\n")).unwrap().scopes.join(" ");
    assert_eq!(scopes(""), "openid profile email");
    assert_eq!(scopes("revalidate = \"15m\""), "openid profile email offline_access");
    // Where the operator says it, it is said.
    assert_eq!(scopes("revalidate = \"15m\"\nscopes = [\"openid\"]"), "openid");
    let entry = entry(&format!("{PEOPLE}revalidate = \"15m\"\nredirect_port = 8400\n")).unwrap();
    assert_eq!((entry.revalidate, entry.redirect_port), (Some(Span::from_seconds(900)), Some(8400)));
}
