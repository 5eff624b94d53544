//! `jit-ssh-ca policy explain`: one question to files, as somebody would ask it of the CA.

use anyhow::anyhow;
use jit_ssh_proto::Modifier;
use jit_ssh_proto::event::Asked;
use jit_ssh_proto::explanation::Explanation;
use serde_json::json;

use super::super::{Answered, print};
use super::ask::Question;
use super::case::{Answer, Case, Defaults, Who};
use super::files::{self, Where};
use super::person::Person;
use super::test::{Cases, person};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    at: Where,
    /// What is asked for: LOGIN@HOST. Give it several times to ask for all at once
    #[arg(long, value_name = "LOGIN@HOST")]
    account: Vec<String>,
    /// Who asks: an [identity.NAME] of the cases beside the policies
    #[arg(long, value_name = "NAME", required_unless_present = "name")]
    who: Option<String>,
    /// Or somebody of this name
    #[arg(long, value_name = "LOGIN")]
    name: Option<String>,
    /// Of this issuer
    #[arg(long, value_name = "ALIAS")]
    issuer: Option<String>,
    /// In this group. Give it several times for more
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// shell, exec, sftp, forward or jump; or a verb of the CA, as in audit
    #[arg(long, default_value = "shell")]
    action: String,
    /// What to add to shell or exec: agent, forward, x11
    #[arg(long, value_name = "MODIFIER")]
    with: Vec<Modifier>,
    /// The command, for exec
    #[arg(long)]
    command: Option<String>,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// The ticket
    #[arg(long)]
    ticket: Option<String>,
    /// How long, as in 30m
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<String>,
    /// When, in the CA's zone or with an offset: 2026-11-22T09:30
    #[arg(long = "at", value_name = "TIME", default_value = super::ask::NOON)]
    time: String,
    /// To start this long from then, as in 2h
    #[arg(long, value_name = "DURATION")]
    starts_in: Option<String>,
    /// From where
    #[arg(long, value_name = "ADDRESS")]
    source: Option<String>,
    /// With a key of which type, as in sk-ssh-ed25519@openssh.com
    #[arg(long, value_name = "TYPE")]
    key: Option<String>,
    /// How long ago they logged in, as in 5m
    #[arg(long, value_name = "DURATION")]
    auth_age: Option<String>,
    /// Under break-glass
    #[arg(long)]
    break_glass: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let files = args.at.files();
    let set = files::read(&files)?;
    let mut known = std::collections::BTreeMap::new();
    for cases in Cases::all(&files)? {
        known.extend(cases.file.identity);
    }
    let who = match &args.who {
        Some(name) => Who::Named(name.clone()),
        None => Who::Person(Box::default()),
    };
    let change = Person {
        name: args.name.clone(),
        issuer: args.issuer.clone(),
        groups: (!args.groups.is_empty()).then(|| args.groups.clone()),
        auth_age: args.auth_age.clone(),
        ..Person::default()
    };
    let asker = person(&who, &known).map_err(|what| anyhow!(what))?.changed_by(change);
    let case = case(args, who);
    let identity = |now| asker.identity(&set.excerpt, now).map_err(|what| format!("who asks {what}"));
    let question = Question::of(&case, &Defaults::default(), identity, &set).map_err(|what| anyhow!(what))?;
    let outcome = question.put(&set);
    let explained = question.explain(&set);
    if args.json {
        let mut value = outcome.as_json();
        if let (Some((explanation, _)), Some(object)) = (&explained, value.as_object_mut()) {
            object.insert("explanation".to_owned(), json!(explanation));
        }
        if let Some(object) = value.as_object_mut() {
            object.insert("unknown".to_owned(), json!(question.unknown(&set)));
        }
        print(&value.to_string())?;
        return answered(outcome.answer);
    }
    print(&outcome.to_string())?;
    if outcome.answer != Answer::Allow {
        print(&format!("they read: {}", outcome.message))?;
    }
    question.unknown(&set).iter().try_for_each(|line| print(line))?;
    if let Some((explanation, asked)) = &explained {
        in_words(explanation, asked).iter().try_for_each(|line| print(line))?;
    }
    answered(outcome.answer)
}

/// The exit code says it too, as that of `jit-ssh explain` does.
fn answered(answer: Answer) -> anyhow::Result<()> {
    match answer {
        Answer::Allow => Ok(()),
        Answer::Deny => Err(Answered(3).into()),
        Answer::Approval => Err(Answered(4).into()),
    }
}

/// By which policy each pair is given, or else what would do.
fn in_words(explanation: &Explanation, asked: &Asked) -> Vec<String> {
    let mut lines = Vec::new();
    for pair in &explanation.pairs {
        lines.push(format!("  {} on {} by {}", pair.action, pair.account, pair.policy));
    }
    for near in &explanation.advice {
        let least = if near.terms.approvals.is_empty() { "allowed" } else { "possible" };
        let command = near.command(asked).map(|command| format!(": {command}")).unwrap_or_default();
        lines.push(format!("  {least} for {} {near}{command}", near.terms.duration));
    }
    lines
}

fn case(args: &Args, who: Who) -> Case {
    Case {
        accounts: args.account.clone(),
        action: Some(args.action.clone()),
        with: args.with.clone(),
        command: args.command.clone(),
        reason: args.reason.clone(),
        ticket: args.ticket.clone(),
        duration: args.duration.clone(),
        at: Some(args.time.clone()),
        source: args.source.clone(),
        key: args.key.clone(),
        break_glass: args.break_glass,
        starts_in: args.starts_in.clone(),
        ..Case::of(who)
    }
}
