//! An issuer's keys from a file of the operator's (`jwks_file`): a regular file of a bounded size, and nothing that would
//! be waited for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use openidconnect::JsonWebKeySet;

use super::fetch::{FetchError, key_set};
use super::key::RingKey;

/// The longest file.
const MAX_BYTES: u64 = 256 * 1024;

/// Reads it.
///
/// # Errors
/// What is wrong with it, after its path, in words that go on with what to do.
pub(crate) fn read(path: &Path) -> Result<JsonWebKeySet<RingKey>, String> {
    let shown = path.display();
    let cannot = |e: std::io::Error| format!("{shown} cannot be read ({e})");
    let irregular = || format!("{shown} is no regular file");
    // A pipe would be waited for as soon as it is opened; what was put in its place since is seen afterwards.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(irregular());
    }
    let file = File::open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(irregular());
    }
    let mut body = Vec::new();
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut body).map_err(cannot)?;
    if u64::try_from(body.len()).is_ok_and(|read| read > MAX_BYTES) {
        return Err(format!("{shown} has more than 256 KiB"));
    }
    key_set(&body, &shown.to_string()).map_err(|error| match error {
        FetchError::Invalid(why) | FetchError::Unreachable(why) => why,
    })
}

/// The same where nothing may wait for a disk.
///
/// # Errors
/// [`FetchError::Invalid`].
pub(crate) async fn fetch(path: &Path) -> Result<JsonWebKeySet<RingKey>, FetchError> {
    let owned = path.to_path_buf();
    let read = tokio::task::spawn_blocking(move || read(&owned)).await;
    read.map_err(|error| FetchError::Invalid(error.to_string()))?.map_err(FetchError::Invalid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::super::tests::maker::TestKey;
    use super::*;

    #[test]
    fn regular_files_of_keys_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let good = json!({ "keys": [TestKey::p256().jwk("k")] }).to_string();
        std::fs::write(at("good"), &good).unwrap();
        symlink(at("good"), at("link")).unwrap();
        for name in ["good", "link"] {
            assert_eq!(read(&at(name)).unwrap().keys().len(), 1, "{name}");
        }
        std::fs::create_dir(at("folder")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        symlink(at("pipe"), at("link-to-pipe")).unwrap();
        std::fs::write(at("huge"), format!("{good}{}", " ".repeat(256 * 1024))).unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("none"), json!({ "keys": [] }).to_string()).unwrap();
        for (name, why) in [
            ("nothing", "cannot be read"),
            ("folder", "is no regular file"),
            ("pipe", "is no regular file"),
            ("link-to-pipe", "is no regular file"),
            ("huge", "more than 256 KiB"),
            ("empty", "is not a JSON Web Key Set"),
            ("none", "has no key"),
        ] {
            let Err(error) = read(&at(name)) else { panic!("{name} is taken") };
            assert!(error.starts_with(&at(name).display().to_string()) && error.contains(why), "{error}");
        }
        let device = read(Path::new("/dev/zero")).unwrap_err();
        assert!(device.contains("is no regular file"), "{device}");
    }
}
