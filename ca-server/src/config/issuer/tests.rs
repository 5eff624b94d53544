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
