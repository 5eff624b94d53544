//! The certificates held on this machine: a public record and certificate file each, and the private key where no
//! agent took it. What has expired is removed, on every invocation and by a process that waits for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_ssh_proto::{Account, CaId, Command, Mode, Modifier, Place, Timestamp};
use serde::{Deserialize, Serialize};
use ssh_key::{Certificate, LineEnding, PrivateKey};

use crate::agent::Agent;
use crate::certificate;
use crate::error::{Error, Result};
use crate::paths::{self, Paths};

/// What a held certificate was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purpose {
    /// The CA.
    pub(crate) ca_id: CaId,
    /// The accounts, in the order asked.
    pub(crate) accounts: Vec<Account>,
    /// The mode.
    pub(crate) mode: Mode,
    /// Its modifiers, in order.
    pub(crate) modifiers: Vec<Modifier>,
    /// The command of `exec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    purpose: Purpose,
    grant: String,
    /// How each host is reached, `ADDRESS[:PORT]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    addresses: BTreeMap<String, String>,
    /// The hosts of each group of hosts, as the CA said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    members: BTreeMap<String, Vec<String>>,
    in_agent: bool,
    certificate: String,
}

/// A certificate at hand.
pub(crate) struct Held {
    folder: PathBuf,
    id: String,
    record: Record,
    certificate: Certificate,
}

/// Accounts in a sentence or a cell: the first ones, and how many more.
pub(crate) fn named(accounts: &[Account]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = accounts.iter().take(SHOWN).map(ToString::to_string).collect();
    let shown = shown.join(" ");
    match accounts.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A checked certificate on its way in.
pub(crate) struct Incoming<'a> {
    /// What it was asked for.
    pub(crate) purpose: Purpose,
    /// `grt_…`, checked to be one.
    pub(crate) grant: String,
    /// How each host is reached.
    pub(crate) addresses: BTreeMap<String, String>,
    /// The hosts of each group of hosts.
    pub(crate) members: BTreeMap<String, Vec<String>>,
    /// The certificate.
    pub(crate) certificate: Certificate,
    /// Its key.
    pub(crate) key: &'a PrivateKey,
}

impl Held {
    /// What it was asked for.
    pub(crate) fn purpose(&self) -> &Purpose {
        &self.record.purpose
    }

    /// The certificate.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The grant it was issued under.
    pub(crate) fn grant(&self) -> &str {
        &self.record.grant
    }

    /// How a host is reached, `ADDRESS[:PORT]`.
    pub(crate) fn address(&self, host: &str) -> Option<&str> {
        self.record.addresses.get(host).map(String::as_str)
    }

    /// How each host is reached, where the CA knows.
    pub(crate) fn addresses(&self) -> &BTreeMap<String, String> {
        &self.record.addresses
    }

    /// The hosts of each group of hosts.
    pub(crate) fn members(&self) -> &BTreeMap<String, Vec<String>> {
        &self.record.members
    }

    /// Every account of a host that it is good for: those asked for, and those of the members of groups.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        let mut accounts = Vec::new();
        for asked in &self.record.purpose.accounts {
            match &asked.place {
                Place::Host(_) => accounts.push(asked.clone()),
                Place::Group(_) => {
                    let hosts = self.record.members.get(&asked.to_string()).into_iter().flatten();
                    let hosts = hosts.filter_map(|host| host.parse().ok());
                    let place = |host| Account { login: asked.login.clone(), place: Place::Host(host) };
                    accounts.extend(hosts.map(place));
                }
            }
        }
        accounts
    }

    /// Its end.
    pub(crate) fn valid_before(&self) -> Timestamp {
        Timestamp::from_seconds(self.certificate.valid_before())
    }

    /// Whether the key is in an agent rather than in a file.
    pub(crate) fn in_agent(&self) -> bool {
        self.record.in_agent
    }

    /// The certificate as a file.
    pub(crate) fn certificate_file(&self) -> PathBuf {
        self.folder.join(format!("{}-cert.pub", self.id))
    }

    /// The private key as a file, where no agent has it.
    pub(crate) fn key_file(&self) -> Option<PathBuf> {
        (!self.record.in_agent).then(|| self.folder.join(&self.id))
    }

    /// Whether it can be used now: its files are there, and its key is where it was put.
    pub(crate) fn usable(&self) -> bool {
        let key = match self.key_file() {
            Some(file) => file.exists(),
            None => Agent::from_env().is_some_and(|agent| agent.holds(&self.certificate)),
        };
        key && self.certificate_file().exists()
    }

    /// Removes it from disk and agent.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.record.in_agent
            && let Some(agent) = Agent::from_env()
            && agent.holds(&self.certificate)
        {
            agent.remove(&self.certificate).map_err(|e| {
                Error::Local(format!("the ssh-agent does not give up {}: {e}; run ssh-add -D", self.id))
            })?;
        }
        remove_files(&self.folder, &self.id)
    }
}

