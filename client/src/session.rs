//! The session: who one is to the CA, the bearer token and the session key. A private file, never an agent, so that
//! nobody to whom an agent is forwarded can speak for the session.

use jit_ssh_proto::wire::SessionInfo;
use jit_ssh_proto::{CaId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use ssh_key::{LineEnding, PrivateKey};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::paths::{self, Paths};

const FILE: &str = "session.json";

/// An open session.
pub(crate) struct Session {
    /// The CA it is with.
    pub(crate) ca_id: CaId,
    /// Its id.
    pub(crate) id: SessionId,
    /// What the CA said of it when it was opened.
    pub(crate) info: SessionInfo,
    /// The bearer token.
    pub(crate) token: Zeroizing<String>,
    /// The session key.
    pub(crate) key: PrivateKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    ca_id: CaId,
    info: SessionInfo,
    token: String,
    key: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.token.zeroize();
        self.key.zeroize();
    }
}

impl Session {
    /// From the CA's answer. The token goes into a header: it must be printable ASCII.
    pub(crate) fn new(ca_id: CaId, info: SessionInfo, token: String, key: PrivateKey) -> Result<Self> {
        let token = Zeroizing::new(token);
        let id = info.id.parse();
        if token.is_empty() || token.len() > 1024 || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Untrusted(
                "the CA answered with a session token that is none: tell its operator".into(),
            ));
        }
        let id = id.map_err(|_| {
            Error::Untrusted("the CA answered with a session id that is none: tell its operator".into())
        })?;
        Ok(Self { ca_id, id, info, token, key })
    }

    /// The kept session with this CA that has not reached its end, if there is one.
    pub(crate) fn load(paths: &Paths, ca_id: &CaId, now: Timestamp) -> Result<Option<Self>> {
        Ok(Self::load_any(paths)?.filter(|s| s.ca_id == *ca_id && s.info.expires > now))
    }

    /// The kept session, ended or not, whatever CA it is with.
    pub(crate) fn load_any(paths: &Paths) -> Result<Option<Self>> {
        let path = paths.runtime()?.join(FILE);
        let Some(text) = paths::read(&path, 0o077)? else { return Ok(None) };
        // A file that is not understood is no session: the next login replaces it.
        let Ok(stored) = serde_json::from_slice::<Stored>(&text) else { return Ok(None) };
        let Ok(key) = PrivateKey::from_openssh(stored.key.as_bytes()) else { return Ok(None) };
        Ok(Self::new(stored.ca_id, stored.info.clone(), stored.token.clone(), key).ok())
    }

    /// Keeps the session in place of any other.
    pub(crate) fn save(&self, paths: &Paths) -> Result<()> {
        let key = self
            .key
            .to_openssh(LineEnding::LF)
            .map_err(|e| Error::Local(format!("cannot write the session's key: {e}")))?;
        let stored = Stored {
            ca_id: self.ca_id,
            info: self.info.clone(),
            token: self.token.as_str().to_owned(),
            key: key.as_str().to_owned(),
        };
        let json = serde_json::to_vec(&stored).map(Zeroizing::new);
        let json = json.map_err(|e| Error::Local(format!("cannot write the session: {e}")))?;
        paths::write(&paths.runtime()?.join(FILE), &json)
    }

    /// Forgets the kept session.
    pub(crate) fn forget(paths: &Paths) -> Result<()> {
        paths::remove(&paths.runtime()?.join(FILE))
    }
}

/// The answer to a command that needs a session where there is none.
pub(crate) fn not_logged_in() -> Error {
    Error::NotLoggedIn("you are not logged in, or your session has ended: run jit-ssh login".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CA, NOW, key};

    fn info() -> SessionInfo {
        SessionInfo {
            id: SessionId::from_parts(NOW * 1000, 1).to_string(),
            issuer: "corp".into(),
            subject: "1".into(),
            name: "ada".into(),
            login: None,
            email: None,
            groups: vec![],
            tags: [].into(),
            flow: jit_ssh_proto::Flow::Code,
            auth_time: None,
            opened: Timestamp::from_seconds(NOW),
            expires: Timestamp::from_seconds(NOW + 3600),
        }
    }

    #[test]
    fn kept_until_its_end_and_for_its_ca_only() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        Session::new(CA, info(), "tok".into(), key(1)).unwrap().save(&paths).unwrap();
        let at = |ca: &CaId, seconds| Session::load(&paths, ca, Timestamp::from_seconds(seconds)).unwrap();
        let session = at(&CA, NOW + 3599).unwrap();
        assert_eq!((session.token.as_str(), session.key.public_key()), ("tok", key(1).public_key()));
        assert!(at(&CA, NOW + 3600).is_none());
        assert!(at(&CaId::from_bytes([1; 32]), NOW).is_none());
        Session::forget(&paths).unwrap();
        assert!(at(&CA, NOW).is_none());
        Session::forget(&paths).unwrap();
    }

    #[test]
    fn what_is_no_session() {
        for token in ["", "a b", "a\r\nX: y", "é", &"x".repeat(1025)] {
            assert!(Session::new(CA, info(), token.into(), key(1)).is_err(), "{token:?}");
        }
        assert!(Session::new(CA, SessionInfo { id: "../x".into(), ..info() }, "t".into(), key(1)).is_err());
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        let file = paths.runtime().unwrap().join(FILE);
        for bad in ["", "{}", "null"] {
            paths::write(&file, bad.as_bytes()).unwrap();
            assert!(Session::load_any(&paths).unwrap().is_none(), "{bad}");
        }
    }
}
