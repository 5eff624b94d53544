//! `jit-ssh-ca key`: the keys of the CA, and one more for devices that match plain logins.

use anyhow::Context;
use jit_ssh_proto::Name;
use serde_json::json;
use ssh_key::HashAlg;

use super::{DataDir, print, say};
use crate::config::Layout;
use crate::signer::{Passphrase, add_key, public_halves};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make the key of a host or a group with principals = "login": it signs plain logins, for those that trust it
    Add {
        /// user-NAME, NAME being that host or group
        #[arg(value_name = "user-NAME")]
        name: Name,
        #[command(flatten)]
        data: DataDir,
    },
    /// List the keys with their fingerprints, and what each is for
    List {
        #[command(flatten)]
        data: DataDir,
        /// Print JSON, with the public key lines
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { name, data } => add(&name, &Layout::new(&data.dir)),
        Command::List { data, json } => list(&Layout::new(&data.dir), json),
    }
}

fn add(name: &Name, layout: &Layout) -> anyhow::Result<()> {
    let keys = layout.keys();
    crate::signer::ca_id(&keys).context("name a folder that `jit-ssh-ca init` made")?;
    let made = add_key(&keys, name, &Passphrase::obtain(false)?)?;
    let file = keys.join(format!("{name}.pub"));
    say(&format!("Made the key {name}, {}.", made.fingerprint(HashAlg::Sha256)));
    say(&format!(
        "Devices trust it by its public half, {}. Put a copy of {} where those of the others are.\n\
         Next: restart the server, which opens its keys at start.",
        file.display(),
        keys.join(name.as_str()).display()
    ));
    Ok(())
}

fn list(layout: &Layout, json: bool) -> anyhow::Result<()> {
    let keys = public_halves(&layout.keys())?;
    if json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| json!({ "name": key.name, "fingerprint": key.fingerprint, "key": key.line }))
            .collect();
        return Ok(print(&serde_json::to_string_pretty(&keys)?)?);
    }
    let width = keys.iter().map(|key| key.name.as_str().len()).max().unwrap_or_default();
    for key in keys {
        let name = key.name.as_str();
        print(&format!("{name:width$}  {}  {}", key.fingerprint, what_for(name)))?;
    }
    Ok(())
}

fn what_for(name: &str) -> &'static str {
    match name {
        "user" => "signs certificates for people and workloads",
        "host" => "signs host certificates",
        "trust" => "signs the trust bundle: clients and hosts pin it",
        "ledger" => "signs checkpoints of the ledger",
        _ => "signs plain logins, for the devices that trust it",
    }
}
