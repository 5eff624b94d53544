//! A data directory as `initdb` makes it, made once a checkout and copied for every server: copying takes a tenth of
//! the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{Programs, USER, target};

/// Part of the template's name: another number when `initdb` is told something else.
const REVISION: u32 = 1;

/// The template, made if it is not there. Whoever is first puts it in place; the others' is thrown away.
pub(crate) fn ready(programs: &Programs) -> Result<PathBuf> {
    let name = format!("postgres-{}.{REVISION}", programs.version());
    let place = target().join(&name);
    if place.is_dir() {
        return Ok(place);
    }
    let folder = tempfile::tempdir()?;
    programs.give(folder.path())?;
    let made = folder.path().join("data");
    let mut initdb = programs.command("initdb");
    // It is copied when it is needed: nothing is lost if the machine stops now. Small segments make it small.
    initdb.args([
        "-A",
        "trust",
        "-U",
        USER,
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--wal-segsize=1",
    ]);
    let output =
        initdb.arg("-D").arg(&made).stdin(Stdio::null()).output().context("initdb cannot be started")?;
    if !output.status.success() {
        bail!("initdb: {}", String::from_utf8_lossy(&output.stderr));
    }
    // Beside its place, so that it gets there in one step.
    let beside = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(target())?;
    let whole = beside.path().join("data");
    copy_tree(&made, &whole, &|_| Ok(()))?;
    match fs::rename(&whole, &place) {
        Ok(()) => Ok(place),
        Err(_) if place.is_dir() => Ok(place),
        Err(error) => Err(error).with_context(|| format!("{} cannot be put in place", place.display())),
    }
}

/// Copies a data directory, which then is the user's who runs the server.
pub(crate) fn copy(from: &Path, to: &Path, programs: &Programs) -> Result<()> {
    copy_tree(from, to, &|path| programs.give(path))
}

fn copy_tree(from: &Path, to: &Path, give: &impl Fn(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    give(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target, give)?;
        } else {
            fs::copy(entry.path(), &target)?;
            give(&target)?;
        }
    }
    Ok(())
}
