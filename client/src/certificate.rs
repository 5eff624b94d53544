//! The check of a certificate that the CA sent, before anything is done with it: ours, signed by an authority of
//! the pinned trust bundle, and saying exactly what was asked. Also the words for what a certificate says.

use std::collections::{BTreeMap, BTreeSet};

use jit_ssh_proto::{
    Account, AuthorityEntry, Command, Mode, Modifiers, Name, Place, Principal, Span, Timestamp, TrustBundle,
};
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};

/// No certificate of a CA lives longer (DESIGN 4), plus the minute that it reaches back.
const LONGEST: u64 = 24 * 3600 + 60;
/// How far this machine's clock may be from the CA's.
const SKEW: Span = Span::from_seconds(60);

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// The key that was to be certified.
    pub(crate) key: &'a PublicKey,
    /// The accounts.
    pub(crate) accounts: &'a [Account],
    /// The hosts of each group of hosts among them, as the CA says.
    pub(crate) members: &'a BTreeMap<String, Vec<String>>,
    /// The mode.
    pub(crate) mode: Mode,
    /// Its modifiers.
    pub(crate) modifiers: Modifiers,
    /// The command of `exec`.
    pub(crate) command: Option<&'a Command>,
    /// The duration, if one was asked for.
    pub(crate) duration: Option<Span>,
}

/// Reads one certificate line. Only the canonical encoding is one.
pub(crate) fn parse(line: &str) -> Result<Certificate, String> {
    let line = line.trim();
    if line.len() > 64 * 1024 || line.contains(['\n', '\r']) {
        return Err("is not one certificate line".into());
    }
    let certificate =
        Certificate::from_openssh(line).map_err(|_| "is not an OpenSSH certificate".to_owned())?;
    let blob = line.split(' ').nth(1).unwrap_or_default();
    let blob = data_encoding::BASE64.decode(blob.as_bytes()).unwrap_or_default();
    match certificate.to_bytes() {
        Ok(bytes) if bytes == blob => Ok(certificate),
        Ok(_) | Err(_) => Err("is not encoded the one way in which OpenSSH writes certificates".into()),
    }
}

/// The authority of the bundle that signed the certificate and may sign user certificates.
pub(crate) fn authority<'a>(
    certificate: &Certificate,
    bundle: &'a TrustBundle,
) -> Option<&'a AuthorityEntry> {
    bundle.authorities.iter().find(|entry| {
        let key: Option<KeyData> = PublicKey::from_openssh(&entry.key).ok().map(|k| k.key_data().clone());
        entry.kind == "user" && key.as_ref() == Some(certificate.signature_key())
    })
}

/// Checks a certificate against what was asked.
///
/// # Errors
/// Half a sentence on what is wrong, to follow "the certificate".
pub(crate) fn check(
    certificate: &Certificate,
    expected: &Expected<'_>,
    bundle: &TrustBundle,
    now: Timestamp,
) -> Result<(), String> {
    if certificate.cert_type() != CertType::User {
        return Err("is not a user certificate".into());
    }
    if certificate.public_key() != expected.key.key_data() {
        return Err("is for another key than the one sent".into());
    }
    let Some(authority) = authority(certificate, bundle) else {
        return Err("is signed by a key that the CA's trust bundle does not list for users".into());
    };
    certificate.verify_signature().map_err(|_| "has a signature that does not verify".to_owned())?;
    if certificate.serial() == 0 {
        return Err("has serial 0, which cannot be revoked".into());
    }
    check_principals(certificate, expected, authority)?;
    check_window(certificate, expected.duration, now)?;
    check_command(certificate, expected)
}

fn check_principals(
    certificate: &Certificate,
    expected: &Expected<'_>,
    authority: &AuthorityEntry,
) -> Result<(), String> {
    let wrong = || Err("is for other accounts, another mode or other modifiers than asked for".to_owned());
    let principals: BTreeSet<&str> = certificate.valid_principals().iter().map(String::as_str).collect();
    // Devices that match nothing but login names trust an authority of their own.
    if authority.name.starts_with("user-") {
        let logins: BTreeSet<&str> = expected.accounts.iter().map(|account| account.login.as_str()).collect();
        return if principals == logins { Ok(()) } else { wrong() };
    }
    let mut found = BTreeSet::new();
    for principal in principals {
        match principal.parse::<Principal>() {
            Ok(p) if p.mode() == expected.mode && p.modifiers() == expected.modifiers => {
                found.insert(p.account().clone());
            }
            Ok(_) | Err(_) => return wrong(),
        }
    }
    // A group stands there by its own name, or by those of its hosts: which these are is the inventory's business.
    let asked: BTreeSet<Account> = expected.accounts.iter().cloned().collect();
    let (Some(wanted), Some(reached)) =
        (hosts_of(&asked, expected.members), hosts_of(&found, expected.members))
    else {
        return wrong();
    };
    let decided = |account: &Account| {
        asked.contains(account) || (matches!(account.place, Place::Host(_)) && wanted.contains(account))
    };
    if wanted == reached && found.iter().all(decided) { Ok(()) } else { wrong() }
}

