//! Where the passphrase of the keys comes from: a file, systemd credentials, or a prompt (DESIGN 9).

use std::io::IsTerminal;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// The environment variable that names the file.
const FILE_VARIABLE: &str = "JIT_SSH_PASSPHRASE_FILE";
/// The name of the systemd credential (`LoadCredentialEncrypted=jit-ssh-passphrase:…`).
const CREDENTIAL: &str = "jit-ssh-passphrase";

/// A passphrase, wiped when dropped.
pub struct Passphrase(Zeroizing<String>);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The file cannot be read.
    #[error("the passphrase file {path} cannot be read; check JIT_SSH_PASSPHRASE_FILE")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("the passphrase is empty: the keys must be encrypted")]
    Empty,
    /// Two different ones were typed.
    #[error("the two passphrases differ: try again")]
    Differ,
    /// Nowhere to take it from.
    #[error(
        "no passphrase: set {FILE_VARIABLE} to a file that holds it, pass the systemd credential {CREDENTIAL}, or run this in a terminal"
    )]
    Nowhere,
    /// The terminal failed.
    #[error("the passphrase could not be read from the terminal: {0}")]
    Terminal(std::io::Error),
}

impl Passphrase {
    /// From text.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(text: String) -> Result<Self, PassphraseError> {
        let text = Zeroizing::new(text);
        if text.is_empty() { Err(PassphraseError::Empty) } else { Ok(Self(text)) }
    }

    /// From wherever it is; a prompt, typed twice if it is a new one, comes last.
    ///
    /// # Errors
    /// When it is nowhere or empty.
    pub fn obtain(new: bool) -> Result<Self, PassphraseError> {
        if let Some(path) = std::env::var_os(FILE_VARIABLE) {
            return Self::from_file(path.into());
        }
        if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
            let path = PathBuf::from(folder).join(CREDENTIAL);
            if path.exists() {
                return Self::from_file(path);
            }
        }
        if !std::io::stdin().is_terminal() {
            return Err(PassphraseError::Nowhere);
        }
        let prompt = |text: &str| {
            rpassword::prompt_password(text).map(Zeroizing::new).map_err(PassphraseError::Terminal)
        };
        let first =
            prompt(if new { "New passphrase for the CA's keys: " } else { "Passphrase of the CA's keys: " })?;
        if new && *prompt("Once more: ")? != *first {
            return Err(PassphraseError::Differ);
        }
        if first.is_empty() { Err(PassphraseError::Empty) } else { Ok(Self(first)) }
    }

    fn from_file(path: PathBuf) -> Result<Self, PassphraseError> {
        let text = std::fs::read_to_string(&path).map_err(|source| PassphraseError::Read { path, source })?;
        let text = Zeroizing::new(text);
        Self::new(text.strip_suffix('\n').map_or_else(|| text.to_string(), str::to_owned))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
