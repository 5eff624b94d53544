//! One leaf of the ledger as it is read and shown here. What it says was written by others, in versions that may be
//! later ones: it is taken apart with care, and escaped.

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{LogFilter, Reading};
use jit_ssh_proto::log::Hash;
use jit_ssh_proto::wire::LogItem;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::output::{escape, escape_short, local_time};

/// The longest description in a table.
const LONGEST: usize = 300;

/// The headings of a table of entries, and the width that each has where rows come one by one.
pub(super) const HEADINGS: [&str; 5] = ["LEAF", "TIME", "EVENT", "WHO", "WHAT"];
const WIDTHS: [usize; 4] = [7, 24, 19, 16];

/// A leaf.
pub(super) struct Entry {
    /// Its index, from 0.
    pub(super) index: u64,
    /// The leaf.
    pub(super) leaf: Hash,
    /// What it says; none where it was erased.
    pub(super) content: Option<Content>,
    item: LogItem,
}

/// What a leaf says.
pub(super) struct Content {
    /// As far as this version knows it.
    pub(super) reading: Reading,
    /// All of it.
    pub(super) json: Value,
}

impl Entry {
    /// From what the CA sent: what is there must be what the leaf is made of.
    pub(super) fn new(item: LogItem) -> Result<Self> {
        let index = item.index;
        let odd = |what: &str| {
            Error::Untrusted(format!(
                "the CA's answer about event {index} {what}: tell its operator, and whoever audits it"
            ))
        };
        let leaf = item.verified_leaf().map_err(|e| odd(&e.to_string()))?;
        let content = match &item.event {
            None => None,
            Some(event) => {
                let text = event.get().as_bytes();
                let reading = Reading::of(text).map_err(|_| odd("is not an event"))?;
                let json = serde_json::from_slice(text).map_err(|_| odd("is not an event"))?;
                Some(Content { reading, json })
            }
        };
        Ok(Self { index, leaf, content, item })
    }

    /// Whether it fits a filter.
    pub(super) fn fits(&self, filter: &LogFilter) -> bool {
        match &self.content {
            Some(content) => filter.fits(self.index, &content.json),
            None => filter.fits_erased(self.index),
        }
    }

    /// When it happened.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.content.as_ref().map(|content| content.reading.common().time)
    }

    /// The kind of event; `erased` for one that is gone.
    pub(super) fn kind(&self) -> String {
        self.content.as_ref().map_or_else(|| "erased".to_owned(), |content| content.reading.common().kind)
    }

    /// Who did it.
    pub(super) fn who(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(content) => match content.reading.common().actor {
                Some(actor) => actor.to_string(),
                // An actor of a later version: its name, if it has one.
                None => text(&content.json, "/actor/name").unwrap_or_else(|| "?".to_owned()),
            },
        }
    }

    /// What happened, in a line.
    pub(super) fn what(&self) -> String {
        match self.content.as_ref().map(|content| &content.reading) {
            None => "the event was erased; its leaf stays".to_owned(),
            Some(Reading::Known(event)) => event.what.to_string(),
            Some(Reading::Unknown(_, fields)) => {
                let own = fields
                    .iter()
                    .filter(|(name, _)| !matches!(name.as_str(), "v" | "time" | "type" | "actor" | "source"));
                own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// A row of a table.
    pub(super) fn row(&self) -> Vec<String> {
        vec![
            self.index.to_string(),
            self.time().map_or_else(String::new, local_time),
            escape(&self.kind()),
            escape(&self.who()),
            escape_short(&self.what(), LONGEST),
        ]
    }

    /// A line of its own, for where rows come one by one.
    pub(super) fn line(&self) -> String {
        line(&self.row())
    }

    /// As the CA sent it, in one line.
    pub(super) fn json_line(&self) -> Result<String> {
        let line = serde_json::to_string(&self.item);
        line.map(|line| line + "\n").map_err(|e| Error::Local(format!("cannot write JSON: {e}")))
    }
}

/// Cells of a line with widths that do not depend on what comes later.
pub(super) fn line(cells: &[String]) -> String {
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        let width = WIDTHS.get(at).copied().unwrap_or(0);
        line.push_str(&format!("{cell:width$}  "));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// A text within JSON.
pub(super) fn text(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

/// Every text of an array within JSON.
pub(super) fn texts(json: &Value, pointer: &str) -> Vec<String> {
    let items = json.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use jit_ssh_proto::Salt;
    use jit_ssh_proto::event::Event;
    use serde_json::value::RawValue;

    /// An item as an honest CA sends it.
    pub(crate) fn item(index: u64, event: &str) -> LogItem {
        let salt = Salt::from_bytes([7; 32]);
        LogItem {
            index,
            leaf: data_encoding::HEXLOWER.encode(&Event::leaf(&salt, event.as_bytes())),
            salt: Some(salt.to_string()),
            event: Some(RawValue::from_string(event.to_owned()).unwrap()),
            erased: false,
        }
    }

    pub(crate) const REFUSED: &str = r#"{"v":1,"time":1790000000,"actor":{"by":"identity","issuer":"corp","sub":"1","name":"ada"},"source":"::1","type":"session.refused","code":"token_used","key":"SHA256:x","token":"00"}"#;

    #[test]
    fn what_a_lying_ca_sends_is_refused() {
        let honest = || item(3, REFUSED);
        assert!(Entry::new(honest()).is_ok());
        let changed = || RawValue::from_string(REFUSED.replace("ada", "eve")).unwrap();
        for (what, item) in [
            ("not what was recorded", LogItem { event: Some(changed()), ..honest() }),
            (
                "not what was recorded",
                LogItem { salt: Some(Salt::from_bytes([8; 32]).to_string()), ..honest() },
            ),
            ("not what was recorded", LogItem { leaf: "00".repeat(32), ..honest() }),
            ("a leaf that is not", LogItem { leaf: "00".repeat(31), ..honest() }),
            ("a salt that is not", LogItem { salt: Some("x".into()), ..honest() }),
            ("neither", LogItem { salt: None, ..honest() }),
            ("neither", LogItem { event: None, ..honest() }),
            ("neither", LogItem { erased: true, ..honest() }),
            ("neither", LogItem { event: None, salt: None, ..honest() }),
            ("not an event", item(3, "[1]")),
        ] {
            let error = Entry::new(item).err().unwrap().to_string();
            assert!(error.contains(what) && error.contains("event 3"), "{error}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let later = "{\"v\":9,\"time\":1790000000,\"actor\":{\"by\":\"x\",\"name\":\"\\u001b[2J\"},\"type\":\"a\\u202eb\",\"said\":\"\\u001b[31m\u{202e}\"}";
        let entry = Entry::new(item(0, later)).unwrap();
        for cell in entry.row() {
            assert!(!cell.chars().any(jit_ssh_proto::is_invisible), "{cell:?}");
        }
        assert_eq!((entry.kind().as_str(), entry.row()[3].as_str()), ("a\u{202e}b", "\\u{1b}[2J"));
        // As JSON it is what was recorded, byte for byte.
        assert!(entry.json_line().unwrap().contains(later));
        let long = entry_of_length(5000);
        assert!(long.row()[4].chars().count() <= LONGEST + 1);
    }

    fn entry_of_length(length: usize) -> Entry {
        let text = format!(r#"{{"v":9,"time":1,"type":"x","said":"{}"}}"#, "y".repeat(length));
        Entry::new(item(0, &text)).unwrap()
    }
}
