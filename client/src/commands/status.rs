//! `jit-ssh status`: what is known here, without a network.

use serde_json::json;

use super::{HEADINGS, row, to_json};
use crate::cli::JsonArgs;
use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::held;
use crate::output::{escape, facts, left, local_time, print, print_json, table};
use crate::paths::Paths;
use crate::session::Session;

pub(super) fn run(args: &JsonArgs) -> Result<()> {
    let paths = Paths::from_env()?;
    let now = clock::now();
    let config = Config::load(&paths)?;
    let session = match &config {
        Some(config) => Session::load(&paths, &config.pin.ca_id, now)?,
        None => None,
    };
    let held = held::list(&paths, now)?;
    if args.json {
        return print_json(&json!({
            "ca": config.as_ref().map(|c| json!({
                "url": c.pin.url, "ca_id": c.pin.ca_id, "trust_key": c.pin.trust_key,
            })),
            "session": session.as_ref().map(|s| &s.info),
            "certificates": held.iter().map(to_json).collect::<Vec<_>>(),
        }));
    }
    let log_in = if config.is_some() { "none: run jit-ssh login" } else { "none" };
    let ca = config.map_or_else(
        || "none is set up: run jit-ssh setup URL".to_owned(),
        |c| format!("{} ({})", c.pin.url, c.pin.trust_key),
    );
    let session = session.map_or_else(
        || log_in.to_owned(),
        |s| {
            let until = s.info.expires;
            format!(
                "{} ({}), until {} ({})",
                escape(&s.info.name),
                escape(&s.info.issuer),
                local_time(until),
                left(until, now)
            )
        },
    );
    print(&facts(&[("CA", ca), ("Session", session)]))?;
    if held.is_empty() {
        return print("No certificates are held.\n");
    }
    print("\n")?;
    print(&table(&HEADINGS, &held.iter().map(row).collect::<Vec<_>>()))
}
