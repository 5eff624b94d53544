//! From what was asked for to a session and a certificate at hand, in as few round trips and browser windows as it
//! takes.

use std::collections::BTreeSet;

use jit_ssh_proto::event::Asked;
use jit_ssh_proto::wire::{AccessRequestBody, Issued, OpenSession};
use jit_ssh_proto::{
    Account, CaId, Code, Command, Flow, GrantId, Mode, Modifiers, Namespace, Span, Text, UserKey,
    possession_message,
};
use ssh_key::PrivateKey;

use crate::agent::Agent;
use crate::ca::{CallId, from_ca};
use crate::certificate::{self, Expected};
use crate::cli::{AccessArgs, HowArgs};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::held::{self, Held, Incoming, Purpose};
use crate::keys;
use crate::ledger;
use crate::oidc::{Freshness, How};
use crate::output::{Waiting, note};
use crate::presented;
use crate::prove;
use crate::session::Session;
use crate::sweeper;

/// What is asked for, checked as far as it can be here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    accounts: Vec<Account>,
    mode: Mode,
    modifiers: Modifiers,
    command: Option<Command>,
    duration: Option<Span>,
    reason: Text,
    ticket: Text,
}

impl Wanted {
    /// From the command line.
    pub(crate) fn new(accounts: &[Account], args: &AccessArgs) -> Result<Self> {
        let usage = |what: &str| Err(Error::Usage(what.to_owned()));
        let mut seen = BTreeSet::new();
        if let Some(twice) = accounts.iter().find(|account| !seen.insert(*account)) {
            return usage(&format!("{twice} is there twice: name it once"));
        }
        let mode = args.mode.unwrap_or(if args.command.is_some() { Mode::Exec } else { Mode::Shell });
        match (mode, &args.command) {
            (Mode::Exec, None) => return usage("mode exec is for one exact command: give it with --command"),
            (Mode::Shell | Mode::Sftp | Mode::Forward | Mode::Jump, Some(_)) => {
                return usage("--command goes with mode exec only: leave out --mode or --command");
            }
            (Mode::Exec, Some(_)) | (Mode::Shell | Mode::Sftp | Mode::Forward | Mode::Jump, None) => {}
        }
        let modifiers: Modifiers = args.with.iter().copied().collect();
        if !modifiers.is_empty() && !mode.takes_modifiers() {
            return usage("--with goes with modes shell and exec only: leave it out");
        }
        Ok(Self {
            accounts: accounts.to_vec(),
            mode,
            modifiers,
            command: args.command.clone(),
            duration: args.duration,
            reason: args.reason.clone().unwrap_or_default(),
            ticket: args.ticket.clone().unwrap_or_default(),
        })
    }

    /// The accounts, as they are named in a sentence.
    fn named(&self) -> String {
        held::named(&self.accounts)
    }

    /// The mode.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The modifiers.
    pub(crate) fn modifiers(&self) -> Modifiers {
        self.modifiers
    }

    /// The command of `exec`.
    pub(crate) fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// The request as the ledger and advice have it.
    pub(crate) fn asked(&self) -> Asked {
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

    /// What a certificate for it is recorded under.
    pub(crate) fn purpose(&self, ca_id: CaId) -> Purpose {
        Purpose {
            ca_id,
            accounts: self.accounts.clone(),
            mode: self.mode,
            modifiers: self.modifiers.iter().collect(),
            command: self.command.clone(),
        }
    }
}

/// One request with its fresh key and the proof that we hold it.
struct Ask<'a> {
    wanted: &'a Wanted,
    key: PrivateKey,
    body: AccessRequestBody,
}

impl<'a> Ask<'a> {
    fn new(wanted: &'a Wanted, ca_id: &CaId, session_key: &UserKey, call: CallId) -> Result<Self> {
        let key = keys::fresh();
        let public = keys::public(&key)?;
        let message = possession_message(ca_id, session_key, &call.text(), &public);
        let proof = jit_ssh_proto::sign(&key, Namespace::Possession, &message)
            .map_err(|e| Error::Local(format!("the certificate's key {e}: run the command again")))?;
        let body = AccessRequestBody {
            accounts: wanted.accounts.iter().map(ToString::to_string).collect(),
            mode: wanted.mode,
            modifiers: wanted.modifiers.iter().collect(),
            command: wanted.command.as_ref().map(ToString::to_string),
            duration: wanted.duration.map(|d| d.to_string()),
            reason: wanted.reason.to_string(),
            ticket: wanted.ticket.to_string(),
            key: public.to_string(),
            proof: data_encoding::BASE64URL_NOPAD.encode(&proof),
        };
        Ok(Self { wanted, key, body })
    }

