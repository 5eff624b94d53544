//! `cargo xtask tidy`: format, then name the files that a reader can no longer hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;
use crate::steps::Steps;

/// Lines beyond which a source file should become two.
const LONG: usize = 500;

pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::begin();
    steps.take("format", || shell::must(shell::cargo()?.args(["fmt", "--all"])))?;
    steps.take("long files", || {
        for (lines, file) in long_files(&shell::root()?)? {
            println!("{lines:>6}  {}", file.display());
        }
        Ok(())
    })?;
    steps.end("tidy");
    Ok(())
}

/// The tracked Rust sources of more than [`LONG`] lines, longest first.
fn long_files(root: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "*.rs"])
        .current_dir(root)
        .output()
        .context("git could not list the files of the tree")?;
    let names = String::from_utf8(listed.stdout).context("a file name in the tree is not UTF-8")?;
    let mut long = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        // A file that is tracked but deleted has no lines.
        let lines = fs::read_to_string(root.join(name)).map_or(0, |text| text.lines().count());
        if lines > LONG {
            long.push((lines, PathBuf::from(name)));
        }
    }
    long.sort_by(|a, b| b.cmp(a));
    Ok(long)
}
