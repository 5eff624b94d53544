//! Everything that can go wrong, by whose move it is, and the exit code that each kind ends with (DESIGN 9).
//! Texts are whole sentences that name the next step; what others wrote is escaped before it gets here.

use std::process::ExitCode;

use jit_ssh_proto::explanation::{Advice, NearMiss};
use jit_ssh_proto::{Blame, Problem};

use crate::output::escape;

/// The result of nearly everything here.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Something on this machine: a file, a folder, the agent, a program that is missing.
    #[error("{0}")]
    Local(String),
    /// An answer of the CA or of the identity provider that must not be believed.
    #[error("{0}")]
    Untrusted(String),
    /// The identity provider refused or failed.
    #[error("{0}")]
    Provider(String),
    /// There is no session, or no longer one.
    #[error("{0}")]
    NotLoggedIn(String),
    /// The CA cannot be reached or cannot serve.
    #[error("{0}")]
    Unreachable(String),
    /// The request waits for somebody's approval.
    #[error("{0}")]
    Pending(String),
    /// The answer was asked for and is told: only the exit code is left to say it.
    #[error("this was the answer")]
    Told(Exit),
    /// The CA says no, with a code that is known here.
    #[error("{}", problem_text(.0))]
    Ca(Box<Problem>),
    /// The CA says no with a code of a later version: only the status can be gone by.
    #[error("{text}")]
    CaUnknown {
        /// The HTTP status.
        status: u16,
        /// What it said.
        text: String,
    },
}

/// How the program ends. The numbers are pinned: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: failed.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: denied.
    Denied,
    /// 4: waits for approval.
    Pending,
    /// 5: not logged in.
    NotLoggedIn,
    /// 6: the CA cannot be reached or cannot serve: the same command may work later.
    Unreachable,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::Pending => 4,
            Self::NotLoggedIn => 5,
            Self::Unreachable => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Error {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Local(_) | Self::Untrusted(_) | Self::Provider(_) => Exit::Failed,
            Self::NotLoggedIn(_) => Exit::NotLoggedIn,
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Pending(_) => Exit::Pending,
            Self::Told(exit) => *exit,
            Self::Ca(problem) => match problem.code.blame() {
                Blame::Caller | Blame::Provider => Exit::Failed,
                Blame::Login => Exit::NotLoggedIn,
                Blame::Denied => Exit::Denied,
                Blame::Server => Exit::Unreachable,
            },
            Self::CaUnknown { status, .. } => match status {
                401 => Exit::NotLoggedIn,
                403 => Exit::Denied,
                500..=599 => Exit::Unreachable,
                _ => Exit::Failed,
            },
        }
    }

    /// Whether logging in anew is what the CA asks for.
    pub(crate) fn wants_login(&self) -> bool {
        self.exit() == Exit::NotLoggedIn
    }

    /// Whether the CA says that a fresh login would change its answer, with nothing else to be done by anybody.
    pub(crate) fn wants_fresh_login(&self) -> bool {
        let Self::Ca(problem) = self else { return false };
        let fresh = |advice: &Advice| matches!(advice, Advice::LoginAgain);
        let enough = |near: &NearMiss| {
            near.can_be_asked_for() && near.with.iter().any(fresh) && near.with.iter().all(fresh)
        };
        problem.code.blame() == Blame::Denied && problem.advice.iter().any(enough)
    }

    /// A failure to read or write something here.
    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Local(format!(
            "cannot {what} {}: {error}; check its owner, permissions and free space",
            path.display()
        ))
    }
}

