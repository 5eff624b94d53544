//! Where a key stands in `ca.toml`, for errors about its value: the parser says where it failed, and here it did not.

/// Line and column of a key, both counted from 1: a dotted key such as `limits.duration` in its table, any other before
/// the first table.
pub(super) fn of_key(text: &str, key: &str) -> Option<(usize, usize)> {
    match key.split_once('.') {
        Some((table, key)) => within(text, table, 0, key),
        None => within(text, "", 0, key),
    }
}

/// Of a key of the so-manieth entry `[[NAME]]`, or of the entry if it does not stand there.
pub(super) fn of_entry(text: &str, name: &str, nth: usize, key: &str) -> Option<(usize, usize)> {
    within(text, name, nth, key).or_else(|| header(text, name, nth).map(|line| (line, 1)))
}

/// The line of the so-manieth table of a name.
fn header(text: &str, name: &str, nth: usize) -> Option<usize> {
    let lines = text.lines().enumerate();
    lines.filter(|(_, line)| table(line) == Some(name)).nth(nth).map(|(at, _)| at + 1)
}

fn within(text: &str, name: &str, nth: usize, key: &str) -> Option<(usize, usize)> {
    let start = if name.is_empty() { 0 } else { header(text, name, nth)? };
    let inside = format!("{name}.");
    for (at, line) in text.lines().enumerate().skip(start) {
        if let Some(table) = table(line) {
            match table.strip_prefix(&inside) {
                // A table of the entry: `[issuer.groups_map]`.
                Some(own) if own == key => return Some((at + 1, 1)),
                Some(_) => continue,
                None => return None,
            }
        }
        let unindented = line.trim_start();
        let rest = unindented.strip_prefix(key).map(str::trim_start);
        if rest.is_some_and(|rest| rest.starts_with('=')) {
            let indent = line.chars().count().saturating_sub(unindented.chars().count());
            return Some((at + 1, indent + 1));
        }
    }
    None
}

/// The name of the table that a line begins.
fn table(line: &str) -> Option<&str> {
    let line = line.trim();
    let inner = line.strip_prefix('[')?.split(']').next()?;
    Some(inner.trim_start_matches('[').trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_their_tables() {
        let text = "url = \"x\"\ntimezone = \"UTC\"\n[limits]\n  duration = \"1h\"\n[[issuer]]\nname = \"a\"\n\
                    flows=[\"code\"]\n[issuer.groups_map]\n\"x\" = [\"y\"]\n[[issuer]]\nname = \"b\"\nflows = []\n[store]\nurl = \"s\"\n";
        for (found, expected) in [
            (of_key(text, "timezone"), Some((2, 1))),
            (of_key(text, "duration"), None),
            (of_key(text, "limits.duration"), Some((4, 3))),
            (of_key(text, "limits.ttl"), None),
            (of_key(text, "store.url"), Some((14, 1))),
            (of_entry(text, "issuer", 0, "flows"), Some((7, 1))),
            (of_entry(text, "issuer", 0, "groups_map"), Some((8, 1))),
            (of_entry(text, "issuer", 1, "flows"), Some((12, 1))),
            (of_entry(text, "issuer", 1, "client_id"), Some((10, 1))),
            (of_entry(text, "issuer", 2, "flows"), None),
            (of_entry(text, "issuer", 0, "flow"), Some((5, 1))),
        ] {
            assert_eq!(found, expected);
        }
    }
}
