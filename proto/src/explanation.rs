//! Why a request is allowed or refused, and what would change the answer: in types for programs, in words for people.
//! What is advised was decided on before it was said; how it is found is the CA's business.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::event::Asked;
use crate::{Code, Mode, Modifier, Name, Span, Timestamp};

/// The answer that a request would get now (`POST /v1/explain`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Allowed, only with the approval of others, or denied.
    pub answer: Answer,
    /// The code of the refusal, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// In words: why, and what to do.
    pub detail: String,
    /// What would be granted, now or once it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// Which policy gives each account and action, if every one of them is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    /// What would change the answer, the easiest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<NearMiss>,
}

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Answer {
    /// It would be granted at once.
    Allowed,
    /// It would wait for approval.
    Pending,
    /// It would be refused.
    Denied,
}

/// What is granted, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Terms {
    /// How long: what was asked for, or the longest there is if nothing was.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub duration: Span,
    /// Whether the certificate is good from the caller's address only.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub pin_source: bool,
    /// Whether each use of the key needs its PIN or finger.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub verify: bool,
    /// Whose approval it takes: all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
}

/// So many people of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approval {
    /// How many.
    pub count: u8,
    /// Of which group.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub group: Name,
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.count == 1 { "" } else { "s" };
        write!(f, "{} approval{s} of {}", self.count, self.group)
    }
}

/// One account and one action, and the policy that gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pair {
    /// `LOGIN@HOST`
    pub account: String,
    /// The mode or modifier.
    pub action: String,
    /// The policy's id.
    pub policy: String,
    /// That policy's own terms.
    pub terms: Terms,
}

/// A change that would be answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NearMiss {
    /// What to do, all of it.
    pub with: Vec<Advice>,
    /// What would be granted then.
    pub terms: Terms,
}

/// One thing that somebody can do about a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Advice {
    /// Say why.
    GiveReason,
    /// Name a ticket.
    GiveTicket,
    /// Prove anew who one is.
    LoginAgain,
    /// Ask for this long or less.
    ForAtMost {
        /// The longest that would do.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        duration: Span,
    },
    /// Ask then.
    Between(Window),
    /// Use a key in a FIDO token.
    UseFidoKey,
    /// Break the glass.
    BreakGlass,
    /// Ask for another login of the host.
    AsLogin {
        /// That login.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        login: Name,
    },
    /// Ask for another mode.
    InMode {
        /// That mode.
        mode: Mode,
    },
    /// Ask without a modifier.
    Without {
        /// That modifier.
        modifier: Modifier,
    },
    /// Have it approved.
    WithApproval(Approval),
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A time in which the answer is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Window {
    /// The first second.
    pub from: Timestamp,
    /// The first second that is not in it any more; absent if it is open for as long as was looked ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// In words and in the CA's zone, as in `between 08:00 and 20:00 Europe/Paris`.
    pub words: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GiveReason => f.write_str("with a reason"),
            Self::GiveTicket => f.write_str("with a ticket"),
            Self::LoginAgain => f.write_str("after a fresh login"),
            Self::ForAtMost { duration } => write!(f, "for at most {duration}"),
            Self::Between(window) => f.write_str(&window.words),
            Self::UseFidoKey => f.write_str("with a FIDO key"),
            Self::BreakGlass => f.write_str("under break-glass"),
            Self::AsLogin { login } => write!(f, "as {login}"),
            Self::InMode { mode } => write!(f, "in mode {mode}"),
            Self::Without { modifier } => write!(f, "without {}", modifier.as_str()),
            Self::WithApproval(approval) => write!(f, "with {approval}"),
            Self::Unknown => f.write_str("in a way that a later jit-ssh can name"),
        }
    }
}

impl fmt::Display for NearMiss {
    /// `with a reason and for at most 15m`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, advice) in self.with.iter().enumerate() {
            if at > 0 {
                f.write_str(if at + 1 == self.with.len() { " and " } else { ", " })?;
            }
            advice.fmt(f)?;
        }
        Ok(())
    }
}

/// What is said of a way that this version has no command for: break-glass, and what others have to approve.
pub const NOT_YET: &str = "which cannot be asked for yet";

impl NearMiss {
    /// Whether it can be asked for at all in this version: not what others have to approve, nor under break-glass.
    #[must_use]
    pub fn can_be_asked_for(&self) -> bool {
        let later = |advice: &Advice| match advice {
            Advice::BreakGlass | Advice::WithApproval(_) => true,
            Advice::GiveReason
            | Advice::GiveTicket
            | Advice::LoginAgain
            | Advice::ForAtMost { .. }
            | Advice::Between(_)
            | Advice::UseFidoKey
            | Advice::AsLogin { .. }
            | Advice::InMode { .. }
            | Advice::Without { .. }
            | Advice::Unknown => false,
        };
        self.terms.approvals.is_empty() && !self.with.iter().any(later)
    }

