//! What `setup` pinned: the CA's address, its trust key, and the last trust bundle, which is never replaced by an
//! older one or by one of another CA.

use jit_ssh_proto::{CaId, SignedBundle, TrustBundle};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Error, Result};
use crate::http::{Http, roots_from_pem};
use crate::paths::{self, Paths};

const FILE: &str = "ca.toml";
const BUNDLE: &str = "bundle.json";
const ROOTS: &str = "ca-cert.pem";

/// `ca.toml`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// The CA's address.
    pub(crate) url: Url,
    /// The CA's id.
    pub(crate) ca_id: CaId,
    /// The fingerprint of the trust key, `SHA256:…`.
    pub(crate) trust_key: String,
    /// Whether `ca-cert.pem` holds roots for TLS besides the system's.
    #[serde(default)]
    pub(crate) own_roots: bool,
}

/// A CA that is set up.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What is pinned.
    pub(crate) pin: Pin,
    /// The last bundle, verified.
    pub(crate) bundle: TrustBundle,
}

impl Config {
    /// The CA that is set up, if there is one.
    pub(crate) fn load(paths: &Paths) -> Result<Option<Self>> {
        let folder = paths.config()?;
        let (file, bundle_file) = (folder.join(FILE), folder.join(BUNDLE));
        let Some(text) = paths::read(&file, 0o022)? else { return Ok(None) };
        let damaged = |what: &dyn std::fmt::Display| {
            Error::Local(format!("{} is damaged ({what}): run jit-ssh setup URL again", file.display()))
        };
        let text = std::str::from_utf8(&text).map_err(|e| damaged(&e))?;
        let pin: Pin = toml::from_str(text).map_err(|e| damaged(&e.message()))?;
        let bundle =
            paths::read(&bundle_file, 0o022)?.ok_or_else(|| damaged(&"the trust bundle is missing"))?;
        let bundle: SignedBundle =
            serde_json::from_slice(&bundle).map_err(|_| damaged(&"the trust bundle is no JSON"))?;
        let bundle = bundle.open(&pin.trust_key).map_err(|e| damaged(&e))?;
        if bundle.ca_id != pin.ca_id {
            return Err(damaged(&"the trust bundle is another CA's"));
        }
        Ok(Some(Self { pin, bundle }))
    }

    /// The CA that is set up.
    pub(crate) fn require(paths: &Paths) -> Result<Self> {
        Self::load(paths)?.ok_or_else(|| Error::Local("no CA is set up: run jit-ssh setup URL first".into()))
    }

    /// Writes a new pin with its bundle.
    pub(crate) fn pin(paths: &Paths, pin: Pin, signed: &SignedBundle, roots: Option<&[u8]>) -> Result<Self> {
        let bundle =
            signed.open(&pin.trust_key).map_err(|e| Error::Untrusted(format!("{e}: nothing was changed")))?;
        let folder = paths.config()?;
        let text = toml::to_string(&pin)
            .map_err(|e| Error::Local(format!("cannot write the configuration: {e}")))?;
        match roots {
            Some(pem) => paths::write(&folder.join(ROOTS), pem)?,
            None => paths::remove(&folder.join(ROOTS))?,
        }
        write_bundle(paths, signed)?;
        paths::write(&folder.join(FILE), text.as_bytes())?;
        Ok(Self { pin, bundle })
    }

    /// Takes a bundle that the CA sent just now, if it is by the pinned key, of the same CA and no older than ours.
    pub(crate) fn refresh(&mut self, paths: &Paths, signed: &SignedBundle) -> Result<()> {
        let bundle = newer(self, signed)?;
        if bundle != self.bundle {
            write_bundle(paths, signed)?;
            self.bundle = bundle;
        }
        Ok(())
    }

    /// An HTTP client with the roots of this CA.
    pub(crate) fn http(&self, paths: &Paths) -> Result<Http> {
        if !self.pin.own_roots {
            return Ok(Http::new(vec![]));
        }
        let path = paths.config()?.join(ROOTS);
        let pem = paths::read(&path, 0o022)?.ok_or_else(|| {
            Error::Local(format!("{} is missing: run jit-ssh setup URL --ca-cert FILE again", path.display()))
        })?;
        let roots = roots_from_pem(&pem).map_err(|e| Error::Local(format!("{} {e}", path.display())))?;
        Ok(Http::new(roots))
    }
}

fn write_bundle(paths: &Paths, signed: &SignedBundle) -> Result<()> {
    let json = serde_json::to_vec(signed)
        .map_err(|e| Error::Local(format!("cannot write the trust bundle: {e}")))?;
    paths::write(&paths.config()?.join(BUNDLE), &json)
}

