//! `jit-ssh login [LOGIN@HOST | LOGIN@group/NAME]…`

use std::collections::BTreeSet;

use jit_ssh_proto::Account;
use serde_json::json;

use super::{connect, to_json, what};
use crate::access::{self, Wanted};
use crate::cli::LoginArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::held::{Held, named};
use crate::oidc::Freshness;
use crate::output::{escape, left, local_time, note, print_json};

pub(super) fn run(args: &LoginArgs) -> Result<()> {
    if args.accounts.is_empty() {
        let asks = &args.access;
        let stray = asks.duration.is_some()
            || asks.reason.is_some()
            || asks.ticket.is_some()
            || asks.command.is_some()
            || asks.mode.is_some()
            || !asks.with.is_empty();
        if stray {
            return Err(Error::Usage(
                "--for, --reason, --ticket, --command, --mode and --with are about an account: add LOGIN@HOST".into(),
            ));
        }
        return session_only(args);
    }
    let wanted = Wanted::new(&args.accounts, &args.access)?;
    let mut client = Client::load()?;
    let held = access::obtain(&mut client, &args.how, &wanted)?;
    if args.json {
        let session = client.session()?.map(|s| s.info);
        return print_json(&json!({ "session": session, "certificate": to_json(&held) }));
    }
    note(&granted(&client, &held));
    Ok(())
}

fn session_only(args: &LoginArgs) -> Result<()> {
    let mut client = Client::load()?;
    let (session, _) = access::log_in(&mut client, &args.how, Freshness::AsItIs, None)?;
    if args.json {
        return print_json(&json!({ "session": session.info, "certificate": null }));
    }
    note(&format!(
        "Logged in as {} ({}) until {} ({}).",
        escape(&session.info.name),
        escape(&session.info.issuer),
        local_time(session.info.expires),
        left(session.info.expires, client.now())
    ));
    Ok(())
}

fn granted(client: &Client, held: &Held) -> String {
    let place = if held.in_agent() { "in the ssh-agent" } else { "in a private file that is removed then" };
    let accounts = held.accounts();
    let mut said = format!(
        "Granted: {} on {} until {} ({}); the key is {place}.",
        what(held.purpose()),
        named(&held.purpose().accounts),
        local_time(held.valid_before()),
        left(held.valid_before(), client.now()),
    );
    if accounts.len() > 1 {
        said.push_str(&format!("\nGood for {} hosts: {}.", hosts(&accounts), named(&accounts)));
    }
    if let Some(first) = accounts.first() {
        said.push_str(&format!("\nConnect with: {}", connect(held.purpose(), first)));
    }
    said
}

fn hosts(accounts: &[Account]) -> usize {
    accounts.iter().map(|account| &account.place).collect::<BTreeSet<_>>().len()
}
