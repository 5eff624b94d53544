//! What the demo says: a heading for each step, the command as a person would type it, what it printed, and the
//! claim that was just checked.

use std::path::Path;
use std::process::Command;

use crate::shell;

/// Says things on stdout, and counts the claims that held.
pub(crate) struct Narrator {
    /// The demo's folder, which commands show as `$D` to stay readable.
    folder: String,
    scenes: u32,
    held: u32,
}

impl Narrator {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.display().to_string(), scenes: 0, held: 0 }
    }

    /// A new step of the walk.
    pub(crate) fn scene(&mut self, title: &str) {
        self.scenes += 1;
        println!("\n{}. {title}", self.scenes);
    }

    /// A command that is about to run.
    pub(crate) fn command(&self, command: &Command) {
        self.typed(&shell::typed(command));
    }

    /// A command, as text.
    pub(crate) fn typed(&self, text: &str) {
        println!("   $ {}", text.replace(&self.folder, "$D"));
    }

    /// What a command printed.
    pub(crate) fn output(&self, text: &str) {
        for line in text.lines() {
            println!("   {line}");
        }
    }

    /// Something that was checked just now and holds.
    pub(crate) fn held(&mut self, claim: &str) {
        self.held += 1;
        println!("   -> {claim}");
    }

    /// An aside.
    pub(crate) fn say(&self, text: &str) {
        println!("{text}");
    }

    /// How many claims were checked.
    pub(crate) fn claims(&self) -> u32 {
        self.held
    }
}
