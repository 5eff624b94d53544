//! `jit-ssh-ca policy format`: one layout for all, so that a review sees what changed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use jit_ssh_core::policy::{PolicySource, format};

use super::super::print;
use super::files::{Files, replace};
use super::found::{Found, count};
use crate::config::{file_name, read_all};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Policy files, or folders of them; of a folder that has policies/, those in it
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Change nothing: name the files that are laid out otherwise, and fail if there are any
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for path in &args.paths {
        if path.is_dir() {
            let policies = Files::of(path).policies;
            files.extend(read_all(if policies.is_dir() { &policies } else { path }, "cedar")?);
        } else {
            let text =
                fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            files.push((path.clone(), text));
        }
    }
    // All of them or none.
    let mut laid_out = Vec::new();
    let mut refused = Vec::new();
    for (path, text) in files {
        let source = PolicySource { file: file_name(&path), text };
        match format(&source) {
            Ok(text) if text == source.text => {}
            Ok(text) => laid_out.push((path, text)),
            Err(error) => {
                let folder = path.parent().map(PathBuf::from).unwrap_or_default();
                refused.push(Found::policy(&folder, &error, &[source]).to_string());
            }
        }
    }
    if !refused.is_empty() {
        bail!("{}; no file was changed\n{}", count(refused.len(), "error"), refused.join("\n"));
    }
    for (path, text) in &laid_out {
        if !args.check {
            replace(path, text)?;
        }
        print(&path.display().to_string())?;
    }
    if args.check && !laid_out.is_empty() {
        bail!("{} laid out otherwise: run `jit-ssh-ca policy format`", count(laid_out.len(), "file"));
    }
    Ok(())
}
