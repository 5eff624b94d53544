//! `jit-ssh logout`: ends the session at the CA and removes what it left here. What is here goes first and in any
//! case; a CA that cannot be told is a failure all the same.

use crate::client::Client;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::held;
use crate::output::{Waiting, note};
use crate::paths::Paths;
use crate::presented;
use crate::session::Session;

pub(super) fn run() -> Result<()> {
    let paths = Paths::from_env()?;
    let now = clock::now();
    let session = Session::load_any(&paths)?;
    let mut failed: Option<Error> = None;
    let held = held::list(&paths, now)?;
    let mut removed = 0_usize;
    for certificate in &held {
        match certificate.remove() {
            Ok(()) => removed = removed.saturating_add(1),
            Err(e) => failed = Some(e),
        }
    }
    Session::forget(&paths)?;
    presented::forget(&paths, None)?;
    let certificates = match removed {
        0 => "no certificates were held".to_owned(),
        1 => "one certificate removed".to_owned(),
        n => format!("{n} certificates removed"),
    };
    if let Some(session) = session.filter(|s| s.info.expires > now)
        && Config::load(&paths)?.is_some_and(|config| config.pin.ca_id == session.ca_id)
    {
        let client = Client::load()?;
        let ended = {
            let _waiting = Waiting::for_("ending the session");
            client.ca().end_session(&session)
        };
        match ended {
            Ok(()) => {}
            // It is over already: that is what was asked for.
            Err(e) if e.wants_login() => {}
            Err(e) => {
                note(&format!(
                    "Logged out here; {certificates}. The CA could not be told, so the session ends by itself."
                ));
                return Err(e);
            }
        }
        note(&format!("Logged out; {certificates}."));
    } else {
        note(&format!("You were not logged in; {certificates}."));
    }
    failed.map_or(Ok(()), Err)
}
