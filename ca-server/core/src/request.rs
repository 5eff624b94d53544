//! A request for access: raw fields in, a value that can only be valid out.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::event::Asked;
use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{
    Account, Action, Code, Command, Mode, Modifier, Modifiers, Problem, Span, SpanError, Text,
};

/// What the CA never goes beyond, whatever policy says.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The longest duration that may be asked for.
    pub max_duration: Span,
    /// The most accounts in one request.
    pub max_accounts: usize,
}

/// Who asks is the session's business; this is what, where, how long and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    accounts: Vec<Account>,
    mode: Mode,
    modifiers: Modifiers,
    command: Option<Command>,
    duration: Option<Span>,
    reason: Text,
    ticket: Text,
    starts_in: Span,
    break_glass: bool,
}

/// What [`AccessRequest::supposing`] changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Otherwise {
    /// Other accounts.
    pub(crate) accounts: Option<Vec<Account>>,
    /// Another mode, never `exec`: that needs a command.
    pub(crate) mode: Option<Mode>,
    /// Without these modifiers.
    pub(crate) without: BTreeSet<Modifier>,
    /// Another duration.
    pub(crate) duration: Option<Span>,
    /// Another reason.
    pub(crate) reason: Option<Text>,
    /// Another ticket.
    pub(crate) ticket: Option<Text>,
    /// Under break-glass too.
    pub(crate) break_glass: bool,
}

impl AccessRequest {
    /// Parses each field.
    ///
    /// # Errors
    /// A problem that names the field and what to write instead.
    pub fn parse(body: &AccessRequestBody, limits: &RequestLimits) -> Result<Self, Problem> {
        let accounts = accounts(body, limits)?;
        let modifiers: Modifiers = body.modifiers.iter().copied().collect();
        if modifiers.iter().count() != body.modifiers.len() {
            return Err(Problem::new(Code::FieldInvalid, "modifiers has one of them twice: give each once."));
        }
        if !modifiers.is_empty() && !body.mode.takes_modifiers() {
            return Err(Problem::new(
                Code::FieldInvalid,
                format!("modifiers cannot be added to mode {}: only shell and exec take them.", body.mode),
            ));
        }
        let text = |field: &str, value: &str| {
            // Policies ask whether there is a reason; a blank is none and must not pass for one.
            if !value.is_empty() && value.trim().is_empty() {
                return Err(Problem::new(
                    Code::TextInvalid,
                    format!("{field} is blank: write something or leave it out."),
                ));
            }
            value.parse::<Text>().map_err(|e| Problem::new(Code::TextInvalid, format!("{field} {e}.")))
        };
        Ok(Self {
            accounts,
            mode: body.mode,
            modifiers,
            command: command(body)?,
            duration: duration(body, limits)?,
            reason: text("reason", &body.reason)?,
            ticket: text("ticket", &body.ticket)?,
            starts_in: Span::default(),
            break_glass: false,
        })
    }

    /// The same request, to start this long from now.
    #[must_use]
    pub fn starting_in(self, starts_in: Span) -> Self {
        Self { starts_in, ..self }
    }

    /// The same request, under break-glass or not.
    #[must_use]
    pub fn under_break_glass(self, break_glass: bool) -> Self {
        Self { break_glass, ..self }
    }

    /// A request of nothing but one account, a mode, and the command that `exec` needs: for questions about what would be.
    #[must_use]
    pub(crate) fn of(account: Account, mode: Mode, command: Option<Command>) -> Self {
        Self {
            accounts: Vec::from([account]),
            mode,
            modifiers: Modifiers::default(),
            command,
            duration: None,
            reason: Text::default(),
            ticket: Text::default(),
            starts_in: Span::default(),
            break_glass: false,
        }
    }

    /// The same request with some of it otherwise: for questions about what would be.
    #[must_use]
    pub(crate) fn supposing(&self, otherwise: Otherwise) -> Self {
        let mut request = self.clone();
        let Otherwise { accounts, mode, without, duration, reason, ticket, break_glass } = otherwise;
        if let Some(accounts) = accounts {
            request.accounts = accounts;
        }
        if let Some(mode) = mode {
            request.mode = mode;
            request.command = None;
            if !mode.takes_modifiers() {
                request.modifiers = Modifiers::default();
            }
        }
        request.modifiers = request.modifiers.iter().filter(|modifier| !without.contains(modifier)).collect();
        request.duration = duration.or(request.duration);
        request.reason = reason.unwrap_or(request.reason);
        request.ticket = ticket.unwrap_or(request.ticket);
        request.break_glass |= break_glass;
        request
    }

