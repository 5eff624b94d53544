//! What people see: tables on stdout, the rest on stderr, colours and spinners only on a terminal. Everything
//! that others wrote goes through [`escape`].

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jit_ssh_proto::{Span, Timestamp, is_invisible};

use crate::error::{Error, Result};

/// Text of others with control and invisible characters written out, so that a terminal does nothing with them.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            out.extend(c.escape_debug());
            // What escape_debug thinks harmless is not always visible.
            if out.ends_with(c) {
                out.pop();
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Like [`escape`], and no longer than `limit` characters.
pub(crate) fn escape_short(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    escape(&short)
}

/// Writes to stdout. A reader that went away (`| head`) ends the output, not the program.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Local(format!("cannot write to standard output: {e}; check where it goes")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes one JSON value to stdout.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}

/// Says something on stderr.
pub(crate) fn note(text: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says why the command failed.
pub(crate) fn complain(error: &Error) {
    if colours(&io::stderr()) {
        note(&format!("\u{1b}[1;31merror:\u{1b}[0m {error}"));
    } else {
        note(&format!("error: {error}"));
    }
}

fn colours(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Rows under headings, aligned.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let bold = colours(&io::stdout());
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|h| h.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &[&str], bold: bool| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "{cell:width$}  ");
        }
        let text = text.trim_end();
        let _ = if bold { writeln!(out, "\u{1b}[1m{text}\u{1b}[0m") } else { writeln!(out, "{text}") };
    };
    line(headings, bold);
    for row in rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>(), false);
    }
    out
}

/// `Name   value` lines, aligned.
pub(crate) fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = writeln!(out, "{name:width$}  {value}");
        out
    })
}

/// A point in time in the local zone.
pub(crate) fn local_time(time: Timestamp) -> String {
    i64::try_from(time.seconds())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || "forever".to_owned(),
            |t| t.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        )
}

/// A length of time as people say it: the two largest units.
pub(crate) fn length(span: Span) -> String {
    let s = span.seconds();
    match s {
        0..60 => format!("{s}s"),
        60..3600 if s.is_multiple_of(60) => format!("{}m", s / 60),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 if s % 3600 < 60 => format!("{}h", s / 3600),
        3600..86_400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        _ if s % 86_400 < 3600 => format!("{}d", s / 86_400),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// How long until `end`: `29m 40s left`, or `ended 5m ago`.
pub(crate) fn left(end: Timestamp, now: Timestamp) -> String {
    if end > now {
        format!("{} left", length(end.since(now)))
    } else {
        format!("ended {} ago", length(now.since(end)))
    }
}

/// A spinner on stderr that says what is waited for; nothing where stderr is no terminal. Gone when dropped.
pub(crate) struct Waiting(ProgressBar);

impl Waiting {
    /// Starts to say it.
    pub(crate) fn for_(what: impl Into<String>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner().with_message(what.into());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// Says something else.
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_passes() {
        for (text, shown) in [
            ("plain, ünïcode ☃", "plain, ünïcode ☃"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{202e}gro", "\\u{202e}gro"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("x\u{200b}y\u{feff}", "x\\u{200b}y\\u{feff}"),
        ] {
            assert_eq!(escape(text), shown);
            assert!(!escape(text).chars().any(is_invisible), "{text:?}");
        }
        assert_eq!(escape_short("abcdef", 3), "abc…");
    }

    #[test]
    fn lengths() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (1780, "29m 40s"),
            (3600, "1h"),
            (3661, "1h 1m"),
            (90_000, "1d 1h"),
            (86_400, "1d"),
        ] {
            assert_eq!(length(Span::from_seconds(seconds)), text);
        }
        let (early, late) = (Timestamp::from_seconds(100), Timestamp::from_seconds(400));
        assert_eq!(left(late, early), "5m left");
        assert_eq!(left(early, late), "ended 5m ago");
        assert_eq!(left(early, early), "ended 0s ago");
    }

    #[test]
    fn tables_align() {
        let rows = vec![vec!["a".to_owned(), "long cell".to_owned()], vec!["bcd".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["ID", "WHAT"], &rows), "ID   WHAT\na    long cell\nbcd  x\n");
        assert_eq!(facts(&[("A", "1".to_owned()), ("Long", "2".to_owned())]), "A     1\nLong  2\n");
    }
}
