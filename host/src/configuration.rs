//! The rest of sshd's configuration, looked over for what would undo ours. A hint and no proof: `sshd -T` is the judge.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The name of our own drop-in.
pub(crate) const DROP_IN: &str = "10-jit-ssh.conf";

/// What other files may not say, in small letters, and why not.
const CONFLICTS: [(&str, &str); 5] = [
    ("forcecommand", "it overrides the command of every certificate"),
    ("trustedusercakeys", "sshd takes the first it reads and ignores ours after it"),
    ("authorizedprincipalsfile", "sshd takes the first it reads and ignores ours after it"),
    ("authorizedprincipalscommand", "it lets in what the principals files do not list"),
    ("revokedkeys", "sshd takes the first it reads and ignores ours after it"),
];

/// One sentence for each thing that an operator should look at.
pub(crate) fn warnings(folder: &Path) -> Vec<String> {
    let main = folder.join("sshd_config");
    let mut found = Vec::new();
    if let Some(lines) = directives(&main) {
        let included = |(keyword, rest): &(String, String)| {
            keyword == "include" && rest.split_whitespace().any(|path| path.contains("sshd_config.d"))
        };
        if !lines.iter().any(included) {
            let drop_ins = folder.join("sshd_config.d");
            found.push(format!(
                "{} does not include the drop-in: put \"Include {}/*.conf\" first in it.",
                main.display(),
                drop_ins.display()
            ));
        }
    }
    for file in std::iter::once(main).chain(drop_ins(folder)) {
        for (keyword, rest) in directives(&file).unwrap_or_default() {
            let conflict = CONFLICTS.iter().find(|(name, _)| *name == keyword);
            // Saying that there is none is what we want of a command, and as bad as another file of any file.
            let none = rest.eq_ignore_ascii_case("none") && keyword.ends_with("command");
            if let Some((_, why)) = conflict.filter(|_| !none) {
                found.push(format!("{} sets {keyword}: {why}; look at sshd -T.", file.display()));
            }
        }
    }
    found
}

/// The other drop-ins, by name.
fn drop_ins(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("sshd_config.d")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension() == Some(OsStr::new("conf")) && path.file_name() != Some(OsStr::new(DROP_IN))
        })
        .collect();
    files.sort();
    files
}

/// Keywords in small letters with what follows them (`sshd_config(5)`: blanks or one `=` between); none if the file
/// cannot be read.
fn directives(file: &Path) -> Option<Vec<(String, String)>> {
    let contents = fs::read(file).ok()?;
    let directive = |line: &str| {
        let line = line.trim();
        let (keyword, rest) = line.split_once([' ', '\t', '='])?;
        let rest = rest.trim_start_matches([' ', '\t', '=']).trim_matches('"');
        (!line.starts_with('#')).then(|| (keyword.to_ascii_lowercase(), rest.to_owned()))
    };
    Some(String::from_utf8_lossy(&contents).lines().filter_map(directive).collect())
}