    /// The accounts: at least one, each once, in the order asked.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
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

    /// The command; there exactly when the mode is `exec`.
    #[must_use]
    pub fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// The duration asked for; none means the offer's own.
    #[must_use]
    pub fn duration(&self) -> Option<Span> {
        self.duration
    }

    /// The reason; empty if none was given.
    #[must_use]
    pub fn reason(&self) -> &Text {
        &self.reason
    }

    /// The ticket; empty if none was given.
    #[must_use]
    pub fn ticket(&self) -> &Text {
        &self.ticket
    }

    /// How long from now it is to start; zero is at once.
    #[must_use]
    pub fn starts_in(&self) -> Span {
        self.starts_in
    }

    /// Whether it is made under break-glass.
    #[must_use]
    pub fn break_glass(&self) -> bool {
        self.break_glass
    }

    /// The actions that policy is asked about: the mode and each modifier.
    pub fn actions(&self) -> impl Iterator<Item = Action> + '_ {
        core::iter::once(Action::from(self.mode)).chain(self.modifiers.iter().map(Action::from))
    }

    /// The request as the ledger records it.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            accounts: self.accounts.clone(),
            mode: self.mode,
            modifiers: self.modifiers.iter().collect(),
            command: self.command.clone(),
            duration: self.duration,
            reason: self.reason.clone(),
            ticket: self.ticket.clone(),
        }
    }
}

fn accounts(body: &AccessRequestBody, limits: &RequestLimits) -> Result<Vec<Account>, Problem> {
    if body.accounts.is_empty() {
        return Err(Problem::new(
            Code::AccountInvalid,
            "accounts is empty: name at least one as LOGIN@HOST.",
        ));
    }
    if body.accounts.len() > limits.max_accounts {
        return Err(Problem::new(
            Code::AccountInvalid,
            format!(
                "accounts has {} entries: ask for at most {} at a time.",
                body.accounts.len(),
                limits.max_accounts
            ),
        ));
    }
    let mut accounts: Vec<Account> = Vec::with_capacity(body.accounts.len());
    for text in &body.accounts {
        // The answer shows what was sent, but not however much was sent.
        let shown: String = text.chars().take(80).collect();
        let account: Account = text
            .parse()
            .map_err(|e| Problem::new(Code::AccountInvalid, format!("accounts: {shown:?} {e}.")))?;
        if accounts.contains(&account) {
            return Err(Problem::new(
                Code::AccountInvalid,
                format!("accounts has {account} twice: name it once."),
            ));
        }
        accounts.push(account);
    }
    Ok(accounts)
}

fn command(body: &AccessRequestBody) -> Result<Option<Command>, Problem> {
    let invalid = |detail: &str| Err(Problem::new(Code::CommandInvalid, detail));
    match (body.mode, &body.command) {
        (Mode::Exec, Some(text)) => match text.parse::<Command>() {
            // sshd runs its own SFTP server for this word: that is another mode's right.
            Ok(command) if command.as_str().split([' ', '\t']).next() == Some("internal-sftp") => {
                invalid("command is internal-sftp, which is file transfer: use mode sftp.")
            }
            Ok(command) => Ok(Some(command)),
            Err(e) => invalid(&format!("command {e}.")),
        },
        (Mode::Exec, None) => invalid("command is missing: mode exec is for one exact command."),
        (Mode::Shell | Mode::Sftp | Mode::Forward | Mode::Jump, Some(_)) => {
            invalid("command is given, but only mode exec runs one: use mode exec or leave it out.")
        }
        (Mode::Jump, None) => Err(Problem::new(
            Code::NotAvailable,
            "mode jump needs an enrolled bastion, which this version does not have: ask for another mode.",
        )),
        (Mode::Shell | Mode::Sftp | Mode::Forward, None) => Ok(None),
    }
}