/// Takes a certificate in: into the agent if there is one that works, else into files. Says why an agent did not
/// take it.
pub(crate) fn store(
    paths: &Paths,
    agent: Option<&Agent>,
    incoming: Incoming<'_>,
    now: Timestamp,
) -> Result<(Held, Option<String>)> {
    let folder = paths.held()?;
    let id = format!("{}-{}", incoming.grant, incoming.certificate.serial());
    let line = incoming
        .certificate
        .to_openssh()
        .map_err(|e| Error::Local(format!("cannot write the certificate: {e}")))?;
    let seconds = incoming.certificate.valid_before().saturating_sub(now.seconds());
    let lifetime = u32::try_from(seconds).ok().filter(|s| *s > 0);
    let (in_agent, agent_said) = match (agent, lifetime) {
        (Some(agent), Some(lifetime)) => match agent.add(&incoming.certificate, incoming.key, lifetime) {
            Ok(()) => (true, None),
            Err(why) => (false, Some(why)),
        },
        (None | Some(_), _) => (false, None),
    };
    let record = Record {
        purpose: incoming.purpose,
        grant: incoming.grant,
        addresses: incoming.addresses,
        members: incoming.members,
        in_agent,
        certificate: line.clone(),
    };
    let held = Held { folder, id, record, certificate: incoming.certificate };
    let json = serde_json::to_vec(&held.record)
        .map_err(|e| Error::Local(format!("cannot write the certificate's record: {e}")))?;
    // The record first: files without one are swept away.
    paths::write(&held.folder.join(format!("{}.json", held.id)), &json)?;
    if let Some(file) = held.key_file() {
        let pem = incoming
            .key
            .to_openssh(LineEnding::LF)
            .map_err(|e| Error::Local(format!("cannot write the certificate's key: {e}")))?;
        paths::write(&file, pem.as_bytes())?;
    }
    paths::write(&held.certificate_file(), format!("{line}\n").as_bytes())?;
    Ok((held, agent_said))
}

/// What is held and has not expired, soonest end first.
pub(crate) fn list(paths: &Paths, now: Timestamp) -> Result<Vec<Held>> {
    let folder = paths.held()?;
    let mut held: Vec<Held> = names(&folder)?
        .iter()
        .filter_map(|name| name.strip_suffix(".json"))
        .filter_map(|id| load(&folder, id))
        .filter(|held| held.valid_before() > now)
        .collect();
    held.sort_by_key(Held::valid_before);
    Ok(held)
}

/// Removes what has expired and what belongs to nothing. Returns when the next private key is due.
pub(crate) fn sweep(paths: &Paths, now: Timestamp) -> Result<Option<Timestamp>> {
    let folder = paths.held()?;
    let mut next: Option<Timestamp> = None;
    let mut kept = Vec::new();
    for name in names(&folder)? {
        let Some(id) = name.strip_suffix(".json") else { continue };
        match load(&folder, id) {
            Some(held) if held.valid_before() > now => {
                if held.key_file().is_some_and(|file| file.exists()) {
                    next = Some(next.map_or(held.valid_before(), |n| n.min(held.valid_before())));
                }
                kept.push(id.to_owned());
            }
            Some(_) | None => remove_files(&folder, id)?,
        }
    }
    for name in names(&folder)? {
        let owner = name.strip_suffix("-cert.pub").or(name.strip_suffix(".json")).unwrap_or(&name);
        // A record may have been written since: look again rather than take away what is new.
        if !kept.iter().any(|id| id == owner) && !folder.join(format!("{owner}.json")).exists() {
            let path = folder.join(&name);
            if !name.starts_with('.') || stale(&path) {
                paths::remove(&path)?;
            }
        }
    }
    Ok(next)
}

