//! Principals: `mode[+modifier…]:login@place`, the one string that carries location and action (DESIGN 4).

use core::fmt;
use core::str::FromStr;

use crate::{Account, Mode, ModeError, Modifier, Modifiers, NameError};

/// sshd refuses a certificate with more principals than this (facts: `sshkey.c`, `SSHKEY_CERT_MAX_PRINCIPALS`).
pub const MAX_PRINCIPALS: usize = 256;

/// What one certificate may be used for at one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    mode: Mode,
    modifiers: Modifiers,
    account: Account,
}

/// Why a string is not a [`Principal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// No `:` between the mode and the account.
    #[error("has no ':' after the mode")]
    NoMode,
    /// The part before `:` is wrong.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// The part after `:` is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Principal {
    /// Joins the parts.
    ///
    /// # Errors
    /// [`ModeError::Unmodifiable`] for a modifier on a mode that takes none.
    pub fn new(mode: Mode, modifiers: Modifiers, account: Account) -> Result<Self, ModeError> {
        if !modifiers.is_empty() && !mode.takes_modifiers() {
            return Err(ModeError::Unmodifiable);
        }
        Ok(Self { mode, modifiers, account })
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The modifiers.
    #[must_use]
    pub fn modifiers(&self) -> Modifiers {
        self.modifiers
    }

    /// The login and the place.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let (what, account) = text.split_once(':').ok_or(PrincipalError::NoMode)?;
        let mut words = what.split('+');
        let mode: Mode = words.next().unwrap_or_default().parse()?;
        let mut modifiers = Modifiers::NONE;
        let mut last = None;
        for word in words {
            let modifier: Modifier = word.parse()?;
            if last >= Some(modifier) {
                return Err(ModeError::Order.into());
            }
            last = Some(modifier);
            modifiers = modifiers.with(modifier);
        }
        Ok(Self::new(mode, modifiers, account.parse()?)?)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mode.as_str())?;
        for modifier in self.modifiers.iter() {
            write!(f, "+{modifier}")?;
        }
        write!(f, ":{}", self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn written_and_read() {
        for text in [
            "shell:deploy@web-1.prod.example.com",
            "shell+agent:deploy@web-1",
            "exec+agent+forward+x11:a@b",
            "sftp:deploy@group/web",
            "jump:jump@target.example.com",
        ] {
            assert_eq!(text.parse::<Principal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refused() {
        for bad in [
            "deploy@web",
            "shell:",
            "shell:deploy",
            ":a@b",
            "sudo:a@b",
            "shell+:a@b",
            "shell+x11+agent:a@b",
            "shell+agent+agent:a@b",
            "sftp+agent:a@b",
            "forward+x11:a@b",
            "Shell:a@b",
            "shell:*@b",
            "shell:a@*",
            "shell:a@b,shell:c@d",
            "shell:a@b ",
            "shell:a@b\n",
            "shell :a@b",
            "shell:a@b#c",
            "shell:shell:a@b",
        ] {
            assert!(bad.parse::<Principal>().is_err(), "{bad:?}");
        }
    }
}
