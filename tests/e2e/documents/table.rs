//! What is done with each command that a document shows. A command without a row here fails the test, and so does a
//! row without a command.

use super::lines::Line;

/// How a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// To its end, which has to be a good one.
    Run,
    /// At a terminal, with these lines typed: it asks something.
    Typed(&'static [&'static str]),
    /// In front of a remote shell that is given these lines.
    Shell(&'static [&'static str]),
    /// Left running until the scene is over, once it answers.
    Serve,
    /// With somebody at the browser.
    Browser,
    /// Not in a scene: for the reason.
    Elsewhere(&'static str),
}

/// A command by its first words: `rm -r` is not `rm`.
pub(super) struct Row {
    pub(super) words: &'static [&'static str],
    pub(super) how: How,
}

const fn row(words: &'static [&'static str], how: How) -> Row {
    Row { words, how }
}

const OF_XTASK: How = How::Elsewhere(
    "tests/xtask/src/documents.rs: its arguments are read as they are shown, and the demo is a step of `cargo xtask test`",
);

/// The table.
pub(super) const ROWS: &[Row] = &[
    row(&["cargo", "xtask"], OF_XTASK),
    row(&["jit-ssh-ca", "init"], How::Typed(&[PASSPHRASE, PASSPHRASE])),
    row(&["jit-ssh-ca", "serve"], How::Serve),
    row(&["jit-ssh-ca", "key", "add"], How::Typed(&[PASSPHRASE])),
    row(&["jit-ssh-ca", "key", "list"], How::Run),
    row(&["jit-ssh-ca", "log", "show"], How::Run),
    row(&["jit-ssh-ca", "log", "verify"], How::Run),
    // Nothing in a scene is old enough to be erased.
    row(&["jit-ssh-ca", "log", "erase"], How::Elsewhere("tests/e2e/operations.rs erases an event")),
    row(&["jit-ssh-ca", "policy"], How::Run),
    row(&["jit-ssh-ca", "backup"], How::Run),
    row(&["jit-ssh-ca", "restore"], How::Run),
    row(&["jit-ssh-ca", "store", "move"], How::Run),
    row(&["jit-ssh-ca", "store", "resume"], How::Run),
    row(&["jit-ssh-host", "files"], How::Run),
    row(&["jit-ssh", "setup"], How::Typed(&["yes"])),
    row(&["jit-ssh", "login"], How::Browser),
    row(&["jit-ssh", "ssh"], How::Shell(&["echo in-$((40 + 2))", "exit"])),
    row(&["jit-ssh", "ls"], How::Run),
    row(&["jit-ssh", "explain"], How::Run),
    row(&["jit-ssh", "status"], How::Run),
    row(&["jit-ssh", "inspect"], How::Run),
    row(&["jit-ssh", "log", "verify"], How::Run),
    row(&["jit-ssh", "logout"], How::Run),
    row(&["curl", "-s"], How::Run),
    row(&["cp"], How::Run),
    row(&["grep"], How::Run),
    row(&["mkdir"], How::Run),
    row(&["rm", "-r"], How::Run),
    row(&["sed", "-i"], How::Run),
    row(&["ssh-keygen", "-L"], How::Run),
    row(&["sshd", "-t"], How::Run),
    row(&["sshd", "-T"], How::Run),
    // No systemd here: the scene has a `systemctl` that sends the signal which the service would send to its sshd.
    row(&["systemctl", "reload", "ssh"], How::Run),
];

/// What is typed where a passphrase is asked for, and what its file holds.
pub(super) const PASSPHRASE: &str = "correct horse battery staple";

/// The row of a simple command.
pub(super) fn find(words: &[&str]) -> Option<&'static Row> {
    ROWS.iter().find(|row| words.starts_with(row.words))
}

/// How a line is run: as the one command in it that wants more than to be run.
pub(super) fn how(line: &Line) -> Result<How, String> {
    let mut how = How::Run;
    for words in line.commands() {
        let row = find(&words).ok_or_else(|| {
            format!(
                "{line}: `{}` is not known to the test: say in ROWS of tests/e2e/documents/table.rs how it is run",
                words.join(" ")
            )
        })?;
        if row.how != How::Run && how != How::Run {
            return Err(format!("{line}: two commands that want more than to be run: make it two lines"));
        }
        if row.how != How::Run {
            how = row.how;
        }
    }
    Ok(how)
}

#[test]
fn a_command_is_known_by_its_first_words() {
    let line = |text: &str| Line {
        document: "x.md".to_owned(),
        number: 7,
        section: String::new(),
        text: text.to_owned(),
    };
    assert_eq!(how(&line("A=1 jit-ssh-ca serve /x")), Ok(How::Serve));
    assert_eq!(how(&line("sshd -t && systemctl reload ssh")), Ok(How::Run));
    for unknown in ["rm -rf /", "systemctl stop ssh", "sshd -t && reboot", "jit-ssh", ""] {
        let error = how(&line(unknown)).unwrap_err();
        assert!(error.starts_with("x.md:7: ") && error.contains("table.rs"), "{error}");
    }
    assert!(how(&line("jit-ssh login && jit-ssh ssh a@b")).unwrap_err().contains("two lines"));
}
