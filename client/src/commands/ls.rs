//! `jit-ssh ls [PATTERN]`: the accounts that policy lets one reach now, and what each takes.

use jit_ssh_proto::explanation::{Advice, NOT_YET, Terms};
use jit_ssh_proto::wire::{ReachableAccount, ReachableMode};
use jit_ssh_proto::{Account, Code};
use serde_json::json;

use crate::cli::LsArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::output::{Waiting, escape, note, print, print_json, table};

/// How many pages are asked for. One may be empty and have more after it, but not for ever.
const PAGES: usize = 100_000;

pub(super) fn run(args: &LsArgs) -> Result<()> {
    let pattern = Pattern::parse(args.pattern.as_deref().unwrap_or_default())?;
    let client = Client::load()?;
    let session = client.require_session()?;
    let mut accounts: Vec<ReachableAccount> = Vec::new();
    let mut cursor: Option<String> = None;
    {
        let waiting = Waiting::for_("asking the CA");
        for _ in 0..PAGES {
            let mut query = vec![("host", pattern.beginning().to_owned())];
            query.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
            let page = client.ca().accounts(&session, &query)?;
            accounts.extend(page.items.into_iter().filter(|found| pattern.fits(&found.account)));
            waiting.say(format!("asking the CA: {} accounts so far", accounts.len()));
            if page.next.is_some() && page.next == cursor {
                return Err(Error::Untrusted(
                    "the CA gives the same page again and again: tell its operator".into(),
                ));
            }
            cursor = page.next;
            if cursor.is_none() || accounts.len() > args.limit {
                break;
            }
        }
    }
    let more = cursor.is_some() || accounts.len() > args.limit;
    accounts.truncate(args.limit);
    if more {
        note(&format!(
            "These are the first {}: narrow them with a PATTERN or raise --limit.",
            accounts.len()
        ));
    }
    if args.json {
        return print_json(&json!({ "accounts": accounts, "more": more }));
    }
    if accounts.is_empty() {
        note("No account that policy lets you reach now: jit-ssh explain LOGIN@HOST says why not.");
        return Ok(());
    }
    print(&table(
        &["ACCOUNT", "MODES", "AT MOST", "NEEDS"],
        &accounts.iter().flat_map(rows).collect::<Vec<_>>(),
    ))
}

/// A row for each set of modes that are to be had on the same terms.
fn rows(account: &ReachableAccount) -> Vec<Vec<String>> {
    let mut rows: Vec<(Vec<String>, &ReachableMode)> = Vec::new();
    for mode in &account.modes {
        let alike = rows.iter_mut().find(|(_, other)| terms(other) == terms(mode));
        match alike {
            Some((modes, _)) => modes.push(name(mode)),
            None => rows.push((vec![name(mode)], mode)),
        }
    }
    let row = |(modes, first): (Vec<String>, &ReachableMode)| {
        vec![
            escape(&account.account),
            escape(&modes.join(", ")),
            first.terms.duration.to_string(),
            escape(&needs(first)),
        ]
    };
    rows.into_iter().map(row).collect()
}

fn terms(mode: &ReachableMode) -> (&Terms, &[Advice], Option<Code>) {
    (&mode.terms, &mode.needs, mode.refused)
}

/// `shell+agent`, `exec "df -h"`: the command is one of those that would do.
fn name(mode: &ReachableMode) -> String {
    let mut name = mode.mode.to_string();
    for modifier in &mode.modifiers {
        name.push('+');
        name.push_str(modifier.as_str());
    }
    if let Some(command) = &mode.command {
        name.push_str(&format!(" {command:?}"));
    }
    name
}

fn needs(mode: &ReachableMode) -> String {
    let own = mode.needs.iter().map(|advice| match advice {
        Advice::GiveReason => "a reason".to_owned(),
        Advice::GiveTicket => "a ticket".to_owned(),
        Advice::LoginAgain => "a fresh login".to_owned(),
        Advice::UseFidoKey => "a FIDO key".to_owned(),
        Advice::ForAtMost { .. }
        | Advice::Between(_)
        | Advice::BreakGlass
        | Advice::AsLogin { .. }
        | Advice::InMode { .. }
        | Advice::Without { .. }
        | Advice::WithApproval(_)
        | Advice::Unknown => advice.to_string(),
    });
    let terms = &mode.terms;
    let others = terms.approvals.iter().map(ToString::to_string);
    let pinned = terms.pin_source.then(|| "this address".to_owned());
    let verified = terms.verify.then(|| "its PIN at each use".to_owned());
    let needs = own.chain(others).chain(pinned).chain(verified).collect::<Vec<_>>().join(", ");
    // What is refused all the same is not to be taken for something that one has.
    let refused = mode.refused.map(|code| {
        if code == Code::ApprovalRequired {
            format!("({NOT_YET})")
        } else if code == Code::NotAvailable {
            "(not available yet: ask the CA's operator)".to_owned()
        } else {
            format!("(refused for now: {code})")
        }
    });
    [needs].into_iter().filter(|needs| !needs.is_empty()).chain(refused).collect::<Vec<_>>().join(" ")
}

/// What is looked for.
#[derive(Debug, PartialEq, Eq)]
struct Pattern<'a> {
    login: Option<&'a str>,
    /// Without `*`, a beginning.
    host: &'a str,
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let (login, host) = match text.split_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, text),
        };
        let of_names = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-' | '*');
        if !host.chars().chain(login.unwrap_or_default().chars()).all(of_names) {
            return Err(Error::Usage(format!(
                "{text:?} is not a pattern: write part of [LOGIN@]HOST in lower case, with * for anything"
            )));
        }
        Ok(Self { login, host })
    }

    /// What every host that fits begins with.
    fn beginning(&self) -> &'a str {
        self.host.split('*').next().unwrap_or_default()
    }

    fn fits(&self, account: &str) -> bool {
        let Ok(account) = account.parse::<Account>() else { return false };
        let host = account.place.to_string();
        let login = self.login.is_none_or(|login| matches(login, account.login.as_str()));
        login && if self.host.contains('*') { matches(self.host, &host) } else { host.starts_with(self.host) }
    }
}

/// Whether a text is a pattern's, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at.saturating_add(part.len())..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, beginning, fits, not) in [
            ("", "", &["deploy@web-1", "root@a"][..], &[][..]),
            ("web", "web", &["deploy@web-1", "deploy@web"], &["deploy@db-1", "web@db-1"]),
            ("web-*", "web-", &["deploy@web-1"], &["deploy@web"]),
            ("*.prod", "", &["a@b.prod"], &["a@b.prod.x"]),
            ("w*-*1", "w", &["a@web-1", "a@w-11"], &["a@web1", "a@web-2"]),
            ("root@", "", &["root@a"], &["deploy@a", "roots@a"]),
            ("r*@w", "w", &["root@web"], &["deploy@web", "root@db"]),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.beginning(), beginning, "{pattern}");
            assert!(fits.iter().all(|account| parsed.fits(account)), "{pattern}");
            assert!(!not.iter().any(|account| parsed.fits(account)), "{pattern}");
        }
        for bad in ["Web", "a b", "a@b@c", "\u{1b}", "web/1", "?"] {
            assert_eq!(Pattern::parse(bad).unwrap_err().exit().code(), 2, "{bad}");
        }
    }
}
