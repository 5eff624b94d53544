//! The session key that goes with a workload's token. A token opens one session, for one key: whoever logs in with it
//! again, after a crash or in the next step of a job, has to have that key. So it is written down before the token is
//! sent, and removed soon after the token has ended. Of the token itself only the hash is kept.

use std::fs;
use std::path::PathBuf;

use jit_ssh_proto::{CaId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ssh_key::{LineEnding, PrivateKey};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::keys;
use crate::paths::{self, Paths};

const PREFIX: &str = "token-";
/// A token that does not say when it ends is remembered for as long as any session lasts.
const LONGEST: u64 = 24 * 60 * 60;
/// How long after its end a token still has its key, so that who presents it too late is told that, and not that it is
/// somebody else's.
const AFTER: u64 = 10 * 60;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    expires: Timestamp,
    /// Empty once somebody has logged out.
    key: String,
    /// Whether somebody has logged out since the token was presented: the session that it opened is over.
    #[serde(default)]
    ended: bool,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The key for this token at this CA: the one that it was presented with before, or a fresh one. Of several who ask at
/// once for the first time, all get the same.
pub(crate) fn key(
    paths: &Paths,
    ca_id: &CaId,
    token: &str,
    expires: Option<u64>,
    now: Timestamp,
) -> Result<PrivateKey> {
    forget(paths, Some(now))?;
    let path = file(paths, ca_id, token)?;
    if let Some(key) = load(&path)? {
        return Ok(key);
    }
    let ended = ended(paths, ca_id, token);
    let fresh = keys::fresh();
    let text = fresh
        .to_openssh(LineEnding::LF)
        .map_err(|e| Error::Local(format!("cannot write the session's key: {e}")))?;
    let latest = now.seconds().saturating_add(LONGEST);
    let expires = expires.map_or(latest, |expires| expires.saturating_add(AFTER).min(latest));
    let expires = Timestamp::from_seconds(expires);
    let json =
        serde_json::to_vec(&Stored { expires, key: text.as_str().to_owned(), ended }).map(Zeroizing::new);
    let json = json.map_err(|e| Error::Local(format!("cannot write the session's key: {e}")))?;
    if ended {
        // A token that was never taken opens its session still.
        paths::write(&path, &json)?;
        return Ok(fresh);
    }
    if paths::write_new(&path, &json)? {
        return Ok(fresh);
    }
    // Somebody was quicker: theirs is the one.
    load(&path)?.ok_or_else(|| {
        Error::Local(format!("{} is damaged: remove it and run the command again", path.display()))
    })
}

/// Whether somebody logged out since this token was presented from here, so that it opens no session any more.
pub(crate) fn ended(paths: &Paths, ca_id: &CaId, token: &str) -> bool {
    file(paths, ca_id, token).and_then(|path| stored(&path)).ok().flatten().is_some_and(|stored| stored.ended)
}

/// Removes the keys of tokens that have ended by then; without a time the keys of all, of which is kept only that they
/// were presented: somebody logs out.
pub(crate) fn forget(paths: &Paths, ended_by: Option<Timestamp>) -> Result<()> {
    if !paths.runtime_exists() {
        return Ok(());
    }
    let folder = paths.runtime()?;
    let entries = fs::read_dir(folder).map_err(|e| Error::io("look into", folder, &e))?;
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        let over = match (ended_by, stored(&entry.path())) {
            (None, Ok(Some(stored))) => {
                let json =
                    serde_json::to_vec(&Stored { key: String::new(), ended: true, expires: stored.expires });
                let json =
                    json.map_err(|e| Error::Local(format!("cannot write what is kept of a token: {e}")))?;
                paths::write(&entry.path(), &json)?;
                false
            }
            (None, Ok(None) | Err(_)) => true,
            (Some(now), Ok(Some(stored))) => stored.expires <= now,
            // What cannot be read may be somebody's who can.
            (Some(_), Ok(None) | Err(_)) => false,
        };
        if over {
            paths::remove(&entry.path())?;
        }
    }
    Ok(())
}

