//! A request for access: raw fields in, a value that can only be valid out.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use jit_ssh_proto::event::Asked;
use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{Account, Action, Code, Command, Mode, Modifiers, Place, Problem, Span, SpanError, Text};

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
        })
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
        let account: Account = text
            .parse()
            .map_err(|e| Problem::new(Code::AccountInvalid, format!("accounts: {text:?} {e}.")))?;
        if matches!(account.place, Place::Group(_)) {
            return Err(Problem::new(
                Code::NotAvailable,
                "accounts names a group of hosts, which this version does not take: name each host as LOGIN@HOST.",
            ));
        }
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
            Err(Problem::new(Code::DurationInvalid, format!("duration {}.", e.to_string())))
        }
    }
}