/// The accounts with groups replaced by what the CA says is in them; none if it says that of a group that is not one.
fn hosts_of(
    accounts: &BTreeSet<Account>,
    members: &BTreeMap<String, Vec<String>>,
) -> Option<BTreeSet<Account>> {
    let mut hosts = BTreeSet::new();
    for account in accounts {
        match (&account.place, members.get(&account.to_string())) {
            (Place::Group(_), Some(names)) if !names.is_empty() => {
                for name in names {
                    let place = Place::Host(name.parse().ok()?);
                    hosts.insert(Account { login: account.login.clone(), place });
                }
            }
            (Place::Host(_), None) => {
                hosts.insert(account.clone());
            }
            (Place::Group(_), Some(_) | None) | (Place::Host(_), Some(_)) => return None,
        }
    }
    Some(hosts)
}

fn check_window(certificate: &Certificate, duration: Option<Span>, now: Timestamp) -> Result<(), String> {
    let (after, before) = (certificate.valid_after(), certificate.valid_before());
    if before <= now.seconds() {
        return Err("has expired already: check this machine's clock".into());
    }
    if after > now.plus(SKEW).seconds() {
        return Err("is not valid yet: check this machine's clock".into());
    }
    if before.saturating_sub(after) > LONGEST {
        return Err("is valid for more than a day".into());
    }
    if duration.is_some_and(|asked| before > now.plus(asked).plus(SKEW).seconds()) {
        return Err("is valid for longer than asked for: check this machine's clock".into());
    }
    Ok(())
}

fn check_command(certificate: &Certificate, expected: &Expected<'_>) -> Result<(), String> {
    let forced = certificate.critical_options().get("force-command").map(String::as_str);
    let fits = match expected.mode {
        Mode::Shell => forced.is_none(),
        Mode::Exec => forced.is_some() && forced == expected.command.map(Command::as_str),
        Mode::Sftp | Mode::Forward | Mode::Jump => forced.is_some(),
    };
    if fits { Ok(()) } else { Err("forces another command than the one asked for".into()) }
}

