//! Keys come to be: those of a new CA, and later those of devices that match plain logins. Nothing is overwritten.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jit_ssh_core::authority::{Authority, USER};
use jit_ssh_proto::{CaId, Name};
use rand::rngs::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use super::keys::{CA_ID_FILE, open_private};
use super::{KEY_NAMES, KeyError, Passphrase};
use crate::entropy;

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
        let malformed = |_| KeyError::Malformed(folder.join(name));
        made.push((name.parse().map_err(malformed)?, make(folder, name, passphrase)?));
    }
    Ok((id, made))
}

/// Makes the key of devices that match plain logins and returns its public half. Its passphrase is that of the others.
///
/// # Errors
/// When the name is not `user-NAME`, the key is there already, or the passphrase is not the one.
pub fn add_key(folder: &Path, name: &Name, passphrase: &Passphrase) -> Result<PublicKey, KeyError> {
    if Authority::device_of(name).is_none() || name.as_str().ends_with(".pub") {
        return Err(KeyError::Name(name.to_string()));
    }
    if folder.join(name.as_str()).exists() {
        return Err(KeyError::Exists(folder.join(name.as_str())));
    }
    open_private(&folder.join(USER), passphrase)?;
    make(folder, name.as_str(), passphrase)
}

fn make(folder: &Path, name: &str, passphrase: &Passphrase) -> Result<PublicKey, KeyError> {
    let path = folder.join(name);
    let malformed = || KeyError::Malformed(path.clone());
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(|_| malformed())?;
    key.set_comment(format!("jit-ssh {name}"));
    let sealed = key.encrypt(&mut OsRng, passphrase.as_bytes()).map_err(|_| malformed())?;
    let line = key.public_key().to_openssh().map_err(|_| malformed())?;
    write_new(&path, &sealed.to_openssh(LineEnding::LF).map_err(|_| malformed())?, 0o600)?;
    write_new(&folder.join(format!("{name}.pub")), &format!("{line}\n"), 0o644).inspect_err(|_| {
        // A key without its public half would stop the next start; nobody has seen this one.
        let _ = fs::remove_file(&path);
    })?;
    Ok(PublicKey::from(key.public_key().key_data().clone()))
}

/// Creates a file that must not exist yet, durably.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
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
