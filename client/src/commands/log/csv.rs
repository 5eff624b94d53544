//! Events as CSV (RFC 4180), for spreadsheets: a spreadsheet takes a cell that begins with `=` for a formula, so none
//! does.

use serde_json::Value;

use super::entry::{Entry, text, texts};
use crate::output::escape;

/// The columns.
pub(super) const HEADINGS: [&str; 18] = [
    "leaf",
    "time",
    "event",
    "who",
    "source",
    "outcome",
    "accounts",
    "mode",
    "policies",
    "reason",
    "ticket",
    "serial",
    "key_id",
    "request",
    "grant",
    "session",
    "what",
    "leaf_sha256",
];

/// The first line.
pub(super) fn heading() -> String {
    line(&HEADINGS.map(str::to_owned))
}

/// The line of an entry.
pub(super) fn row(entry: &Entry) -> String {
    let null = Value::Null;
    let json = entry.content.as_ref().map_or(&null, |content| &content.json);
    let of = |pointer: &str| text(json, pointer).unwrap_or_default();
    let mut accounts = texts(json, "/asked/accounts");
    if accounts.is_empty() {
        accounts = texts(json, "/principals");
    }
    let outcome = match (of("/outcome"), of("/code")) {
        (outcome, code) if outcome.is_empty() => code,
        (outcome, code) if code.is_empty() => outcome,
        (outcome, code) => format!("{outcome}: {code}"),
    };
    let serial =
        json.get("serial").and_then(Value::as_u64).map_or_else(String::new, |serial| serial.to_string());
    line(&[
        entry.index.to_string(),
        entry.time().map_or_else(String::new, utc),
        entry.kind(),
        entry.who(),
        of("/source"),
        outcome,
        accounts.join(" "),
        of("/asked/mode"),
        texts(json, "/policies").join(" "),
        of("/asked/reason") + &of("/reason"),
        of("/asked/ticket"),
        serial,
        of("/key_id"),
        of("/request"),
        of("/grant"),
        of("/session"),
        entry.what(),
        data_encoding::HEXLOWER.encode(&entry.leaf),
    ])
}

/// Times in UTC: a spreadsheet has no zones.
fn utc(time: jit_ssh_proto::Timestamp) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    cells.join(",") + "\r\n"
}

/// A cell that is text, whatever is in it.
fn quoted(text: &str) -> String {
    let mut text = escape(text);
    // What a spreadsheet would calculate; with spaces before it too, and in the wide forms that some take as well.
    let first = text.trim_start().chars().next();
    if matches!(first, Some('=' | '+' | '-' | '@' | '|' | '%' | '＝' | '＋' | '－' | '＠')) {
        text.insert(0, '\'');
    }
    if text.contains(['"', ',', ';', ' ', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::item;
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_line() {
        for (text, cell) in [
            ("plain", "plain"),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("  =1", "\"'  =1\""),
            ("＝1", "\"'＝1\""),
            ("\t=1", "\\t=1"),
            ("a\"b", "\"a\"\"b\""),
            ("a,b", "\"a,b\""),
            ("a\r\nb", "a\\r\\nb"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("", ""),
        ] {
            assert_eq!(quoted(text), cell, "{text:?}");
        }
    }

    #[test]
    fn each_event_has_as_many_cells_as_there_are_headings() {
        let decided = r#"{"v":1,"time":1790000000,"actor":{"by":"identity","issuer":"corp","sub":"1","name":"ada"},"source":"::1","type":"request.decided","request":"req_01m80zy0br0tt9292x4bwrp9jr","session":"ses_01m80zy0brb16h0tg9vyxfnhr2","asked":{"accounts":["deploy@web-1","deploy@web-2"],"mode":"shell","reason":"=cmd"},"policy_digest":"00","outcome":"denied","code":"forbidden","policies":["no-root"]}"#;
        let entry = Entry::new(item(5, decided)).unwrap();
        assert_eq!(
            row(&entry),
            format!(
                "5,2026-09-21T14:13:20Z,request.decided,corp/ada,::1,\"denied: forbidden\",\"deploy@web-1 deploy@web-2\",shell,\
                 no-root,\"'=cmd\",,,,req_01m80zy0br0tt9292x4bwrp9jr,,ses_01m80zy0brb16h0tg9vyxfnhr2,\
                 \"shell deploy@web-1 deploy@web-2: denied, forbidden by no-root (=cmd)\",{}\r\n",
                data_encoding::HEXLOWER.encode(&entry.leaf)
            )
        );
        assert_eq!(heading().split(',').count(), HEADINGS.len());
    }
}
