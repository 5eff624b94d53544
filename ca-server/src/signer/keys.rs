//! The key files of a CA: OpenSSH private keys, encrypted, with their public halves beside them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jit_ssh_core::authority::{Authority, CertKind};
use jit_ssh_proto::{BundleError, CaId, Name, SignedBundle, TrustBundle, UserKey};
use rand::rngs::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use super::{FileSigner, LedgerSigner, Passphrase, Sealer};
use crate::entropy;

/// The keys of every CA: who they are and what they are for (DESIGN 9).
pub const KEY_NAMES: [&str; 4] = ["user", "host", "trust", "ledger"];

/// The file that holds the CA's id.
const CA_ID_FILE: &str = "ca.id";

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
}

/// A CA's keys, opened.
pub struct Keys {
    /// The CA's id.
    pub ca_id: CaId,
    /// Signs user certificates.
    pub user: FileSigner,
    /// The host authority's public side; nothing signs with it yet.
    pub host: Authority,
    /// Signs checkpoints.
    pub ledger: LedgerSigner,
    /// Encrypts refresh tokens.
    pub sealer: Sealer,
    trust: PrivateKey,
}

impl Keys {
    /// Opens the keys of a CA. All of them: what is published of a key is taken from its sealed half, so that a
    /// changed `.pub` file gets nowhere.
    ///
    /// # Errors
    /// Which file is wrong and what to do.
    pub fn open(folder: &Path, passphrase: &Passphrase) -> Result<Self, KeyError> {
        // Each key has a key derivation of its own, slow on purpose: open them side by side.
        let [user, host, trust, ledger] = std::thread::scope(|scope| {
            KEY_NAMES
                .map(|name| scope.spawn(move || open_key(folder, name, passphrase)))
                .map(|opening| opening.join())
        })
        .map(|opened| opened.unwrap_or_else(|_| Err(KeyError::Malformed(folder.to_path_buf()))));
        let user = user?;
        let ca_id = ca_id(folder)?;
        let malformed = || KeyError::Malformed(folder.join("ledger"));
        let ledger = ledger?;
        Ok(Self {
            ca_id,
            user: FileSigner::new(authority(folder, "user", CertKind::User, user.public_key())?, user),
            host: authority(folder, "host", CertKind::Host, host?.public_key())?,
            sealer: Sealer::derive(&ca_id, &ledger).ok_or_else(malformed)?,
            ledger: LedgerSigner::new(&ca_id, &ledger).ok_or_else(malformed)?,
            trust: trust?,
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

fn open_private(path: &Path, passphrase: &Passphrase) -> Result<PrivateKey, KeyError> {
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

/// Makes the keys and the id of a new CA in `folder` and returns their public halves. Overwrites nothing.
///
/// # Errors
/// When something is there already or cannot be written.
pub fn create_keys(
    folder: &Path,
    passphrase: &Passphrase,
) -> Result<(CaId, Vec<(Name, PublicKey)>), KeyError> {
    let id = CaId::from_bytes(entropy::bytes());
    write_new(&folder.join(CA_ID_FILE), &format!("{id}\n"), 0o644)?;
    let mut made = Vec::new();
    for name in KEY_NAMES {
        let path = folder.join(name);
        let malformed = || KeyError::Malformed(path.clone());
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(|_| malformed())?;
        key.set_comment(format!("jit-ssh {name}"));
        let sealed = key.encrypt(&mut OsRng, passphrase.as_bytes()).map_err(|_| malformed())?;
        write_new(&path, &sealed.to_openssh(LineEnding::LF).map_err(|_| malformed())?, 0o600)?;
        let line = key.public_key().to_openssh().map_err(|_| malformed())?;
        write_new(&folder.join(format!("{name}.pub")), &format!("{line}\n"), 0o644)?;
        made.push((
            name.parse().map_err(|_| malformed())?,
            PublicKey::from(key.public_key().key_data().clone()),
        ));
    }
    Ok((id, made))
}

/// Creates a file that must not exist yet, durably.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            KeyError::Exists(path.to_path_buf())
        } else {
            KeyError::Io { path: path.to_path_buf(), source }
        }
    })
}