    /// In words, with whether it can be asked for: `with a reason and with 1 approval of leads (which cannot be asked for
    /// yet)`
    #[must_use]
    pub fn in_words(&self) -> String {
        if self.can_be_asked_for() { self.to_string() } else { format!("{self} ({NOT_YET})") }
    }

    /// The command that follows the advice, for a POSIX shell, with `…` for what only the caller can say. None where a
    /// command alone does not do it, and where it cannot be asked for.
    #[must_use]
    pub fn command(&self, asked: &Asked) -> Option<String> {
        if !self.can_be_asked_for() {
            return None;
        }
        let mut asked = asked.clone();
        let (mut reason, mut ticket, mut before) = (false, false, "");
        for advice in &self.with {
            match advice {
                Advice::GiveReason => reason = true,
                Advice::GiveTicket => ticket = true,
                // The command is the same, and the time is theirs to wait for.
                Advice::Between(_) => {}
                Advice::LoginAgain => before = "jit-ssh login && ",
                Advice::ForAtMost { duration } => asked.duration = Some(*duration),
                Advice::AsLogin { login } => {
                    let [account] = asked.accounts.as_mut_slice() else { return None };
                    account.login = login.clone();
                }
                Advice::InMode { mode } => {
                    asked.mode = *mode;
                    asked.command = None;
                    if !mode.takes_modifiers() {
                        asked.modifiers.clear();
                    }
                }
                Advice::Without { modifier } => asked.modifiers.retain(|other| other != modifier),
                Advice::UseFidoKey | Advice::BreakGlass | Advice::WithApproval(_) | Advice::Unknown => {
                    return None;
                }
            }
        }
        Some(format!("{before}{}", command(&asked, reason, ticket)))
    }
}

/// The command that asks for exactly this, for a POSIX shell; `reason` and `ticket` leave room for one.
#[must_use]
pub fn command(asked: &Asked, reason: bool, ticket: bool) -> String {
    let mut line = String::from("jit-ssh login");
    for account in &asked.accounts {
        line.push_str(&format!(" {account}"));
    }
    match (asked.mode, &asked.command) {
        (Mode::Exec, Some(command)) => line.push_str(&option("command", command.as_str())),
        (Mode::Shell, _) => {}
        (mode @ (Mode::Exec | Mode::Sftp | Mode::Forward | Mode::Jump), _) => {
            line.push_str(&format!(" --mode {mode}"));
        }
    }
    if !asked.modifiers.is_empty() {
        let modifiers: Vec<&str> = asked.modifiers.iter().map(|m| m.as_str()).collect();
        line.push_str(&format!(" --with {}", modifiers.join(",")));
    }
    if let Some(duration) = asked.duration {
        line.push_str(&format!(" --for {duration}"));
    }
    for (flag, text, wanted) in [("reason", &asked.reason, reason), ("ticket", &asked.ticket, ticket)] {
        if wanted {
            line.push_str(&format!(" --{flag} '…'"));
        } else if !text.is_empty() {
            line.push_str(&option(flag, text.as_str()));
        }
    }
    line
}

/// An option with its value. What begins with a dash would be read as an option of its own: it is joined to its flag.
fn option(flag: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!(" --{flag}{between}{}", quoted(value))
}

