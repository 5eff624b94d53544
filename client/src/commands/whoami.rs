//! `jit-ssh whoami`: the session, as the CA sees it now.

use serde_json::json;

use crate::cli::JsonArgs;
use crate::client::Client;
use crate::error::Result;
use crate::output::{Waiting, escape, facts, left, local_time, print, print_json};

pub(super) fn run(args: &JsonArgs) -> Result<()> {
    let client = Client::load()?;
    let session = client.require_session()?;
    let info = {
        let _waiting = Waiting::for_("asking the CA");
        client.ca().current_session(&session)?
    };
    if args.json {
        return print_json(&json!(info));
    }
    let groups = info.groups.iter().map(|g| escape(g)).collect::<Vec<_>>().join(", ");
    let tags = info.tags.iter().map(|(tag, value)| format!("{}={}", escape(tag), escape(value)));
    let tags = tags.collect::<Vec<_>>().join(", ");
    let none = || "none".to_owned();
    print(&facts(&[
        ("Name", escape(&info.name)),
        ("Issuer", escape(&info.issuer)),
        ("Subject", escape(&info.subject)),
        ("Login", info.login.as_deref().map_or_else(none, escape)),
        ("E-mail", info.email.as_deref().map_or_else(none, escape)),
        ("Groups", if groups.is_empty() { none() } else { groups }),
        ("Tags", if tags.is_empty() { none() } else { tags }),
        ("Logged in", format!("{} by {}", local_time(info.opened), info.flow)),
        ("Session", escape(&info.id)),
        ("Until", format!("{} ({})", local_time(info.expires), left(info.expires, client.now()))),
    ]))
}
