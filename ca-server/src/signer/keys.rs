//! The key files of a CA: OpenSSH private keys, encrypted, with their public halves beside them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jit_ssh_core::authority::{Authority, CertKind, USER};
use jit_ssh_proto::{BundleError, CaId, Name, SignedBundle, TrustBundle, UserKey};
use ssh_key::{HashAlg, PrivateKey, PublicKey};

use super::seal::Purpose;
use super::{FileSigner, LedgerSigner, Passphrase, Sealer};

/// The keys of every CA: who they are and what they are for (DESIGN 9).
pub const KEY_NAMES: [&str; 4] = ["user", "host", "trust", "ledger"];

/// The file that holds the CA's id.
pub(super) const CA_ID_FILE: &str = "ca.id";

/// What is wrong with a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is there already.
    #[error("{0} exists already: it is never overwritten")]
    Exists(PathBuf),
    /// Others may read it.
    #[error("{0} can be read by others: chmod 600 it")]
    Permissions(PathBuf),
    /// Not a key file, or not of an accepted kind.
    #[error("{0} is not a key file of a CA")]
    Malformed(PathBuf),
    /// It is not encrypted.
    #[error("{0} is not encrypted: encrypt it with ssh-keygen -p -f {0}")]
    Plain(PathBuf),
    /// The passphrase is not its own.
    #[error("{0} does not open with this passphrase: give the one that the keys were made with")]
    Passphrase(PathBuf),
    /// The public half is another key's.
    #[error("{0}.pub is not the public half of {0}")]
    Mismatch(PathBuf),
    /// Two names for one key: what one authority signs would be good where another is trusted.
    #[error("{0} and {1} are one key: each must be its own; remove the copy")]
    Shared(PathBuf, PathBuf),
    /// Not the name of an authority of devices.
    #[error(
        "{0} is not the name of a key to add: write user-NAME, NAME being the host or the group that has principals = \"login\""
    )]
    Name(String),
}

/// A CA's keys, opened.
pub struct Keys {
    /// The CA's id.
    pub ca_id: CaId,
    /// Signs user certificates.
    pub user: FileSigner,
    /// Sign plain logins, each for one host or group of devices: `user-NAME`.
    pub devices: Vec<FileSigner>,
    /// The host authority's public side; nothing signs with it yet.
    pub host: Authority,
    /// Signs checkpoints.
    pub ledger: LedgerSigner,
    /// Encrypts refresh tokens.
    pub sealer: Sealer,
    /// Encrypts cursors.
    pub cursors: Sealer,
    trust: PrivateKey,
}

impl Keys {
    /// Opens the keys of a CA. All of them: what is published of a key is taken from its sealed half, so that a
    /// changed `.pub` file gets nowhere.
    ///
    /// # Errors
    /// Which file is wrong and what to do.
    pub fn open(folder: &Path, passphrase: &Passphrase) -> Result<Self, KeyError> {
        let devices = device_keys(folder)?;
        let names: Vec<&str> = KEY_NAMES.into_iter().chain(devices.iter().map(Name::as_str)).collect();
        // Each key has a key derivation of its own, slow on purpose: open them side by side.
        let opened: Vec<_> = std::thread::scope(|scope| {
            let opening: Vec<_> =
                names.iter().map(|name| scope.spawn(move || open_key(folder, name, passphrase))).collect();
            opening.into_iter().map(|opening| opening.join()).collect()
        });
        let mut keys: BTreeMap<&str, PrivateKey> = BTreeMap::new();
        for (name, opened) in names.into_iter().zip(opened) {
            let key = opened.unwrap_or_else(|_| Err(KeyError::Malformed(folder.join(name))))?;
            let same = |other: &PrivateKey| other.public_key().key_data() == key.public_key().key_data();
            if let Some((first, _)) = keys.iter().find(|(_, other)| same(other)) {
                return Err(KeyError::Shared(folder.join(first), folder.join(name)));
            }
            keys.insert(name, key);
        }
        let mut take = |name: &str| keys.remove(name).ok_or_else(|| KeyError::Malformed(folder.join(name)));
        let ledger = take("ledger")?;
        let signer = |name: &str, key: PrivateKey| {
            Ok(FileSigner::new(authority(folder, name, CertKind::User, key.public_key())?, key))
        };
        let ca_id = ca_id(folder)?;
        let malformed = || KeyError::Malformed(folder.join("ledger"));
        let sealer = |purpose| Sealer::derive(purpose, &ca_id, &ledger).ok_or_else(malformed);
        Ok(Self {
            ca_id,
            user: signer(USER, take(USER)?)?,
            host: authority(folder, "host", CertKind::Host, take("host")?.public_key())?,
            sealer: sealer(Purpose::RefreshTokens)?,
            cursors: sealer(Purpose::Cursors)?,
            ledger: LedgerSigner::new(&ca_id, &ledger).ok_or_else(malformed)?,
            trust: take("trust")?,
            devices: devices
                .iter()
                .map(|name| signer(name.as_str(), take(name.as_str())?))
                .collect::<Result<_, KeyError>>()?,
        })
    }

