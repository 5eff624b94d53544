//! `jit-ssh-ca policy check`: what is wrong, and what is worth a second look.

use anyhow::bail;
use jit_ssh_core::policy::{Lint, review};

use super::super::print;
use super::files::{Files, Set, Where};
use super::found::{Found, Level, count};
use crate::clock::{Clock, SystemClock, local};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    at: Where,
    /// Fail on warnings too. Notes are never more than notes
    #[arg(long)]
    deny_warnings: bool,
    /// Leave out findings of this code, as in worth-a-shell. Give it several times for more
    #[arg(long, value_name = "CODE", value_parser = lint)]
    allow: Vec<Lint>,
    /// Print one JSON object a line: severity, code, file, line, column, message, help
    #[arg(long)]
    json: bool,
}

fn lint(code: &str) -> Result<Lint, String> {
    Lint::ALL.into_iter().find(|lint| lint.as_str() == code).ok_or_else(|| {
        let known: Vec<&str> = Lint::ALL.iter().map(|lint| lint.as_str()).collect();
        format!("is none of {}", known.join(", "))
    })
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let files = args.at.files();
    let (found, policies) = match files.read() {
        Ok(set) => (look_through(args, &files, &set), set.rules.len()),
        Err(errors) => (errors, 0),
    };
    for one in &found {
        print(&if args.json { one.as_json().to_string() } else { one.to_string() })?;
    }
    let of = |level| found.iter().filter(|one| one.level == level).count();
    let (errors, warnings, notes) = (of(Level::Error), of(Level::Warning), of(Level::Note));
    let said =
        format!("{}, {}, {}", count(errors, "error"), count(warnings, "warning"), count(notes, "note"));
    if errors > 0 {
        bail!("{said}: a CA with these files does not start, and one that runs keeps what it has");
    }
    if args.deny_warnings && warnings > 0 {
        bail!("{said}: correct what is warned of, or --allow it");
    }
    if !args.json {
        print(&format!("{} in order: {said}", count(policies, "policy")))?;
    }
    Ok(())
}

fn look_through(args: &Args, files: &Files, set: &Set) -> Vec<Found> {
    let today = local(SystemClock.now(), &set.excerpt.timezone).date;
    let findings = review(&set.sources, set.rules.inventory(), &set.surroundings(Some(&today)));
    let findings = findings.iter().map(|one| (one.lint, Found::finding(one, files, set)));
    let ignored = files.ignored().into_iter().map(|path| (Lint::IgnoredFile, Found::ignored(&path)));
    findings.chain(ignored).filter(|(lint, _)| !args.allow.contains(lint)).map(|(_, found)| found).collect()
}