fn file(paths: &Paths, ca_id: &CaId, token: &str) -> Result<PathBuf> {
    let hash = Sha256::new().chain_update(ca_id.as_bytes()).chain_update(token).finalize();
    let name = data_encoding::HEXLOWER.encode(hash.get(..16).unwrap_or_default());
    Ok(paths.runtime()?.join(format!("{PREFIX}{name}.json")))
}

fn stored(path: &std::path::Path) -> Result<Option<Stored>> {
    let Some(text) = paths::read(path, 0o077)? else { return Ok(None) };
    Ok(serde_json::from_slice(&text).ok())
}

fn load(path: &std::path::Path) -> Result<Option<PrivateKey>> {
    Ok(stored(path)?.and_then(|stored| PrivateKey::from_openssh(stored.key.as_bytes()).ok()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::testing::{CA, NOW};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn kept(paths: &Paths) -> Vec<PathBuf> {
        fs::read_dir(paths.runtime().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn one_token_has_one_key_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        forget(&paths, None).unwrap();
        let public = |ca: &CaId, token: &str, now| {
            key(&paths, ca, token, Some(NOW + 3600), at(now)).unwrap().public_key().to_openssh().unwrap()
        };
        let first = public(&CA, "a.b.secret", NOW);
        assert_eq!(public(&CA, "a.b.secret", NOW + 3600 + AFTER - 1), first);
        assert_ne!(public(&CA, "a.b.other", NOW), first);
        assert_ne!(public(&CaId::from_bytes([1; 32]), "a.b.secret", NOW), first);
        for path in kept(&paths) {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            assert!(!fs::read_to_string(&path).unwrap().contains("a.b."), "the token is kept");
        }
        assert_ne!(public(&CA, "a.b.secret", NOW + 3600 + AFTER), first, "the key outlives its token");
        assert_eq!(kept(&paths).len(), 1);
    }

    #[test]
    fn after_a_logout_no_key_is_left_and_that_there_was_one_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        let fresh = |now| {
            let key = key(&paths, &CA, "a.b.secret", Some(NOW + 3600), at(now)).unwrap();
            key.public_key().to_openssh().unwrap()
        };
        let first = fresh(NOW);
        assert!(!ended(&paths, &CA, "a.b.secret"));
        forget(&paths, None).unwrap();
        for path in kept(&paths) {
            assert!(!fs::read_to_string(&path).unwrap().contains("PRIVATE"), "the key is kept");
        }
        assert!(ended(&paths, &CA, "a.b.secret") && !ended(&paths, &CA, "a.b.other"));
        // It may never have reached the CA: then another key is as good.
        let second = fresh(NOW);
        assert_ne!(first, second);
        assert_eq!(fresh(NOW), second);
        assert!(ended(&paths, &CA, "a.b.secret"));
        forget(&paths, Some(at(NOW + 3600 + AFTER))).unwrap();
        assert_eq!(kept(&paths).len(), 0);
        assert!(!ended(&paths, &CA, "a.b.secret"));
    }

    #[test]
    fn a_token_without_an_end_is_not_remembered_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        for (token, expires) in [("a", None), ("b", Some(u64::MAX))] {
            key(&paths, &CA, token, expires, at(NOW)).unwrap();
        }
        forget(&paths, Some(at(NOW + LONGEST - 1))).unwrap();
        assert_eq!(kept(&paths).len(), 2);
        forget(&paths, Some(at(NOW + LONGEST))).unwrap();
        assert_eq!(kept(&paths).len(), 0);
    }

    #[test]
    fn of_many_at_once_all_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        paths.runtime().unwrap();
        let keys: Vec<String> = std::thread::scope(|scope| {
            let asked: Vec<_> =
                (0..8).map(|_| scope.spawn(|| key(&paths, &CA, "t", None, at(NOW)).unwrap())).collect();
            asked.into_iter().map(|k| k.join().unwrap().public_key().to_openssh().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
}