/// The bundle inside, if it may take the place of the one that is held.
pub(crate) fn newer(held: &Config, signed: &SignedBundle) -> Result<TrustBundle> {
    let url = &held.pin.url;
    let bundle = signed.open(&held.pin.trust_key).map_err(|e| {
        Error::Untrusted(format!(
            "{url} does not prove to be the CA you pinned: {e}. If its operator says the trust key was replaced, \
             compare the new fingerprint with theirs and run jit-ssh setup {url} --replace"
        ))
    })?;
    if bundle.ca_id != held.pin.ca_id {
        return Err(Error::Untrusted(format!(
            "{url} now says it is CA {}, but {} is pinned: ask its operator, then run jit-ssh setup {url} --replace",
            bundle.ca_id, held.pin.ca_id
        )));
    }
    if bundle.issued < held.bundle.issued {
        return Err(Error::Untrusted(format!(
            "{url} sent a trust bundle that is older than the one it sent before: tell its operator (a restored \
             backup or an attack); nothing was changed"
        )));
    }
    Ok(bundle)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::{bundle, key};
    use jit_ssh_proto::Timestamp;
    use ssh_key::PrivateKey;

    fn sign(bundle: &TrustBundle, key: &PrivateKey) -> SignedBundle {
        SignedBundle::sign(bundle, key.public_key(), key).unwrap()
    }

    fn pinned(paths: &Paths, trust: &PrivateKey) -> Config {
        let signed = sign(&bundle(&[]), trust);
        let pin = Pin {
            url: Url::parse("https://ca.example.com").unwrap(),
            ca_id: bundle(&[]).ca_id,
            trust_key: signed.trust_fingerprint().unwrap(),
            own_roots: false,
        };
        Config::pin(paths, pin, &signed, None).unwrap()
    }

    #[test]
    fn what_is_pinned_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        assert!(Config::load(&paths).unwrap().is_none());
        assert!(Config::require(&paths).unwrap_err().to_string().contains("jit-ssh setup"));
        let config = pinned(&paths, &key(1));
        let read = Config::require(&paths).unwrap();
        assert_eq!((read.pin, read.bundle), (config.pin, config.bundle));
    }

    #[test]
    fn bundles_that_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        let trust = key(1);
        let mut config = pinned(&paths, &trust);
        let old = config.bundle.clone();
        let change = |change: &dyn Fn(&mut TrustBundle)| {
            let mut bundle = old.clone();
            change(&mut bundle);
            bundle
        };
        let older = change(&|b| b.issued = Timestamp::from_seconds(b.issued.seconds() - 1));
        let other = change(&|b| b.ca_id = CaId::from_bytes([9; 32]));
        let mut altered = sign(&old, &trust);
        altered.bundle = altered.bundle.replace("example", "attacker");
        for (signed, why) in [
            (sign(&old, &key(2)), "--replace"),
            (sign(&older, &trust), "older"),
            (sign(&other, &trust), "--replace"),
            (altered, "does not verify"),
            (sign(&change(&|b| b.version = 2), &trust), "not understood"),
        ] {
            let error = config.refresh(&paths, &signed).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(config.bundle, old);
            assert_eq!(Config::require(&paths).unwrap().bundle, old);
        }
        let newer = change(&|b| b.issued = Timestamp::from_seconds(b.issued.seconds() + 1));
        config.refresh(&paths, &sign(&newer, &trust)).unwrap();
        assert_eq!(Config::require(&paths).unwrap().bundle, newer);
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        pinned(&paths, &key(1));
        let file = paths.config().unwrap().join(FILE);
        let good = std::fs::read_to_string(&file).unwrap();
        let other = key(2).public_key().fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let ours = key(1).public_key().fingerprint(ssh_key::HashAlg::Sha256).to_string();
        for bad in [
            String::new(),
            format!("{good}color = 1\n"),
            good.replace("https", "no url "),
            good.replace(&ours, &other),
            good.replace("ca_id = \"", "ca_id = \"A"),
        ] {
            assert_ne!(bad, good);
            std::fs::write(&file, bad).unwrap();
            assert!(Config::load(&paths).unwrap_err().to_string().contains("jit-ssh setup"));
        }
        std::fs::write(&file, good).unwrap();
        std::fs::remove_file(paths.config().unwrap().join(BUNDLE)).unwrap();
        assert!(Config::load(&paths).is_err());
    }
}