    /// The trust key's public half.
    #[must_use]
    pub fn trust_key(&self) -> &PublicKey {
        self.trust.public_key()
    }

    /// Signs a trust bundle: all that the trust key does.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign_bundle(&self, bundle: &TrustBundle) -> Result<SignedBundle, BundleError> {
        SignedBundle::sign(bundle, self.trust.public_key(), &self.trust)
    }
}

fn authority(folder: &Path, name: &str, kind: CertKind, key: &PublicKey) -> Result<Authority, KeyError> {
    let malformed = || KeyError::Malformed(folder.join(name));
    let key = UserKey::new(key).map_err(|_| malformed())?;
    let name: Name = name.parse().map_err(|_| malformed())?;
    Ok(Authority::new(name, kind, key))
}

/// Opens one key, and sees that its public half is the one beside it.
fn open_key(folder: &Path, name: &str, passphrase: &Passphrase) -> Result<PrivateKey, KeyError> {
    let path = folder.join(name);
    let key = open_private(&path, passphrase)?;
    if public(folder, name)?.key_data() == key.public_key().key_data() {
        Ok(key)
    } else {
        Err(KeyError::Mismatch(path))
    }
}

/// The names of the keys that sign plain logins, `user-NAME`, by name.
fn device_keys(folder: &Path) -> Result<Vec<Name>, KeyError> {
    let io = |source| KeyError::Io { path: folder.to_path_buf(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let file = entry.map_err(io)?.file_name();
        let name: Option<Name> = file.to_str().and_then(|name| name.parse().ok());
        found.extend(
            name.filter(|name| Authority::device_of(name).is_some() && !name.as_str().ends_with(".pub")),
        );
    }
    found.sort_unstable();
    Ok(found)
}

/// What there is to see of a key without its passphrase.
#[derive(Clone, Debug)]
pub struct PublicHalf {
    /// Its name.
    pub name: Name,
    /// `SHA256:…`
    pub fingerprint: String,
    /// Its public key line.
    pub line: String,
}

/// The public halves of every key of a CA.
///
/// # Errors
/// When one cannot be read.
pub fn public_halves(folder: &Path) -> Result<Vec<PublicHalf>, KeyError> {
    let devices = device_keys(folder)?;
    let names = KEY_NAMES.into_iter().chain(devices.iter().map(Name::as_str));
    names
        .map(|name| {
            let malformed = || KeyError::Malformed(folder.join(format!("{name}.pub")));
            let key = public(folder, name)?;
            Ok(PublicHalf {
                name: name.parse().map_err(|_| malformed())?,
                fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
                line: key.to_openssh().map_err(|_| malformed())?,
            })
        })
        .collect()
}

pub(super) fn open_private(path: &Path, passphrase: &Passphrase) -> Result<PrivateKey, KeyError> {
    let io = |source| KeyError::Io { path: path.to_path_buf(), source };
    let mode = fs::metadata(path).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions(path.to_path_buf()));
    }
    let text = zeroize::Zeroizing::new(fs::read_to_string(path).map_err(io)?);
    let key = PrivateKey::from_openssh(text.as_str()).map_err(|_| KeyError::Malformed(path.to_path_buf()))?;
    if !key.is_encrypted() {
        return Err(KeyError::Plain(path.to_path_buf()));
    }
    key.decrypt(passphrase.as_bytes()).map_err(|_| KeyError::Passphrase(path.to_path_buf()))
}

fn public(folder: &Path, name: &str) -> Result<PublicKey, KeyError> {
    let path = folder.join(format!("{name}.pub"));
    let text = fs::read_to_string(&path).map_err(|source| KeyError::Io { path: path.clone(), source })?;
    let mut key = PublicKey::from_openssh(&text).map_err(|_| KeyError::Malformed(path))?;
    key.set_comment("");
    Ok(key)
}

/// Reads the CA's id.
///
/// # Errors
/// When the file is missing or not an id.
pub fn ca_id(folder: &Path) -> Result<CaId, KeyError> {
    let path = folder.join(CA_ID_FILE);
    let text = fs::read_to_string(&path).map_err(|source| KeyError::Io { path: path.clone(), source })?;
    text.trim().parse().map_err(|_| KeyError::Malformed(path))
}

/// The ledger key's public key line, from beside its sealed half.
///
/// # Errors
/// When the file is missing or not a key.
pub fn ledger_key(folder: &Path) -> Result<String, KeyError> {
    let malformed = |_| KeyError::Malformed(folder.join("ledger.pub"));
    public(folder, "ledger")?.to_openssh().map_err(malformed)
}
