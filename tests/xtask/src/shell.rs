//! Running other programs: found by name, shown before they run, refused in one sentence when they fail.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace, wherever xtask was called from.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .filter(|root| root.join("Cargo.lock").is_file())
        .map(Path::to_path_buf)
        .context("the workspace has moved since xtask was built: run it as `cargo xtask`")
}

/// The folder of the binaries that the dev profile builds: the one that xtask itself runs from.
pub(crate) fn dev_binaries() -> Result<PathBuf> {
    let own = env::current_exe().context("xtask cannot find its own file")?;
    own.parent().map(Path::to_path_buf).context("xtask's own file has no folder")
}

/// The folder of the binaries of another profile, beside the one of the dev profile.
pub(crate) fn release_binaries() -> Result<PathBuf> {
    Ok(target()?.join("release"))
}

/// The target folder, also when `CARGO_TARGET_DIR` has moved it.
pub(crate) fn target() -> Result<PathBuf> {
    let binaries = dev_binaries()?;
    binaries.parent().map(Path::to_path_buf).context("xtask must run from a target folder: `cargo xtask`")
}

/// The cargo that runs xtask, at the root of the workspace.
///
/// `cargo run` tells its program about the package it runs (`CARGO_PKG_NAME` and so on). Build scripts that watch
/// those variables would run again for every cargo below this one, so they stay behind.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME"
        });
        if told {
            command.env_remove(name);
        }
    }
    command.current_dir(root()?);
    Ok(command)
}

/// Looks a program up in `PATH` and in the folders of the system administrator, which `PATH` often lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_absolute() && file.is_file())
}

/// The command as a person would type it.
pub(crate) fn typed(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(name).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

/// One word for a POSIX shell.
pub(crate) fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Shows a command and runs it, its output going where ours goes; anything but success is an error.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", typed(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{}` could not be started", typed(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", typed(command));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_so_that_they_can_be_pasted() {
        let mut command = Command::new("/usr/bin/ssh");
        command.args(["-p", "22", "root@web-1", "echo it's \"fine\"", ""]);
        assert_eq!(typed(&command), r#"ssh -p 22 root@web-1 'echo it'\''s "fine"' ''"#);
    }

    #[test]
    fn a_program_that_fails_or_is_missing_is_an_error_that_names_it() {
        let failed = must(&mut Command::new("false")).unwrap_err();
        assert!(format!("{failed:#}").contains("`false` ended with exit status: 1"), "{failed:#}");
        let missing = must(&mut Command::new("/nowhere/at-all")).unwrap_err();
        assert!(format!("{missing:#}").contains("`at-all` could not be started"), "{missing:#}");
    }

    #[test]
    fn programs_are_found_in_path_only_when_they_are_files() {
        assert!(find("sh").is_some_and(|file| file.is_absolute()));
        assert_eq!(find("no-such-program-at-all"), None);
        assert_eq!(find(""), None, "a folder is no program");
    }
}