/// One word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What would change the answer, in one sentence, with the command to run for the first that can be asked for. Empty if
/// nothing is known to.
#[must_use]
pub fn sentence(asked: &Asked, advice: &[NearMiss]) -> String {
    let Some(first) = advice.first() else { return String::new() };
    let ways: Vec<String> = advice.iter().map(NearMiss::in_words).collect();
    let verb = if first.terms.approvals.is_empty() { "allowed" } else { "possible" };
    let mut sentence = format!("It would be {verb} {}.", ways.join(", or "));
    let askable = advice.iter().find(|near| near.can_be_asked_for());
    if let Some(command) = askable.and_then(|near| near.command(asked)) {
        sentence.push_str(&format!(" Run: {command}"));
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            accounts: ["deploy@web-1".parse().unwrap()].into(),
            mode: Mode::Shell,
            modifiers: [Modifier::Agent].into(),
            command: None,
            duration: Some(Span::from_seconds(7200)),
            reason: "it's OPS-7".parse().unwrap(),
            ticket: "".parse().unwrap(),
        }
    }

    fn near(with: &[Advice]) -> NearMiss {
        let duration = Span::from_seconds(900);
        NearMiss {
            with: with.to_vec(),
            terms: Terms { duration, pin_source: false, verify: false, approvals: Vec::new() },
        }
    }

    #[test]
    fn advice_in_words_and_as_a_command() {
        let approval = Approval { count: 1, group: "sre-leads".parse().unwrap() };
        let window = Window {
            from: Timestamp::from_seconds(0),
            until: None,
            words: "between 08:00 and 20:00 Europe/Paris".into(),
        };
        let whole = r"jit-ssh login deploy@web-1 --with agent --for 2h --reason 'it'\''s OPS-7'";
        for (with, words, line) in [
            (
                &[Advice::GiveReason][..],
                "with a reason",
                Some("jit-ssh login deploy@web-1 --with agent --for 2h --reason '…'".to_string()),
            ),
            (&[Advice::GiveTicket], "with a ticket", Some(format!("{whole} --ticket '…'"))),
            (&[Advice::LoginAgain], "after a fresh login", Some(format!("jit-ssh login && {whole}"))),
            (
                &[Advice::ForAtMost { duration: Span::from_seconds(900) }, Advice::GiveTicket],
                "for at most 15m and with a ticket",
                Some(whole.replace("2h", "15m") + " --ticket '…'"),
            ),
            (&[Advice::Between(window)], "between 08:00 and 20:00 Europe/Paris", Some(whole.into())),
            (&[Advice::WithApproval(approval.clone())], "with 1 approval of sre-leads", None),
            (
                &[Advice::GiveReason, Advice::WithApproval(approval.clone())],
                "with a reason and with 1 approval of sre-leads",
                None,
            ),
            (
                &[Advice::AsLogin { login: "www".parse().unwrap() }],
                "as www",
                Some(whole.replace("deploy", "www")),
            ),
            (
                &[Advice::InMode { mode: Mode::Sftp }],
                "in mode sftp",
                Some(whole.replace("--with agent", "--mode sftp")),
            ),
            (
                &[Advice::Without { modifier: Modifier::Agent }],
                "without agent",
                Some(whole.replace(" --with agent", "")),
            ),
            (&[Advice::UseFidoKey], "with a FIDO key", None),
            (&[Advice::BreakGlass], "under break-glass", None),
        ] {
            let near = near(with);
            assert_eq!((near.to_string().as_str(), near.command(&asked())), (words, line));
        }
        assert_eq!(sentence(&asked(), &[]), "");
        // What cannot be asked for is said to be so, and no command is told that would be refused.
        let glass = [near(&[Advice::GiveReason, Advice::BreakGlass])];
        assert_eq!(
            sentence(&asked(), &glass),
            "It would be allowed with a reason and under break-glass (which cannot be asked for yet)."
        );
        let mut pending = near(&[Advice::GiveTicket]);
        pending.terms.approvals = [approval].into();
        assert_eq!((pending.can_be_asked_for(), pending.command(&asked())), (false, None));
        let [glass] = glass;
        assert_eq!(
            sentence(&asked(), &[pending, glass, near(&[Advice::LoginAgain])]),
            format!(
                "It would be possible with a ticket (which cannot be asked for yet), or with a reason and under break-glass \
                 (which cannot be asked for yet), or after a fresh login. Run: jit-ssh login && {whole}"
            )
        );
        let two = [near(&[Advice::GiveReason]), near(&[Advice::UseFidoKey])];
        assert_eq!(
            sentence(&asked(), &two),
            "It would be allowed with a reason, or with a FIDO key. Run: jit-ssh login deploy@web-1 --with agent --for 2h --reason '…'"
        );
    }

    #[test]
    fn advice_on_the_wire() {
        for (advice, json) in [
            (Advice::GiveReason, r#"{"do":"give_reason"}"#),
            (
                Advice::ForAtMost { duration: Span::from_seconds(3600) },
                r#"{"do":"for_at_most","duration":"1h"}"#,
            ),
            (Advice::InMode { mode: Mode::Sftp }, r#"{"do":"in_mode","mode":"sftp"}"#),
            (
                Advice::WithApproval(Approval { count: 2, group: "leads".parse().unwrap() }),
                r#"{"do":"with_approval","count":2,"group":"leads"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&advice).unwrap(), json);
            assert_eq!(serde_json::from_str::<Advice>(json).unwrap(), advice);
        }
        // What a later CA advises does not stop this client.
        let later: Advice = serde_json::from_str(r#"{"do":"stand_on_one_leg","seconds":30}"#).unwrap();
        assert_eq!(later, Advice::Unknown);
    }
}
