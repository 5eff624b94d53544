//! `jit-ssh log report`: what an auditor asks, from one stream of the ledger.

use jit_ssh_proto::event::LogFilter;
use serde_json::json;

use super::entry::Entry;
use super::search;
use super::tally::{Counted, Tally};
use crate::cli::{LogFilterArgs, LogReportArgs};
use crate::client::Client;
use crate::error::Result;
use crate::output::{Waiting, escape, escape_short, facts, local_time, print, print_json, table};

/// The most rows of a list of single things.
const ROWS: usize = 200;

pub(super) fn run(args: &LogReportArgs) -> Result<()> {
    let client = Client::load()?;
    let session = client.require_session()?;
    let period =
        LogFilterArgs { since: args.since.clone(), until: args.until.clone(), ..LogFilterArgs::default() };
    let filter = search::filter(&period, client.now())?;
    let tally = {
        let waiting = Waiting::for_("reading the ledger");
        let mut tally = Tally::default();
        let ca = client.ca();
        for item in ca.export(&session, &filter.pairs())? {
            tally.add(&Entry::new(item?)?);
            if tally.events.is_multiple_of(1000) {
                waiting.say(format!("read {} events", tally.events));
            }
        }
        tally
    };
    if args.json {
        return print_json(&json!({ "since": filter.since, "until": filter.until, "report": tally }));
    }
    print(&text(&tally, &filter))
}

fn text(tally: &Tally, filter: &LogFilter) -> String {
    let moment =
        |asked: Option<_>, found: Option<_>| asked.or(found).map_or_else(|| "–".to_owned(), local_time);
    let certificates: u64 = tally.issued.values().map(|issued| issued.certificates).sum();
    let mut out = facts(&[
        ("From", moment(filter.since, tally.first)),
        ("To", moment(filter.until, tally.last)),
        ("Events", tally.events.to_string()),
        ("Sessions", format!("{} opened, {} refused", tally.sessions_opened, tally.sessions_refused)),
        ("Certificates", format!("{certificates} issued, {} revoked", tally.revoked)),
        ("Erased", tally.erased.to_string()),
    ]);
    section(
        &mut out,
        "Access by person",
        &["WHO", "SESSIONS", "GRANTED", "DENIED", "CERTIFICATES", "HOSTS", "LAST"],
        {
            let rows = tally.people.iter().map(|(who, p)| {
                let hosts: Vec<String> = p.hosts.iter().map(|host| escape(host)).collect();
                vec![
                    escape(who),
                    p.sessions.to_string(),
                    p.granted.to_string(),
                    p.denied.to_string(),
                    p.certificates.to_string(),
                    escape_short(&hosts.join(" "), 80),
                    local_time(p.last),
                ]
            });
            rows.collect()
        },
    );
    section(
        &mut out,
        "Access by host",
        &["HOST", "GRANTED", "CERTIFICATES", "PEOPLE"],
        counted(&tally.hosts),
    );
    let by_policy = counted(&tally.policies).into_iter().map(|mut row| {
        row.remove(2);
        row
    });
    section(&mut out, "Access by policy", &["POLICY", "GRANTED", "PEOPLE"], by_policy.collect());
    section(&mut out, "Denied", &["WHO", "WHAT", "WHY", "TIMES", "LAST"], {
        let rows = tally.denied.values().map(|d| {
            vec![
                escape(&d.who),
                escape_short(&d.what, 80),
                escape(&d.why),
                d.times.to_string(),
                local_time(d.last),
            ]
        });
        rows.collect()
    });
    section(&mut out, "Grants never used in this time", &["GRANT", "WHO", "WHAT", "GRANTED", "UNTIL"], {
        let rows = tally.unused.iter().map(|(grant, unused)| {
            vec![
                escape(grant),
                escape(&unused.who),
                escape_short(&unused.what, 80),
                local_time(unused.decided),
                local_time(unused.until),
            ]
        });
        rows.collect()
    });
    section(
        &mut out,
        "Certificates by authority",
        &["AUTHORITY", "CERTIFICATES", "FIRST SERIAL", "LAST SERIAL"],
        {
            let rows = tally.issued.iter().map(|(authority, issued)| {
                vec![
                    escape(authority),
                    issued.certificates.to_string(),
                    issued.first_serial.to_string(),
                    issued.last_serial.to_string(),
                ]
            });
            rows.collect()
        },
    );
    let pairs = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().map(|(name, times)| vec![escape(name), times.to_string()]).collect()
    };
    section(&mut out, "Break-glass", &["WHO", "TIMES"], pairs(&tally.break_glass));
    section(&mut out, "Approvals by approver", &["WHO", "TIMES"], pairs(&tally.approvals));
    let reviews = tally.reviews_open.iter().map(|review| vec![escape(review)]);
    section(&mut out, "Reviews that stand open", &["REVIEW"], reviews.collect());
    section(&mut out, "The CA itself", &["EVENT", "TIMES"], pairs(&tally.others));
    out
}

fn counted(counts: &std::collections::BTreeMap<String, Counted>) -> Vec<Vec<String>> {
    let row = |(name, counted): (&String, &Counted)| {
        vec![
            escape(name),
            counted.granted.to_string(),
            counted.certificates.to_string(),
            counted.people.len().to_string(),
        ]
    };
    counts.iter().map(row).collect()
}

fn section(out: &mut String, title: &str, headings: &[&str], mut rows: Vec<Vec<String>>) {
    out.push_str(&format!("\n{title}\n"));
    if rows.is_empty() {
        out.push_str("none recorded\n");
        return;
    }
    let all = rows.len();
    rows.truncate(ROWS);
    out.push_str(&table(headings, &rows));
    if all > ROWS {
        out.push_str(&format!("and {} more: see --json\n", all.saturating_sub(ROWS)));
    }
}
