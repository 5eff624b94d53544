//! What a host's own files say: the principals file of a login and sshd's drop-in (DESIGN 4, 9). Text only;
//! `jit-ssh-host` writes it.

use alloc::string::String;
use core::fmt::Write;

use crate::{Account, Mode, Modifier, Modifiers, Name, Place, Principal};

/// The `AuthorizedPrincipalsFile` of one login: what it answers to.
///
/// Every line starts with `restrict` and adds back only its own. sshd stops at the first line that matches, so
/// the order is mode by mode, the host before its groups. `targets` are the hosts a bastion leads to; elsewhere
/// none.
#[must_use]
pub fn principals_file(login: &Name, host: &Name, groups: &[Name], targets: &[Name]) -> String {
    let mut out = String::new();
    let places =
        || core::iter::once(Place::Host(host.clone())).chain(groups.iter().cloned().map(Place::Group));
    for mode in [Mode::Shell, Mode::Exec, Mode::Sftp, Mode::Forward] {
        for modifiers in Modifiers::all_sets().filter(|set| set.is_empty() || mode.takes_modifiers()) {
            for place in places() {
                line(
                    &mut out,
                    &options(mode, modifiers),
                    mode,
                    modifiers,
                    Account { login: login.clone(), place },
                );
            }
        }
    }
    for target in targets {
        let options = alloc::format!(
            "restrict,port-forwarding,permitopen=\"{target}:22\",permitlisten=\"127.0.0.1:1\",command=\"false\""
        );
        let account = Account { login: login.clone(), place: Place::Host(target.clone()) };
        line(&mut out, &options, Mode::Jump, Modifiers::NONE, account);
    }
    out
}

fn line(out: &mut String, options: &str, mode: Mode, modifiers: Modifiers, account: Account) {
    if let Ok(principal) = Principal::new(mode, modifiers, account) {
        let _ = writeln!(out, "{options} {principal}");
    }
}

fn options(mode: Mode, modifiers: Modifiers) -> String {
    let mut options = String::from("restrict");
    if mode == Mode::Shell {
        options.push_str(",pty");
    }
    for modifier in modifiers.iter() {
        options.push_str(match modifier {
            Modifier::Agent => ",agent-forwarding",
            Modifier::Forward => ",port-forwarding",
            Modifier::X11 => ",X11-forwarding",
        });
    }
    options.push_str(match mode {
        // An exec certificate brings its own force-command; a line cannot know it.
        Mode::Shell | Mode::Exec => "",
        Mode::Sftp => ",command=\"internal-sftp\"",
        Mode::Forward | Mode::Jump => ",port-forwarding,command=\"false\"",
    });
    options
}

/// sshd's drop-in: `sshd_config.d/10-jit-ssh.conf`.
#[derive(Clone, Debug)]
pub struct DropIn<'a> {
    /// The folder with `user_ca.pub`, `revoked.krl` and `principals/`, absolute.
    pub folder: &'a str,
}

impl DropIn<'_> {
    /// The file's text. `ForceCommand` is never set: it would override the certificates' own.
    #[must_use]
    pub fn render(&self) -> String {
        let folder = self.folder;
        alloc::format!(
            "# Written by jit-ssh-host. Only certificates of this CA, only what principals/LOGIN lists.\n\
             TrustedUserCAKeys {folder}/user_ca.pub\n\
             AuthorizedPrincipalsFile {folder}/principals/%u\n\
             RevokedKeys {folder}/revoked.krl\n\
             AllowStreamLocalForwarding no\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn every_line_restricts_and_names_one_principal() {
        let file = principals_file(&name("deploy"), &name("web-1"), &[name("web")], &[]);
        let lines: Vec<_> = file.lines().collect();
        assert_eq!(lines.len(), 2 * (8 + 8 + 1 + 1));
        for line in &lines {
            let (options, principal) = line.rsplit_once(' ').unwrap();
            assert!(options.starts_with("restrict"), "{line}");
            assert!(principal.parse::<Principal>().is_ok(), "{line}");
        }
        assert_eq!(lines[0], "restrict,pty shell:deploy@web-1");
        assert_eq!(lines[1], "restrict,pty shell:deploy@group/web");
        assert_eq!(lines[2], "restrict,pty,agent-forwarding shell+agent:deploy@web-1");
        assert!(lines.contains(&"restrict exec:deploy@web-1"));
        assert!(lines.contains(&"restrict,command=\"internal-sftp\" sftp:deploy@web-1"));
        assert!(lines.contains(&"restrict,port-forwarding,command=\"false\" forward:deploy@web-1"));
    }

    #[test]
    fn a_bastion_leads_to_its_targets_only() {
        let file = principals_file(&name("jump"), &name("bastion"), &[], &[name("db.example.com")]);
        assert!(file.ends_with(
            "restrict,port-forwarding,permitopen=\"db.example.com:22\",permitlisten=\"127.0.0.1:1\",command=\"false\" jump:jump@db.example.com\n"
        ));
    }
}