fn problem_text(problem: &Problem) -> String {
    let detail = if problem.detail.trim().is_empty() { &problem.title } else { &problem.detail };
    // A command stands on a line of its own, so that it can be taken from there.
    let command = if problem.advice.is_empty() { None } else { detail.split_once(" Run: ") };
    let (detail, command) = command.map_or((detail.as_str(), None), |(detail, run)| (detail, Some(run)));
    let text = format!("{} ({})", escape(detail.trim_end().trim_end_matches('.')), problem.code);
    command.map_or(text.clone(), |command| format!("{text}\nRun: {}", escape(command)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jit_ssh_proto::Code;

    #[test]
    fn a_fresh_login_is_made_only_where_it_is_all_that_is_missing() {
        let fresh = r#"{"do":"login_again"}"#;
        let reason = r#"{"do":"give_reason"}"#;
        let approval = r#"{"do":"with_approval","count":1,"group":"leads"}"#;
        let later = r#"{"do":"dance"}"#;
        for (code, ways, wanted) in [
            (Code::NoAccess, &[&[fresh][..]][..], true),
            (Code::DurationDenied, &[&[reason], &[fresh]], true),
            // Approval cannot be asked for: the login would be for nothing.
            (Code::NoAccess, &[&[fresh, approval]], false),
            (Code::NoAccess, &[&[fresh, reason]], false),
            (Code::NoAccess, &[&[fresh, later]], false),
            (Code::NoAccess, &[&[approval]], false),
            (Code::NoAccess, &[&[later]], false),
            (Code::NoAccess, &[&[]], false),
            (Code::NoAccess, &[], false),
            // Advice where none can be: not a denial at all.
            (Code::Internal, &[&[fresh]], false),
            (Code::SessionEnded, &[&[fresh]], false),
        ] {
            let terms = r#"{"duration":"30m"}"#;
            let ways: Vec<String> = ways
                .iter()
                .map(|with| format!(r#"{{"with":[{}],"terms":{terms}}}"#, with.join(",")))
                .collect();
            let advice = serde_json::from_str(&format!("[{}]", ways.join(","))).unwrap();
            let error = Error::Ca(Box::new(Problem::new(code, "No.").advising(advice)));
            assert_eq!(error.wants_fresh_login(), wanted, "{code} {ways:?}");
        }
        assert!(!Error::NotLoggedIn(String::new()).wants_fresh_login());
    }

    #[test]
    fn each_blame_has_its_exit_code() {
        for (code, exit) in [
            (Code::FieldInvalid, 1),
            (Code::SignatureStale, 1),
            (Code::ProviderUnreachable, 1),
            (Code::NoAccess, 3),
            (Code::Forbidden, 3),
            (Code::ApprovalRequired, 3),
            (Code::NotLoggedIn, 5),
            (Code::SessionExpired, 5),
            (Code::TokenNonce, 5),
            (Code::StoreUnavailable, 6),
            (Code::Internal, 6),
        ] {
            let error = Error::Ca(Box::new(Problem::new(code, "No.")));
            assert_eq!(error.exit().code(), exit, "{code}");
        }
        for (status, exit) in [(400, 1), (401, 5), (403, 3), (418, 1), (500, 6), (503, 6)] {
            let error = Error::CaUnknown { status, text: String::new() };
            assert_eq!(error.exit().code(), exit, "{status}");
        }
        assert_eq!(Error::Usage(String::new()).exit().code(), 2);
        assert_eq!(Error::Pending(String::new()).exit().code(), 4);
    }

    #[test]
    fn what_the_ca_wrote_is_shown_escaped() {
        let error = Error::Ca(Box::new(Problem::new(Code::Forbidden, "no\u{1b}[2J\nway.")));
        assert_eq!(error.to_string(), "no\\u{1b}[2J\\nway (forbidden)");
        let near: NearMiss =
            serde_json::from_str(r#"{"with":[{"do":"give_reason"}],"terms":{"duration":"1h"}}"#).unwrap();
        let problem =
            Problem::new(Code::NoAccess, "Not so. It would be with a reason. Run: jit-ssh x '…'\nid");
        let error = Error::Ca(Box::new(problem.advising(vec![near])));
        assert_eq!(
            error.to_string(),
            "Not so. It would be with a reason (no_access)\nRun: jit-ssh x '…'\\nid"
        );
    }
}
