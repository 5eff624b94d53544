//! What the operator changes about identities. A command is run where the database can be written: by the server that
//! serves the data directory, over its control socket ([`crate::control`]), or by the command line itself where none does.

use jit_ssh_proto::event::Actor;
use jit_ssh_proto::{Code, Name, SessionId, Text, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::{
    BindIssuer, Change, DisableIdentity, EnableIdentity, Outcome, Refusal, ReleaseLogin, Store, Whose,
};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// An identity may not log in any more; its sessions end.
    Disable {
        /// Who.
        who: Who,
        /// Why.
        reason: Text,
    },
    /// It may again.
    Enable {
        /// Who.
        who: Who,
    },
    /// A login or name is nobody's; the sessions of whoever had it end.
    Release {
        /// The login or name.
        login: Name,
    },
    /// An issuer's name stands for this URL; the sessions of everybody who came by another end.
    MoveIssuer {
        /// The name.
        issuer: Name,
        /// The issuer identifier.
        url: String,
    },
}

/// An identity as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// The issuer's alias.
    pub issuer: Name,
    /// Its login or name here, or its subject.
    pub is: String,
    /// Whether it is the subject.
    pub subject: bool,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// In a sentence.
    pub said: String,
    /// The sessions that ended with it.
    pub ended: Vec<SessionId>,
}

/// Runs a command.
///
/// # Errors
/// Why not, and what to do, in one sentence.
pub async fn run(store: &Store, now: Timestamp, command: Command) -> Result<Done, String> {
    let actor = Actor::Operator;
    match command {
        Command::Disable { who, reason } => {
            if reason.is_empty() {
                return Err("--reason is empty: say why the identity is disabled".to_owned());
            }
            let (name, sub) = find(store, &who).await?;
            let shown = shown(&who);
            let disable = DisableIdentity { actor, issuer: who.issuer, sub, name, reason };
            match apply(store, now, Change::DisableIdentity(disable)).await? {
                Ok(outcome) => Ok(done(format!("{shown} is disabled"), outcome)),
                Err(Code::IdentityDisabled) => Err(format!("{shown} is disabled already")),
                Err(code) => Err(refused(code)),
            }
        }
        Command::Enable { who } => {
            let (name, sub) = find(store, &who).await?;
            let shown = shown(&who);
            let enable = EnableIdentity { actor, issuer: who.issuer, sub, name };
            match apply(store, now, Change::EnableIdentity(enable)).await? {
                Ok(outcome) => Ok(done(format!("{shown} may log in again"), outcome)),
                Err(Code::NotFound) => Err(format!("{shown} is not disabled")),
                Err(code) => Err(refused(code)),
            }
        }
        Command::Release { login } => {
            let release = ReleaseLogin { actor, login: login.clone() };
            match apply(store, now, Change::ReleaseLogin(release)).await? {
                Ok(outcome) => {
                    Ok(done(format!("{login} is nobody's: whoever logs in with it first has it"), outcome))
                }
                Err(Code::NotFound) => {
                    Err(format!("{login} is nobody's: `jit-ssh-ca identity list` shows all names"))
                }
                Err(code) => Err(refused(code)),
            }
        }
        Command::MoveIssuer { issuer, url } => {
            let bind = BindIssuer { actor, issuer: issuer.clone(), url: url.clone(), moves: true };
            match apply(store, now, Change::BindIssuer(bind)).await? {
                Ok(outcome) => Ok(done(format!("{issuer} stands for {url}"), outcome)),
                Err(code) => Err(refused(code)),
            }
        }
    }
}

/// Whose sessions a command may end; none if it ends no session, or is of nobody.
pub(crate) async fn whose(store: &Store, command: &Command) -> Option<Whose> {
    match command {
        Command::Disable { who, .. } => {
            let (_, sub) = find(store, who).await.ok()?;
            Some(Whose::Identity(who.issuer.clone(), sub))
        }
        Command::Release { login } => {
            let (issuer, sub) = store.identity_named(login).await.ok().flatten()?;
            Some(Whose::Identity(issuer.parse().ok()?, sub))
        }
        Command::MoveIssuer { issuer, .. } => Some(Whose::Issuer(issuer.clone())),
        Command::Enable { .. } => None,
    }
}

/// The name and subject of an identity.
async fn find(store: &Store, who: &Who) -> Result<(Option<Name>, String), String> {
    if who.subject {
        return Ok((None, who.is.clone()));
    }
    let shown = shown(who);
    let unknown = || {
        format!(
            "nobody has logged in as {shown}: `jit-ssh-ca identity list` shows all names; with --subject, write \
             ISSUER/SUBJECT of somebody who never did"
        )
    };
    let name: Name = who.is.parse().map_err(|_| unknown())?;
    match store.identity_named(&name).await.map_err(|e| e.to_string())? {
        Some((issuer, sub)) if issuer == who.issuer.as_str() => Ok((Some(name), sub)),
        Some((issuer, _)) => Err(format!("{name} is a name at {issuer}: write {issuer}/{name}")),
        None => Err(unknown()),
    }
}

fn shown(who: &Who) -> String {
    format!("{}/{}", who.issuer, who.is.escape_debug())
}

async fn apply(store: &Store, now: Timestamp, change: Change) -> Result<Result<Outcome, Code>, String> {
    let outcome = store.apply(now, vec![change]).await.map_err(|e| e.to_string())?.pop();
    match outcome {
        Some(Ok(outcome)) => Ok(Ok(outcome)),
        Some(Err(Refusal::Precondition(code))) => Ok(Err(code)),
        Some(Err(refusal @ (Refusal::Prepare(_) | Refusal::NotErasable(_)))) => Err(refusal.to_string()),
        None => Err("the store answered fewer outcomes than changes".to_owned()),
    }
}

fn done(said: String, outcome: Outcome) -> Done {
    let said = match outcome.ended.len() {
        0 => format!("{said} (event {})", outcome.leaf),
        1 => format!("{said}, and the live session ended (event {})", outcome.leaf),
        ended => format!("{said}, and {ended} live sessions ended (event {})", outcome.leaf),
    };
    Done { said, ended: outcome.ended }
}

fn refused(code: Code) -> String {
    format!("the store refuses it: {code}")
}
