//! `jit-ssh login [LOGIN@HOST]`

use serde_json::json;

use super::{connect, to_json, what};
use crate::access::{self, Wanted};
use crate::cli::LoginArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::held::Held;
use crate::oidc::Freshness;
use crate::output::{escape, left, local_time, note, print_json};

pub(super) fn run(args: &LoginArgs) -> Result<()> {
    let Some(account) = &args.account else {
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
    };
    let wanted = Wanted::new(account, &args.access)?;
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
    format!(
        "Granted: {} on {} until {} ({}); the key is {place}.\nConnect with: {}",
        what(held.purpose()),
        held.purpose().account,
        local_time(held.valid_before()),
        left(held.valid_before(), client.now()),
        connect(held.purpose())
    )
}
