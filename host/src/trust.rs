//! Which keys sign certificates for people on this host: from a pinned trust bundle, or from a file.

use std::io::Read;
use std::path::{Path, PathBuf};

use jit_ssh_proto::{BundleError, KeyError, SignedBundle, UserKey};

/// A bundle is a few kilobytes; more is something else.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why there is no key to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error(
        "{path} cannot be read: {cause}; fetch the CA's URL/.well-known/jit-ssh into it, or check its name"
    )]
    Read {
        /// The file, `-` for standard input.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Too long, or not text.
    #[error("{0} is not a text file of at most 1 MiB: give the file as the CA made it")]
    Text(PathBuf),
    /// Not JSON of the expected form.
    #[error("{0} is not a trust bundle: fetch the CA's URL/.well-known/jit-ssh again")]
    NotBundle(PathBuf),
    /// The bundle does not verify.
    #[error(
        "--bundle is refused, nothing was written: {0}; compare --trust with what the CA's operator says"
    )]
    Bundle(#[from] BundleError),
    /// The bundle names no authority for people.
    #[error("the bundle has no user authority: ask the CA's operator")]
    NoAuthority,
    /// A line of the file is not a key.
    #[error("{path} line {line} {cause}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        cause: KeyError,
    },
    /// An authority's key in the bundle is not one that may sign.
    #[error("the bundle's user authority {0}")]
    BundleKey(KeyError),
    /// The file has no key at all.
    #[error("{0} has no key in it: give the CA's user key, one public key a line")]
    Empty(PathBuf),
    /// Neither a bundle nor a file.
    #[error("say whom to trust: --bundle with --trust, or --user-ca")]
    Neither,
}

/// Reads a signed bundle, verifies it against the pinned fingerprint and takes the keys that sign for people.
///
/// The authorities of login-style devices (`user-NAME`) are left out: their certificates name plain logins.
///
/// # Errors
/// When the bundle cannot be read, is not signed by the pinned key, or names no such authority.
pub fn authorities_from_bundle(
    path: &Path,
    trust: &str,
    input: &mut dyn Read,
) -> Result<Vec<UserKey>, TrustError> {
    let text = if path == Path::new("-") { read(path, input)? } else { read(path, &mut open(path)?)? };
    let signed: SignedBundle =
        serde_json::from_str(&text).map_err(|_| TrustError::NotBundle(path.to_path_buf()))?;
    let bundle = signed.open(trust)?;
    let mut keys = Vec::new();
    for authority in &bundle.authorities {
        if authority.kind == "user" && authority.name == "user" {
            keys.push(authority.key.parse().map_err(TrustError::BundleKey)?);
        }
    }
    if keys.is_empty() { Err(TrustError::NoAuthority) } else { Ok(keys) }
}

/// Reads public keys, one a line; empty lines and comments are skipped.
///
/// # Errors
/// When the file cannot be read, has no key, or a line is not one.
pub fn authorities_from_file(path: &Path) -> Result<Vec<UserKey>, TrustError> {
    let text = read(path, &mut open(path)?)?;
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let wrong =
                |cause| TrustError::Key { path: path.to_path_buf(), line: at.saturating_add(1), cause };
            keys.push(line.parse().map_err(wrong)?);
        }
    }
    if keys.is_empty() { Err(TrustError::Empty(path.to_path_buf())) } else { Ok(keys) }
}

fn open(path: &Path) -> Result<std::fs::File, TrustError> {
    std::fs::File::open(path).map_err(|cause| TrustError::Read { path: path.to_path_buf(), cause })
}

fn read(path: &Path, from: &mut dyn Read) -> Result<String, TrustError> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|cause| TrustError::Read { path: path.to_path_buf(), cause })?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(TrustError::Text(path.to_path_buf()));
    }
    String::from_utf8(bytes).map_err(|_| TrustError::Text(path.to_path_buf()))
}
