//! One way to write policies down. What comes out means what went in, and every comment is still there; else nothing
//! comes out.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::Policy;
use cedar_policy_formatter::{Config, policies_str_to_pretty};

use super::compile::told;
use super::scan;
use super::{PolicyError, PolicySource};
use crate::position::{one_line, position};

/// How wide a line gets before it is broken, and how far what is inside is moved in.
const LAYOUT: Config = Config { line_width: 120, indent_width: 4 };

/// The file's text, laid out.
///
/// Cedar's parser recurses: call it on a thread with a large stack (16 MiB).
///
/// # Errors
/// The first place that does not parse, or the beginning of the file if the layout would change what it says.
pub fn format(source: &PolicySource) -> Result<String, PolicyError> {
    let before = meaning(source, &source.text)?;
    let defect =
        |what: &str| fault(source, 0, format!("{what}, so the file stays as it is: lay it out by hand"));
    if before.is_empty() {
        // The formatter knows no file without a policy.
        return Ok(source.text.clone());
    }
    let text = policies_str_to_pretty(&source.text, &LAYOUT).map_err(|_| defect("it cannot be laid out"))?;
    let text = as_people_write(&text, &source.text);
    if meaning(source, &text)? != before {
        return Err(defect("another layout would say something else"));
    }
    if comments(&text) != comments(&source.text) {
        return Err(defect("another layout would lose a comment"));
    }
    Ok(text)
}

fn fault(source: &PolicySource, offset: usize, what: String) -> PolicyError {
    let (line, column) = position(&source.text, offset);
    PolicyError { file: source.file.clone(), line, column, what }
}

/// The layout with what people expect besides: `when {` on one line, and a blank line after a comment that had one, so
/// that a heading stays apart from what comes after it.
fn as_people_write(text: &str, original: &str) -> String {
    let text = text.replace("\nwhen\n{\n", "\nwhen {\n").replace("\nunless\n{\n", "\nunless {\n");
    let lines: Vec<&str> = original.lines().map(str::trim).collect();
    let comment = |line: &str| line.starts_with("//");
    let mut apart = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| comment(line))
        .map(|(at, _)| lines.get(at.saturating_add(1)).is_some_and(|next| next.is_empty()));
    let mut laid_out = String::with_capacity(text.len());
    let mut lines = text.trim_end().lines().peekable();
    while let Some(line) = lines.next() {
        laid_out.push_str(line.trim_end());
        laid_out.push('\n');
        let before_text = lines.peek().is_some_and(|next| !next.trim().is_empty());
        if comment(line.trim()) && apart.next() == Some(true) && before_text {
            laid_out.push('\n');
        }
    }
    laid_out
}

/// What a text says, policy by policy: effect, scope, conditions and annotations, without places.
fn meaning(source: &PolicySource, text: &str) -> Result<Vec<serde_json::Value>, PolicyError> {
    let statements = scan::split(text).map_err(|found| fault(source, found.offset, found.what))?;
    let mut meaning = Vec::with_capacity(statements.len());
    for statement in statements {
        let policy = Policy::parse(None, statement.text).map_err(|errors| {
            let found = errors.iter().next().map(|error| told(error));
            let (at, what) = found.unwrap_or_else(|| (0, one_line(&errors.to_string())));
            fault(source, statement.start.saturating_add(at), what)
        })?;
        meaning.push(policy.to_json().map_err(|e| fault(source, statement.start, e.to_string()))?);
    }
    Ok(meaning)
}

/// The comments, in order, each without the space around it.
fn comments(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['"', '/']) {
        let here = rest.get(at..).unwrap_or_default();
        let length = if here.starts_with("//") {
            let end = here.find(['\n', '\r']).unwrap_or(here.len());
            found.push(here.get(..end).unwrap_or_default().trim_end());
            end
        } else if here.starts_with('"') {
            string(here)
        } else {
            1
        };
        rest = here.get(length..).unwrap_or_default();
    }
    found
}

/// How long the string is that the text begins with, quotes and all.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at.saturating_add(1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(text: &str) -> Result<String, String> {
        format(&PolicySource { file: "p.cedar".into(), text: text.into() }).map_err(|e| e.to_string())
    }

    const STARTER: &str = include_str!("../../../starter/policy.cedar");

    #[test]
    fn what_is_laid_out_says_the_same_and_stays_as_it_is() {
        for text in [
            STARTER,
            include_str!("../../../starter/dev-policy.cedar"),
            "@id(\"a\")permit(principal,action,resource)when{context.reason!=\"\"};",
            "// before\n@id(\"a\") // beside\npermit ( // in\n principal, action, resource); // after\n// at the end",
            "@message(\"a // no comment; \\\" neither\") forbid (principal, action, resource);\n",
        ] {
            let once = laid_out(text).unwrap();
            let source = PolicySource { file: "p".into(), text: once.clone() };
            assert_eq!(meaning(&source, text).unwrap(), meaning(&source, &once).unwrap());
            assert_eq!(comments(text), comments(&once));
            assert_eq!(laid_out(&once).unwrap(), once, "twice is once");
        }
    }

    #[test]
    fn it_reads_as_people_write_it() {
        let text = "// a heading\n\n\n// of this\n@id(\"a\")\npermit (principal, action, resource) when { context.reason != \"a long text, so long that \
                    it takes a line of its own\" && context.ticket != \"and another one\" && context.ticket != \"x\" } unless { context.break_glass && context.reason == \
                    \"something that is as long as the one above, at least\" && context.ticket == \"\" };";
        let expected = r#"// a heading

// of this
@id("a")
permit (principal, action, resource)
when {
    context.reason != "a long text, so long that it takes a line of its own" &&
    context.ticket != "and another one" &&
    context.ticket != "x"
}
unless {
    context.break_glass &&
    context.reason == "something that is as long as the one above, at least" &&
    context.ticket == ""
};
"#;
        assert_eq!(laid_out(text).unwrap(), expected);
    }

    #[test]
    fn a_file_of_comments_stays_as_it_is() {
        for text in ["", "// only this\n\n", "\n\n"] {
            assert_eq!(laid_out(text).unwrap(), text);
        }
    }

    #[test]
    fn what_does_not_parse_is_refused_with_its_place() {
        for (text, place) in [
            ("\n@id(\"x\")\npermit (principal, action, resource)\nwhen { x };", "p.cedar:4:8: "),
            ("permit", "p.cedar:1:1"),
            (
                "/* x */\npermit (principal, action, resource);",
                "p.cedar:1:1: there are no /* */ comments here: begin",
            ),
            ("permit (principal, action, resource); (((((((((((((((((((((((((((", "p.cedar:1:63"),
        ] {
            let error = laid_out(text).unwrap_err();
            assert!(error.starts_with(place), "{error}");
        }
    }

    #[test]
    fn comments_are_found_outside_strings() {
        assert_eq!(comments("a // x \n\"// no\" / b // y"), ["// x", "// y"]);
        assert_eq!(comments("\"\\\"\" // z\r// w"), ["// z", "// w"]);
    }
}
