//! What a certificate is for: modes, their modifiers, and both as policy sees them (DESIGN 2, 4).

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a certificate is for. One certificate has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Mode {
    /// An interactive shell.
    Shell,
    /// One exact command.
    Exec,
    /// File transfer by OpenSSH's in-process SFTP server.
    Sftp,
    /// Port forwarding and nothing else.
    Forward,
    /// Through a bastion to one target.
    Jump,
}

impl Mode {
    /// Every mode, in the order of a principals file.
    pub const ALL: [Self; 5] = [Self::Shell, Self::Exec, Self::Sftp, Self::Forward, Self::Jump];

    /// The word in principals, policies and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Exec => "exec",
            Self::Sftp => "sftp",
            Self::Forward => "forward",
            Self::Jump => "jump",
        }
    }

    /// Whether modifiers may be added: only `shell` and `exec` take them.
    #[must_use]
    pub fn takes_modifiers(self) -> bool {
        match self {
            Self::Shell | Self::Exec => true,
            Self::Sftp | Self::Forward | Self::Jump => false,
        }
    }
}

/// What `shell` or `exec` may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Modifier {
    /// Agent forwarding.
    Agent,
    /// Port forwarding.
    Forward,
    /// X11 forwarding.
    X11,
}

impl Modifier {
    /// Every modifier, in the one order in which they are written.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Forward, Self::X11];

    /// The word in principals, policies and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Forward => "forward",
            Self::X11 => "x11",
        }
    }
}

/// Why a word is not a mode, a modifier or an action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// Not one of [`Mode::ALL`].
    #[error("is not a mode: use shell, exec, sftp, forward or jump")]
    Mode,
    /// Not one of [`Modifier::ALL`].
    #[error("is not a modifier: use agent, forward or x11")]
    Modifier,
    /// Modifiers repeated or not in the order agent, forward, x11.
    #[error("has modifiers out of order: write them once each, as agent, forward, x11")]
    Order,
    /// A modifier on a mode that takes none.
    #[error("adds a modifier to a mode that takes none: only shell and exec do")]
    Unmodifiable,
    /// Not an action of the policy language.
    #[error("is not an action")]
    Action,
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(word: &str) -> Result<Self, ModeError> {
        Self::ALL.into_iter().find(|m| m.as_str() == word).ok_or(ModeError::Mode)
    }
}

impl FromStr for Modifier {
    type Err = ModeError;

    fn from_str(word: &str) -> Result<Self, ModeError> {
        Self::ALL.into_iter().find(|m| m.as_str() == word).ok_or(ModeError::Modifier)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Modifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of modifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Modifiers {
    agent: bool,
    forward: bool,
    x11: bool,
}

impl Modifiers {
    /// No modifier.
    pub const NONE: Self = Self { agent: false, forward: false, x11: false };

    /// The set with this one added.
    #[must_use]
    pub fn with(mut self, modifier: Modifier) -> Self {
        match modifier {
            Modifier::Agent => self.agent = true,
            Modifier::Forward => self.forward = true,
            Modifier::X11 => self.x11 = true,
        }
        self
    }

    /// Whether the set has it.
    #[must_use]
    pub fn contains(self, modifier: Modifier) -> bool {
        match modifier {
            Modifier::Agent => self.agent,
            Modifier::Forward => self.forward,
            Modifier::X11 => self.x11,
        }
    }

    /// The members, in the order agent, forward, x11.
    pub fn iter(self) -> impl Iterator<Item = Modifier> {
        Modifier::ALL.into_iter().filter(move |m| self.contains(*m))
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// All eight sets, the empty one first.
    pub fn all_sets() -> impl Iterator<Item = Self> {
        (0_u8..8).map(|bits| Self { agent: bits & 1 != 0, forward: bits & 2 != 0, x11: bits & 4 != 0 })
    }
}

impl FromIterator<Modifier> for Modifiers {
    fn from_iter<I: IntoIterator<Item = Modifier>>(modifiers: I) -> Self {
        modifiers.into_iter().fold(Self::NONE, Self::with)
    }
}

/// A mode or a modifier as policy sees it: the subject of one Cedar question.
///
/// `sudo` is a word of the policy language that no certificate carries yet; asking for it is refused
/// with `not_available`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `shell`
    Shell,
    /// `exec`
    Exec,
    /// `sftp`
    Sftp,
    /// `forward`: the mode, and the modifier of `shell` and `exec`: the right is the same.
    Forward,
    /// `jump`
    Jump,
    /// `agent`
    Agent,
    /// `x11`
    X11,
    /// `sudo`
    Sudo,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] =
        [Self::Shell, Self::Exec, Self::Sftp, Self::Forward, Self::Jump, Self::Agent, Self::X11, Self::Sudo];

    /// The word in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Exec => "exec",
            Self::Sftp => "sftp",
            Self::Forward => "forward",
            Self::Jump => "jump",
            Self::Agent => "agent",
            Self::X11 => "x11",
            Self::Sudo => "sudo",
        }
    }
}

impl From<Mode> for Action {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Shell => Self::Shell,
            Mode::Exec => Self::Exec,
            Mode::Sftp => Self::Sftp,
            Mode::Forward => Self::Forward,
            Mode::Jump => Self::Jump,
        }
    }
}

impl From<Modifier> for Action {
    fn from(modifier: Modifier) -> Self {
        match modifier {
            Modifier::Agent => Self::Agent,
            Modifier::Forward => Self::Forward,
            Modifier::X11 => Self::X11,
        }
    }
}

impl FromStr for Action {
    type Err = ModeError;

    fn from_str(word: &str) -> Result<Self, ModeError> {
        Self::ALL.into_iter().find(|a| a.as_str() == word).ok_or(ModeError::Action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