/// What one principal allows, in words: `a shell as deploy on web-1`.
pub(crate) fn words(principal: &Principal) -> String {
    let what = match principal.mode() {
        Mode::Shell => "a shell",
        Mode::Exec => "one command",
        Mode::Sftp => "file transfer",
        Mode::Forward => "port forwarding only",
        Mode::Jump => "a jump through a bastion",
    };
    let modifiers: Vec<&str> = principal
        .modifiers()
        .iter()
        .map(|modifier| match modifier {
            jit_ssh_proto::Modifier::Agent => "agent forwarding",
            jit_ssh_proto::Modifier::Forward => "port forwarding",
            jit_ssh_proto::Modifier::X11 => "X11",
        })
        .collect();
    let with =
        if modifiers.is_empty() { String::new() } else { format!(" with {}", modifiers.join(" and ")) };
    let place = |name: &Name| name.as_str().to_owned();
    let place = match &principal.account().place {
        Place::Host(name) => place(name),
        Place::Group(name) => format!("any host of group {}", place(name)),
    };
    format!("{what}{with} as {} on {place}", principal.account().login)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, bundle, key};
    use ssh_key::PrivateKey;
    use ssh_key::certificate::Builder;

    type Change = fn(&mut Spec);

    struct Spec {
        signer: PrivateKey,
        subject: PrivateKey,
        cert_type: CertType,
        serial: u64,
        principals: Vec<&'static str>,
        window: (u64, u64),
        force: Option<&'static str>,
    }

    fn spec() -> Spec {
        Spec {
            signer: key(1),
            subject: key(2),
            cert_type: CertType::User,
            serial: 7,
            principals: vec!["shell:deploy@web-1"],
            window: (NOW - 60, NOW + 1800),
            force: None,
        }
    }

    fn build(spec: &Spec) -> Certificate {
        let mut builder = Builder::new(
            vec![1; 32],
            spec.subject.public_key().key_data().clone(),
            spec.window.0,
            spec.window.1,
        )
        .unwrap();
        builder
            .cert_type(spec.cert_type)
            .unwrap()
            .serial(spec.serial)
            .unwrap()
            .key_id("corp/ada/grt")
            .unwrap();
        for principal in &spec.principals {
            builder.valid_principal(*principal).unwrap();
        }
        if let Some(force) = spec.force {
            builder.critical_option("force-command", force).unwrap();
        }
        builder.sign(&spec.signer).unwrap()
    }

    fn checked(spec: &Spec, mode: Mode, command: Option<&str>) -> Result<(), String> {
        asked(spec, &["deploy@web-1"], &[], mode, command)
    }

    /// What comes of a certificate for these accounts, where the CA says that these groups have these hosts.
    fn asked(
        spec: &Spec,
        accounts: &[&str],
        members: &[(&str, &[&str])],
        mode: Mode,
        command: Option<&str>,
    ) -> Result<(), String> {
        let (host, device) = (key(3), key(4));
        let bundle =
            bundle(&[("user", "user", &key(1)), ("host", "host", &host), ("user-switches", "user", &device)]);
        let command: Option<Command> = command.map(|c| c.parse().unwrap());
        let subject = key(2);
        let accounts: Vec<Account> = accounts.iter().map(|a| a.parse().unwrap()).collect();
        let hosts = |hosts: &[&str]| hosts.iter().map(ToString::to_string).collect();
        let members: BTreeMap<String, Vec<String>> =
            members.iter().map(|(group, names)| ((*group).to_owned(), hosts(names))).collect();
        let expected = Expected {
            key: subject.public_key(),
            accounts: &accounts,
            members: &members,
            mode,
            modifiers: Modifiers::NONE,
            command: command.as_ref(),
            duration: Some(Span::from_seconds(1800)),
        };
        check(&build(spec), &expected, &bundle, Timestamp::from_seconds(NOW))
    }

    #[test]
    fn certificates_that_are_refused() {
        let table: &[(Change, &str)] = &[
            (|s| s.subject = key(9), "another key"),
            (|s| s.signer = key(9), "does not list"),
            (|s| s.signer = key(3), "does not list"),
            (|s| s.cert_type = CertType::Host, "not a user certificate"),
            (|s| s.serial = 0, "serial 0"),
            (|s| s.principals = vec!["deploy"], "other accounts"),
            (|s| s.principals = vec!["shell:root@web-1"], "other accounts"),
            (|s| s.principals = vec!["shell:deploy@web-2"], "other accounts"),
            (|s| s.principals = vec!["shell+agent:deploy@web-1"], "other accounts"),
            (|s| s.principals = vec!["sftp:deploy@web-1"], "other accounts"),
            (|s| s.principals = vec!["shell:deploy@web-1", "shell:root@web-1"], "other accounts"),
            (|s| s.window = (NOW - 60, NOW), "expired"),
            (|s| s.window = (NOW + 61, NOW + 90), "not valid yet"),
            (|s| s.window = (NOW - 60, NOW + 1861), "longer than asked"),
            (|s| s.window = (NOW - 86_400, NOW + 1800), "more than a day"),
            (|s| s.force = Some("id"), "another command"),
            // The login-style authority speaks for devices only.
            (|s| s.signer = key(4), "other accounts"),
        ];
        assert_eq!(checked(&spec(), Mode::Shell, None), Ok(()));
        for (at, (change, why)) in table.iter().enumerate() {
            let mut spec = spec();
            change(&mut spec);
            let error = checked(&spec, Mode::Shell, None).unwrap_err();
            assert!(error.contains(why), "row {at}: {error}");
        }
    }

    #[test]
    fn several_hosts_and_groups_of_hosts() {
        let web: (&str, &[&str]) = ("deploy@group/web", &["web-1", "web-2"]);
        let certificate = |principals: &[&'static str]| Spec { principals: principals.to_vec(), ..spec() };
        for (accounts, members, principals, good) in [
            (
                &["deploy@web-1", "deploy@web-2"][..],
                &[][..],
                &["shell:deploy@web-1", "shell:deploy@web-2"][..],
                true,
            ),
            (&["deploy@web-1", "deploy@web-2"], &[], &["shell:deploy@web-1"], false),
            (&["deploy@web-1"], &[], &["shell:deploy@web-1", "shell:deploy@web-2"], false),
            (&["deploy@web-1"], &[], &["shell:deploy@group/web"], false),
            // Whatever the CA says is in it, it was not asked for.
            (&["deploy@web-1"], &[web], &["shell:deploy@group/web"], false),
            (&["deploy@web-1"], &[web], &["shell:deploy@web-1", "shell:deploy@web-2"], false),
            (&["deploy@group/web"], &[web], &["shell:deploy@group/web"], true),
            (&["deploy@group/web"], &[web], &["shell:deploy@web-1", "shell:deploy@web-2"], true),
            (&["deploy@group/web"], &[web], &["shell:deploy@web-1"], false),
            (&["deploy@group/web"], &[web], &["shell:deploy@group/web", "shell:deploy@web-3"], false),
            (&["deploy@group/web"], &[web], &["shell:deploy@group/web", "shell:deploy@group/prod"], false),
            (&["deploy@group/web"], &[web], &["shell:root@group/web"], false),
            (&["deploy@group/web"], &[web], &["sftp:deploy@group/web"], false),
            (&["deploy@group/web"], &[("deploy@group/web", &[])], &["shell:deploy@group/web"], false),
            (&["deploy@group/web"], &[], &["shell:deploy@group/web"], false),
            (&["deploy@group/web", "deploy@web-1"], &[web], &["shell:deploy@group/web"], true),
            (&["deploy@group/web", "root@web-1"], &[web], &["shell:deploy@group/web"], false),
            (
                &["deploy@group/web", "root@web-1"],
                &[web],
                &["shell:deploy@group/web", "shell:root@web-1"],
                true,
            ),
        ] {
            let checked = asked(&certificate(principals), accounts, members, Mode::Shell, None);
            assert_eq!(checked.is_ok(), good, "{accounts:?} {principals:?}: {checked:?}");
        }
    }

    #[test]
    fn devices_that_match_plain_logins() {
        let device =
            |principals: &[&'static str]| Spec { principals: principals.to_vec(), signer: key(4), ..spec() };
        for (accounts, principals, good) in [
            (&["deploy@web-1"][..], &["deploy"][..], true),
            (&["deploy@web-1", "deploy@web-2"], &["deploy"], true),
            (&["deploy@web-1", "root@web-2"], &["deploy", "root"], true),
            (&["deploy@web-1"], &["root"], false),
            (&["deploy@web-1"], &["deploy", "root"], false),
            (&["deploy@web-1", "root@web-1"], &["deploy"], false),
            (&["deploy@web-1"], &["shell:deploy@web-1"], false),
        ] {
            let checked = asked(&device(principals), accounts, &[], Mode::Shell, None);
            assert_eq!(checked.is_ok(), good, "{accounts:?} {principals:?}: {checked:?}");
        }
    }

    #[test]
    fn the_command_is_the_one_asked_for() {
        let exec = |force| Spec { principals: vec!["exec:deploy@web-1"], force, ..spec() };
        assert_eq!(checked(&exec(Some("uptime")), Mode::Exec, Some("uptime")), Ok(()));
        assert!(checked(&exec(Some("uptime -p")), Mode::Exec, Some("uptime")).is_err());
        assert!(checked(&exec(None), Mode::Exec, Some("uptime")).is_err());
        let sftp = |force| Spec { principals: vec!["sftp:deploy@web-1"], force, ..spec() };
        assert_eq!(checked(&sftp(Some("internal-sftp")), Mode::Sftp, None), Ok(()));
        assert!(checked(&sftp(None), Mode::Sftp, None).is_err());
    }

    #[test]
    fn what_is_no_certificate() {
        let good = build(&spec()).to_openssh().unwrap();
        assert!(parse(&good).is_ok());
        assert!(parse(&format!("{good} a comment\n")).is_ok());
        let plain = key(1).public_key().to_openssh().unwrap();
        for bad in
            ["", "x", plain.as_str(), &format!("{good}\n{good}"), &good.replace("AAAA", "AAAB"), &good[..200]]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        // One flipped bit in the signature still parses, and does not verify.
        let mut bytes = build(&spec()).to_bytes().unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(Certificate::from_bytes(&bytes).is_ok_and(|c| c.verify_signature().is_err()));
    }

    #[test]
    fn in_words() {
        for (principal, text) in [
            ("shell:deploy@web-1", "a shell as deploy on web-1"),
            ("shell+agent+x11:a@b", "a shell with agent forwarding and X11 as a on b"),
            ("sftp:deploy@group/web", "file transfer as deploy on any host of group web"),
            ("exec+forward:a@b", "one command with port forwarding as a on b"),
        ] {
            assert_eq!(words(&principal.parse().unwrap()), text);
        }
    }
}
