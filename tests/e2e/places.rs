//! One certificate for several hosts: each by its name, a group by its own, devices by plain logins under an authority
//! of their own. On a real CA, and on real sshds with the files of `jit-ssh-host files` or with none.

mod devices;
mod groups;

use std::fs;
use std::path::Path;

use jit_ssh_proto::wire::Issued;
use jit_ssh_proto::{Mode, Problem};
use jit_ssh_tests::api::{Key, Session, Signing, access_body};
use jit_ssh_tests::certificates::{Identity, write_key};

use crate::stand::{Server, Site};

/// Everything for the group sre, which is everybody here.
const POLICY: &str = r#"
@id("sre") @ttl("1h")
permit (principal in Group::"sre", action in [Action::"shell", Action::"exec", Action::"sftp", Action::"forward"], resource);
@id("not-yours")
forbid (principal, action, resource in HostGroup::"closed");
"#;

/// A CA with this inventory, `LOGIN` being the login that an sshd here can open, and these limits.
fn site(login: &str, inventory: &str, limits: &str) -> Site {
    let site = Site::new();
    site.write("inventory/hosts.toml", &inventory.replace("LOGIN", login));
    site.write("policies/10-starter.cedar", POLICY);
    site.write("ca.toml", &format!("{}\n[limits]\n{limits}\n", site.config()));
    site
}

/// Asks for a shell on these accounts; another mode with its command if there is one.
fn ask(
    site: &Site,
    server: &Server,
    session: &Session,
    key: &Key,
    accounts: &[&str],
    mode: (Mode, Option<&str>),
) -> Result<Issued, Problem> {
    let signing = Signing::new(&site.ca, &session.key, Some(&session.id));
    let mut body = access_body(&site.ca, &session.key, key, signing.id).unwrap();
    body.accounts = accounts.iter().map(ToString::to_string).collect();
    body.mode = mode.0;
    body.command = mode.1.map(str::to_owned);
    let call = signing.call("POST", "/v1/requests", serde_json::to_vec(&body).unwrap()).unwrap();
    let answer = server.send(&call.with("authorization", &session.bearer()));
    match answer.status {
        201 => Ok(answer.json().unwrap()),
        _ => Err(answer.json().unwrap()),
    }
}

/// A certificate for these accounts and its key, as files below this folder.
fn issue(site: &Site, server: &Server, session: &Session, folder: &Path, accounts: &[&str]) -> Identity {
    issue_for(site, server, session, folder, accounts, (Mode::Shell, None))
}

fn issue_for(
    site: &Site,
    server: &Server,
    session: &Session,
    folder: &Path,
    accounts: &[&str],
    mode: (Mode, Option<&str>),
) -> Identity {
    let key = Key::new().unwrap();
    let issued = ask(site, server, session, &key, accounts, mode).unwrap();
    let file = folder.join(format!("id-{}", issued.grant));
    write_key(&file, &key.private).unwrap();
    let certificate = folder.join(format!("id-{}-cert.pub", issued.grant));
    fs::write(&certificate, issued.certificate).unwrap();
    Identity { key: file, certificate }
}