    /// Checks what came back and takes it in.
    fn keep(&self, client: &mut Client, issued: &Issued) -> Result<Held> {
        let odd = |what: &str| {
            Error::Untrusted(format!(
                "the certificate that the CA sent {what}; it was thrown away: tell the CA's operator"
            ))
        };
        let certificate = certificate::parse(&issued.certificate).map_err(|e| odd(&e))?;
        if certificate::authority(&certificate, &client.config.bundle).is_none() {
            // The authorities may have been rotated since the bundle was fetched.
            client.refresh_bundle()?;
        }
        let expected = Expected {
            key: self.key.public_key(),
            accounts: &self.wanted.accounts,
            members: &issued.members,
            mode: self.wanted.mode,
            modifiers: self.wanted.modifiers,
            command: self.wanted.command.as_ref(),
            duration: self.wanted.duration,
        };
        let now = client.now();
        certificate::check(&certificate, &expected, &client.config.bundle, now).map_err(|e| odd(&e))?;
        if certificate.serial() != issued.serial
            || certificate.valid_before() != issued.valid_before.seconds()
        {
            return Err(odd("is not the one that its answer describes"));
        }
        ledger::accept(client, issued, &certificate)?;
        let grant: GrantId = issued.grant.parse().map_err(|_| odd("comes with a grant id that is none"))?;
        let purpose = self.wanted.purpose(client.config.pin.ca_id);
        let before: Vec<Held> = held::list(&client.paths, now)?;
        let incoming = Incoming {
            purpose,
            grant: grant.to_string(),
            addresses: issued.addresses.clone(),
            members: issued.members.clone(),
            certificate,
            key: &self.key,
        };
        let (held, agent_said) = held::store(&client.paths, Agent::from_env().as_ref(), incoming, now)?;
        if let Some(why) = agent_said {
            note(&format!(
                "The ssh-agent did not take the key ({why}); it is kept in a private file instead."
            ));
        }
        // What this one replaces would only be offered to servers in vain.
        for old in before.iter().filter(|old| old.purpose() == held.purpose()) {
            if let Err(e) = old.remove() {
                note(&format!("An older certificate could not be removed: {e}"));
            }
        }
        if !held.in_agent() {
            sweeper::start(&client.paths)?;
        }
        Ok(held)
    }
}

/// Opens a session, and asks for access in the same round trip. A refusal of the request leaves the session open.
pub(crate) fn log_in(
    client: &mut Client,
    how: &HowArgs,
    freshness: Freshness,
    wanted: Option<&Wanted>,
) -> Result<(Session, Option<Result<Held>>)> {
    // 1. Today's authorities and issuers.
    client.refresh_bundle()?;
    let ca_id = client.config.pin.ca_id;
    // 2. A token and the session key that goes with it.
    let proven = prove::identity(client, how, freshness)?;
    // 3. Session and, if asked, certificate.
    let call = CallId::fresh();
    let ask = wanted.map(|wanted| Ask::new(wanted, &ca_id, &proven.public, call)).transpose()?;
    let body = OpenSession {
        id_token: proven.token.as_str().to_owned(),
        session_key: proven.public.to_string(),
        salt: proven.salt.to_string(),
        flow: proven.flow,
        request: ask.as_ref().map(|ask| ask.body.clone()),
        refresh_token: proven.refresh.as_ref().map(|token| token.to_string()),
    };
    let opened = {
        let _waiting = Waiting::for_("opening the session");
        client.ca().open_session(&ca_id, &proven.key, call, &body)
    };
    let opened = opened.inspect_err(|e| {
        if proven.flow == Flow::Token && e.wants_login() {
            note("A workload logs in again with another token: let its platform give a new one.");
        }
    });
    let opened = opened.map_err(|e| {
        if let Error::Ca(problem) = &e
            && problem.code == Code::TokenUsed
            && presented::ended(&client.paths, &ca_id, &proven.token)
        {
            return Error::NotLoggedIn(
                "jit-ssh logout has ended the session of this token, and a token opens one session (token_used): have the \
                 platform give a new one, and log out at the end of the job only"
                    .into(),
            );
        }
        e
    })?;
    let session = Session::new(ca_id, opened.session, opened.token, proven.key)?;
    let before = Session::load_any(&client.paths)?;
    session.save(&client.paths)?;
    if let Some(old) =
        before.filter(|old| old.ca_id == ca_id && old.id != session.id && old.info.expires > client.now())
    {
        // Two sessions are one too many; that it could not be ended is no reason to fail, as it ends by itself.
        let _ = client.ca().end_session(&old);
    }
    let held = ask.map(|ask| match (opened.issued, opened.refused) {
        (Some(issued), None) => ask.keep(client, &issued),
        (None, Some(problem)) => Err(from_ca(problem, None, client.now())),
        (Some(_), Some(_)) | (None, None) => Err(Error::Untrusted(
            "the CA did not say whether access was granted: check that client and CA are of versions that fit".into(),
        )),
    });
    Ok((session, held))
}