fn duration(body: &AccessRequestBody, limits: &RequestLimits) -> Result<Option<Span>, Problem> {
    let Some(text) = &body.duration else { return Ok(None) };
    let too_long = || {
        Problem::new(
            Code::DurationTooLong,
            format!("duration is beyond the maximum of {}: ask for less.", limits.max_duration),
        )
    };
    match text.parse::<Span>() {
        Ok(span) if span > limits.max_duration => Err(too_long()),
        Ok(span) => Ok(Some(span)),
        Err(SpanError::Overflow) => Err(too_long()),
        Err(e @ (SpanError::Form | SpanError::Zero)) => {
            Err(Problem::new(Code::DurationInvalid, format!("duration {e}.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const LIMITS: RequestLimits =
        RequestLimits { max_duration: Span::from_seconds(8 * 3600), max_accounts: 3 };

    fn body() -> AccessRequestBody {
        AccessRequestBody {
            accounts: ["deploy@web-1".into()].into(),
            mode: Mode::Shell,
            modifiers: Vec::new(),
            command: None,
            duration: None,
            reason: String::new(),
            ticket: String::new(),
            key: String::new(),
            proof: String::new(),
        }
    }

    #[test]
    fn a_whole_request() {
        let body = AccessRequestBody {
            accounts: ["deploy@web-1".into(), "deploy@web-2".into()].into(),
            mode: Mode::Exec,
            modifiers: [Modifier::Forward, Modifier::Agent].into(),
            command: Some("uptime".into()),
            duration: Some("8h".into()),
            reason: "OPS-7 disk full".into(),
            ticket: "OPS-7".into(),
            ..body()
        };
        let request = AccessRequest::parse(&body, &LIMITS).unwrap();
        assert_eq!(request.duration(), Some(LIMITS.max_duration));
        assert_eq!(request.actions().collect::<Vec<_>>(), [Action::Exec, Action::Agent, Action::Forward]);
        assert_eq!(request.asked().accounts, request.accounts());
        assert_eq!(request.asked().modifiers, [Modifier::Agent, Modifier::Forward]);
    }

    #[test]
    fn accounts_that_are_refused() {
        for (accounts, code, word) in [
            (&[][..], Code::AccountInvalid, "empty"),
            (&["a@b", "c@d", "e@f", "g@h"], Code::AccountInvalid, "at most 3"),
            (&["deploy@web-1", "deploy@web-1"], Code::AccountInvalid, "twice"),
            (&["deploy"], Code::AccountInvalid, "LOGIN@HOST"),
            (&[""], Code::AccountInvalid, "LOGIN@HOST"),
            (&["@web-1"], Code::AccountInvalid, "empty"),
            (&["deploy@"], Code::AccountInvalid, "empty"),
            (&["Deploy@web-1"], Code::AccountInvalid, "'D'"),
            (&["deploy@web-1\n"], Code::AccountInvalid, "'\\n'"),
            (&["deploy@web-1,root@web-1"], Code::AccountInvalid, "','"),
            (&["deploy@*"], Code::AccountInvalid, "'*'"),
            (&["deploy@web 1"], Code::AccountInvalid, "' '"),
            (&["deploy\0@web-1"], Code::AccountInvalid, "'\\0'"),
            (&["deploy@\u{202e}web"], Code::AccountInvalid, "\\u{202e}"),
            (&["shell:deploy@web-1"], Code::AccountInvalid, "':'"),
            (&["deploy@group/web", "deploy@group/web"], Code::AccountInvalid, "twice"),
            (&["deploy@group/web/1"], Code::AccountInvalid, "'/'"),
            (&["deploy@group/"], Code::AccountInvalid, "empty"),
        ] {
            let body =
                AccessRequestBody { accounts: accounts.iter().map(ToString::to_string).collect(), ..body() };
            let problem = AccessRequest::parse(&body, &LIMITS).unwrap_err();
            assert_eq!(problem.code, code, "{accounts:?}");
            assert!(problem.detail.contains(word), "{accounts:?}: {}", problem.detail);
            assert!(
                problem.detail.starts_with("accounts") && !problem.detail.contains(['\n', '\0', '\u{202e}'])
            );
        }
        let long = AccessRequestBody { accounts: [format!("{}@h", "a".repeat(100_000))].into(), ..body() };
        let problem = AccessRequest::parse(&long, &LIMITS).unwrap_err();
        assert!(problem.detail.len() < 400, "an answer must not repeat whatever was sent");
    }

    #[test]
    fn durations_that_are_refused() {
        for (duration, code) in [
            ("", Code::DurationInvalid),
            ("0s", Code::DurationInvalid),
            ("0h", Code::DurationInvalid),
            ("-5m", Code::DurationInvalid),
            ("5", Code::DurationInvalid),
            ("5 m", Code::DurationInvalid),
            ("1.5h", Code::DurationInvalid),
            ("forever", Code::DurationInvalid),
            ("always", Code::DurationInvalid),
            ("8h1s", Code::DurationInvalid),
            ("28801s", Code::DurationTooLong),
            ("9h", Code::DurationTooLong),
            ("18446744073709551616s", Code::DurationTooLong),
            ("99999999999999999999d", Code::DurationTooLong),
        ] {
            let body = AccessRequestBody { duration: Some(duration.into()), ..body() };
            let problem = AccessRequest::parse(&body, &LIMITS).unwrap_err();
            assert_eq!(problem.code, code, "{duration:?}");
            assert!(problem.detail.starts_with("duration "), "{}", problem.detail);
        }
    }

    #[test]
    fn modes_modifiers_and_commands_that_are_refused() {
        let agent = &[Modifier::Agent][..];
        for (mode, modifiers, command, code) in [
            (Mode::Sftp, agent, None, Code::FieldInvalid),
            (Mode::Forward, agent, None, Code::FieldInvalid),
            (Mode::Jump, agent, None, Code::FieldInvalid),
            (Mode::Shell, &[Modifier::X11, Modifier::X11], None, Code::FieldInvalid),
            (Mode::Jump, &[], None, Code::NotAvailable),
            (Mode::Exec, &[], None, Code::CommandInvalid),
            (Mode::Exec, &[], Some(""), Code::CommandInvalid),
            (Mode::Exec, &[], Some("  "), Code::CommandInvalid),
            (Mode::Exec, &[], Some("ls\nid"), Code::CommandInvalid),
            (Mode::Exec, &[], Some("ls\0id"), Code::CommandInvalid),
            (Mode::Exec, &[], Some("ls \u{202e}"), Code::CommandInvalid),
            (Mode::Exec, &[], Some("internal-sftp"), Code::CommandInvalid),
            (Mode::Exec, &[], Some("internal-sftp -d /"), Code::CommandInvalid),
            (Mode::Shell, &[], Some("ls"), Code::CommandInvalid),
            (Mode::Shell, &[], Some(""), Code::CommandInvalid),
            (Mode::Sftp, &[], Some("ls"), Code::CommandInvalid),
            (Mode::Forward, &[], Some("ls"), Code::CommandInvalid),
            (Mode::Jump, &[], Some("ls"), Code::CommandInvalid),
        ] {
            let body = AccessRequestBody {
                mode,
                modifiers: modifiers.to_vec(),
                command: command.map(Into::into),
                ..body()
            };
            assert_eq!(AccessRequest::parse(&body, &LIMITS).unwrap_err().code, code, "{mode} {command:?}");
        }
        let long = AccessRequestBody { mode: Mode::Exec, command: Some("x".repeat(4097)), ..body() };
        assert_eq!(AccessRequest::parse(&long, &LIMITS).unwrap_err().code, Code::CommandInvalid);
    }

    #[test]
    fn texts_that_are_refused() {
        for bad in [" ", "\u{3000}\u{a0}", "a\nb", "a\u{1b}[31m", "\u{202e}x", "a\u{200b}", "a\0"] {
            for (body, field) in [
                (AccessRequestBody { reason: bad.into(), ..body() }, "reason "),
                (AccessRequestBody { ticket: bad.into(), ..body() }, "ticket "),
            ] {
                let problem = AccessRequest::parse(&body, &LIMITS).unwrap_err();
                assert_eq!(problem.code, Code::TextInvalid, "{bad:?}");
                assert!(problem.detail.starts_with(field), "{}", problem.detail);
            }
        }
        let long = AccessRequestBody { reason: "x".repeat(1001), ..body() };
        assert_eq!(AccessRequest::parse(&long, &LIMITS).unwrap_err().code, Code::TextInvalid);
    }
}
