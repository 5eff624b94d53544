//! SQL on any PostgreSQL database, through `psql`: what a test asks beside the program that it tests.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::Programs;

/// What stands between columns and rows where values may hold bars and lines.
const COLUMN: char = '\u{1f}';
const ROW: char = '\u{1e}';
/// What stands for NULL there.
const NULL: &str = "\u{1d}";

/// Runs SQL and returns what is printed: a line a row, columns between bars.
///
/// # Errors
/// With what `psql` said, when it fails.
pub fn lines(url: &str, sql: &str) -> Result<String> {
    Ok(run(url, sql, &[])?.trim_end().to_owned())
}

/// Runs SQL and returns the rows as text; bytes are `\x` and hexadecimal digits.
///
/// # Errors
/// With what `psql` said, when it fails.
pub fn rows(url: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let (column, row, null) = (COLUMN.to_string(), ROW.to_string(), format!("null={NULL}"));
    let text = run(url, sql, &["-F", &column, "-R", &row, "-P", &null])?;
    // The last row ends with a line, the others with their sign.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let value = |text: &str| (text != NULL).then(|| text.to_owned());
    Ok(text.split(ROW).map(|row| row.split(COLUMN).map(value).collect()).collect())
}

fn run(url: &str, sql: &str, arguments: &[&str]) -> Result<String> {
    let mut psql = Programs::find()?.command("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).args(arguments).args(["-c", sql, url]);
    let output = psql.stdin(Stdio::null()).output().context("psql cannot be started")?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