/// Gets a certificate: by the session if one is open, else by logging in. A session that the CA no longer takes is
/// replaced once, and where only a fresh login is missing, there is one: once.
pub(crate) fn obtain(client: &mut Client, how: &HowArgs, wanted: &Wanted) -> Result<Held> {
    // A session of somebody else than is asked for is left alone: the login below replaces it.
    let session = client.session()?.filter(|session| prove::would_open(client, how, session));
    let answer = match session {
        Some(session) => match request(client, &session, wanted) {
            Err(e) if e.wants_login() => {
                note(&format!("{e}: logging in anew."));
                Session::forget(&client.paths)?;
                log_in_for(client, how, Freshness::AsItIs, wanted)
            }
            answer => answer,
        },
        None => log_in_for(client, how, Freshness::AsItIs, wanted),
    };
    match (answer, prove::how(how)) {
        (Err(denied), How::Person(_)) if denied.wants_fresh_login() => {
            note("Your login is not fresh enough for this: logging in again, once.");
            log_in_for(client, how, Freshness::Anew, wanted)
        }
        (answer, _) => answer,
    }
}

fn log_in_for(client: &mut Client, how: &HowArgs, freshness: Freshness, wanted: &Wanted) -> Result<Held> {
    let (_, held) = log_in(client, how, freshness, Some(wanted))?;
    held.unwrap_or_else(|| {
        Err(Error::Untrusted("the CA did not answer the request: run the command again".into()))
    })
}

fn request(client: &mut Client, session: &Session, wanted: &Wanted) -> Result<Held> {
    let call = CallId::fresh();
    let ask = Ask::new(wanted, &session.ca_id, &keys::public(&session.key)?, call)?;
    let issued = {
        let _waiting = Waiting::for_(format!("asking for {}", wanted.named()));
        client.ca().request(session, call, &ask.body)?
    };
    ask.keep(client, &issued)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn wanted(args: &[&str]) -> Result<Wanted> {
        let cli = crate::cli::Cli::try_parse_from([&["jit-ssh", "ssh"], args].concat())
            .map_err(|e| Error::Usage(e.to_string()))?;
        let crate::cli::Command::Ssh(args) = cli.command else { panic!("another command") };
        Wanted::new(std::slice::from_ref(&args.account), &args.access)
    }

    #[test]
    fn what_cannot_be_asked_for() {
        for bad in [
            &["deploy"][..],
            &["Deploy@web-1"],
            &["deploy@web 1"],
            &["deploy@web-1", "--mode", "exec"],
            &["deploy@web-1", "--mode", "root"],
            &["deploy@web-1", "--mode", "shell", "--command", "id"],
            &["deploy@web-1", "--mode", "sftp", "--with", "agent"],
            &["deploy@web-1", "--with", "everything"],
            &["deploy@web-1", "--for", "0m"],
            &["deploy@web-1", "--for", "-5m"],
            &["deploy@web-1", "--for", "30"],
            &["deploy@web-1", "--for", "99999999999999999999d"],
            &["deploy@web-1", "--command", "id\nid"],
            &["deploy@web-1", "--command", ""],
            &["deploy@web-1", "--reason", "a\u{202e}b"],
            &["deploy@web-1", "--ticket", "\u{1b}[0m"],
        ] {
            assert_eq!(wanted(bad).unwrap_err().exit().code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn a_command_means_exec() {
        let exec = wanted(&["deploy@web-1", "--command", "uptime"]).unwrap();
        assert_eq!((exec.mode, exec.command.unwrap().as_str()), (Mode::Exec, "uptime"));
        let shell = wanted(&["deploy@web-1", "--with", "x11,agent"]).unwrap();
        assert_eq!(shell.mode, Mode::Shell);
        assert_eq!(shell.modifiers.iter().map(|m| m.as_str()).collect::<Vec<_>>(), ["agent", "x11"]);
    }
}
