//! `jit-ssh log`: what is recorded, narrowed, as a table, as JSON or as CSV; and what comes.

use jiff::tz::TimeZone;
use jit_ssh_proto::event::LogFilter;

use super::csv;
use super::entry::{Entry, HEADINGS, line};
use super::follow::{Follower, newest};
use crate::cli::{LogFilterArgs, LogSearchArgs};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::output::{Waiting, note, print, table};
use crate::session::Session;
use crate::when;
use jit_ssh_proto::Timestamp;

/// How many events are shown if nothing is said; before following, fewer.
const SHOWN: usize = 50;
const SHOWN_BEFORE: usize = 10;
/// The most that the CA gives at once.
const PAGE: usize = 1000;

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Csv,
}

pub(super) fn run(args: &LogSearchArgs) -> Result<()> {
    let client = Client::load()?;
    let session = client.require_session()?;
    let filter = filter(&args.filter, client.now())?;
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (false, true) => Form::Csv,
        (false, false) => Form::Table,
    };
    if args.follow {
        return follow(&client, &session, &filter, args.limit, form);
    }
    match (form, args.limit) {
        // Everything is given in one stream.
        (Form::Json | Form::Csv, None) => export(&client, &session, &filter, form),
        (Form::Json | Form::Csv | Form::Table, limit) => {
            let limit = limit.unwrap_or(SHOWN);
            let (entries, more) = last(&client, &session, &filter, limit)?;
            show(&entries, form)?;
            if more {
                note(&format!(
                    "These are the newest {limit} that match; there may be more: see --limit, --since, or --json for all."
                ));
            }
            Ok(())
        }
    }
}

/// The filter that the options say.
pub(super) fn filter(args: &LogFilterArgs, now: Timestamp) -> Result<LogFilter> {
    let time = |name: &str, text: &Option<String>| {
        let parsed = text.as_ref().map(|text| when::parse(text, now, &TimeZone::system())).transpose();
        parsed.map_err(|e| Error::Usage(format!("--{name} {e}")))
    };
    let LogFilterArgs {
        user,
        host,
        action,
        event,
        policy,
        serial,
        request,
        grant,
        session,
        grep,
        since,
        until,
    } = args;
    Ok(LogFilter {
        after: None,
        before: None,
        since: time("since", since)?,
        until: time("until", until)?,
        kind: event.clone(),
        user: user.clone(),
        host: host.clone(),
        action: action.clone(),
        policy: policy.clone(),
        serial: *serial,
        request: *request,
        grant: *grant,
        session: *session,
        grep: grep.clone(),
    })
}

/// The newest that fit, oldest first, and whether there may be more.
fn last(client: &Client, session: &Session, filter: &LogFilter, limit: usize) -> Result<(Vec<Entry>, bool)> {
    let waiting = Waiting::for_("searching the ledger");
    let mut entries = Vec::new();
    let mut filter = filter.clone();
    let more = loop {
        let mut query = filter.pairs();
        query.push(("order", "desc".to_owned()));
        query.push(("limit", limit.saturating_sub(entries.len()).min(PAGE).to_string()));
        let page = client.ca().events(session, &query)?;
        for item in page.items {
            entries.push(Entry::new(item)?);
        }
        let next = page.next.as_deref().and_then(|next| next.parse::<u64>().ok());
        // A page that begins no earlier than the one before would go on for ever.
        let earlier = next.filter(|next| filter.before.is_none_or(|before| *next < before));
        match earlier {
            Some(next) if page.more && entries.len() < limit => {
                filter.before = Some(next);
                waiting.say(format!("searching the ledger before event {next}"));
            }
            Some(_) | None => break page.more,
        }
    };
    drop(waiting);
    entries.truncate(limit);
    entries.reverse();
    Ok((entries, more))
}

fn show(entries: &[Entry], form: Form) -> Result<()> {
    match form {
        Form::Table if entries.is_empty() => {
            note("Nothing matches.");
            Ok(())
        }
        Form::Table => print(&table(&HEADINGS, &entries.iter().map(Entry::row).collect::<Vec<_>>())),
        Form::Json | Form::Csv => {
            heading(form)?;
            entries.iter().try_for_each(|entry| one(entry, form))
        }
    }
}

fn heading(form: Form) -> Result<()> {
    match form {
        Form::Table => print(&line(&HEADINGS.map(str::to_owned))),
        Form::Csv => print(&csv::heading()),
        Form::Json => Ok(()),
    }
}

fn one(entry: &Entry, form: Form) -> Result<()> {
    match form {
        Form::Table => print(&entry.line()),
        Form::Json => print(&entry.json_line()?),
        Form::Csv => print(&csv::row(entry)),
    }
}

fn export(client: &Client, session: &Session, filter: &LogFilter, form: Form) -> Result<()> {
    let ca = client.ca();
    let lines = ca.export(session, &filter.pairs())?;
    heading(form)?;
    for item in lines {
        one(&Entry::new(item?)?, form)?;
    }
    Ok(())
}

fn follow(
    client: &Client,
    session: &Session,
    filter: &LogFilter,
    limit: Option<usize>,
    form: Form,
) -> Result<()> {
    // What comes while the last ones are looked for is behind this.
    let end = newest(client, session)?;
    let end_at = end.as_ref().and_then(|end| end.parse::<u64>().ok());
    let before = LogFilter { before: end_at.map(|end| end.saturating_add(1)), ..filter.clone() };
    let (entries, _) = last(client, session, &before, limit.unwrap_or(SHOWN_BEFORE))?;
    heading(form)?;
    entries.iter().try_for_each(|entry| one(entry, form))?;
    let mut follower = Follower::new(client, session, filter.pairs(), end);
    loop {
        for entry in follower.next()? {
            one(&entry, form)?;
        }
    }
}