/// Whether a half-written file has been left behind: nothing takes an hour to write.
fn stale(path: &Path) -> bool {
    let age = fs::metadata(path).ok().and_then(|m| m.modified().ok()).and_then(|t| t.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_secs(3600))
}

fn load(folder: &Path, id: &str) -> Option<Held> {
    let text = paths::read(&folder.join(format!("{id}.json")), 0o077).ok()??;
    let record: Record = serde_json::from_slice(&text).ok()?;
    let certificate = certificate::parse(&record.certificate).ok()?;
    Some(Held { folder: folder.to_owned(), id: id.to_owned(), record, certificate })
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io("list", folder, &e))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// The key goes first and the record last: what is interrupted is found again.
fn remove_files(folder: &Path, id: &str) -> Result<()> {
    paths::remove(&folder.join(id))?;
    paths::remove(&folder.join(format!("{id}-cert.pub")))?;
    paths::remove(&folder.join(format!("{id}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CA, NOW, key};
    use ssh_key::certificate::{Builder, CertType};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn keep(paths: &Paths, serial: u64, end: u64) -> Held {
        let mut builder =
            Builder::new(vec![1; 32], key(2).public_key().key_data().clone(), NOW - 60, end).unwrap();
        builder.cert_type(CertType::User).unwrap().serial(serial).unwrap().key_id("k").unwrap();
        builder.valid_principal("shell:deploy@web-1").unwrap();
        let incoming = Incoming {
            purpose: Purpose {
                ca_id: CA,
                accounts: vec!["deploy@web-1".parse().unwrap()],
                mode: Mode::Shell,
                modifiers: vec![Modifier::Agent],
                command: None,
            },
            grant: "grt_x".into(),
            addresses: BTreeMap::from([("web-1".into(), "127.0.0.1:22".into())]),
            members: BTreeMap::new(),
            certificate: builder.sign(&key(1)).unwrap(),
            key: &key(2),
        };
        store(paths, None, incoming, at(NOW)).unwrap().0
    }

    fn files(paths: &Paths) -> Vec<String> {
        let mut names = names(&paths.held().unwrap()).unwrap();
        names.sort();
        names
    }

    #[test]
    fn kept_until_the_end_and_not_a_second_longer() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        let (long, short) = (keep(&paths, 1, NOW + 1800), keep(&paths, 2, NOW + 600));
        let listed: Vec<u64> =
            list(&paths, at(NOW)).unwrap().iter().map(|h| h.certificate().serial()).collect();
        assert_eq!(listed, [2, 1]);
        assert!(long.usable() && short.usable());
        assert_eq!(sweep(&paths, at(NOW + 599)).unwrap(), Some(at(NOW + 600)));
        assert_eq!(sweep(&paths, at(NOW + 600)).unwrap(), Some(at(NOW + 1800)));
        assert!(long.usable() && !short.usable());
        assert_eq!(files(&paths), ["grt_x-1", "grt_x-1-cert.pub", "grt_x-1.json"]);
        // What has expired is not listed, swept or not.
        assert!(list(&paths, at(NOW + 1800)).unwrap().is_empty());
        long.remove().unwrap();
        long.remove().unwrap();
        assert_eq!(sweep(&paths, at(NOW)).unwrap(), None);
        assert!(files(&paths).is_empty());
    }

    #[test]
    fn what_belongs_to_nothing_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        keep(&paths, 1, NOW + 1800);
        let held = paths.held().unwrap();
        let good = fs::read_to_string(held.join("grt_x-1.json")).unwrap();
        for (name, contents) in [
            ("grt_lost", "a key without a record"),
            ("grt_lost-cert.pub", "x"),
            ("grt_bad.json", "{}"),
            ("grt_more.json", &good.replace("{\"purpose\"", "{\"more\":1,\"purpose\"")),
            ("grt_cut.json", &good.replace("ssh-ed25519-cert", "ssh-ed25519-cart")),
        ] {
            paths::write(&held.join(name), contents.as_bytes()).unwrap();
        }
        // Being written at this moment, by another process.
        paths::write(&held.join(".grt_new.json.1"), b"").unwrap();
        assert_eq!(list(&paths, at(NOW)).unwrap().len(), 1);
        sweep(&paths, at(NOW)).unwrap();
        assert_eq!(files(&paths), [".grt_new.json.1", "grt_x-1", "grt_x-1-cert.pub", "grt_x-1.json"]);
    }
}
