//! `jit-ssh ssh LOGIN@HOST [-- ssh args]`: a fitting certificate, then the system's ssh in our place.

use std::ffi::OsString;
use std::io::{IsTerminal, stdin};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use jit_ssh_proto::{Account, Mode, Modifier, Name, Place, Timestamp};

use crate::access::{self, Wanted};
use crate::cli::SshArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::held::{self, Held, Purpose};
use crate::oidc::{GITHUB_VARIABLES, How, Source, Way};
use crate::prove;

/// A certificate with less time left than this is not worth starting with.
const LEAST_LEFT: u64 = 60;

pub(super) fn run(args: &SshArgs) -> Result<()> {
    let Place::Host(host) = &args.account.place else {
        return Err(Error::Usage("ssh goes to one host: name it, as LOGIN@HOST".into()));
    };
    let wanted = Wanted::new(std::slice::from_ref(&args.account), &args.access)?;
    let how = prove::how(&args.how);
    if !stdin().is_terminal() && matches!(how, How::Person(Way::Paste) | How::Workload(Source::Stdin)) {
        return Err(Error::Usage(
            "standard input is for ssh here, which has no terminal: run jit-ssh login first, with the same options"
                .into(),
        ));
    }
    let mut client = Client::load()?;
    let held = match fitting(&client, &args.account, &wanted)? {
        Some(held) => held,
        None => access::obtain(&mut client, &args.how, &wanted)?,
    };
    let (program, arguments) =
        command_line(&args.account, &wanted, &Connection::of(&held, host)?, &args.args);
    let mut command = Command::new(program);
    command.args(arguments);
    for variable in secrets(&how) {
        command.env_remove(variable);
    }
    let error = command.exec();
    Err(if error.kind() == std::io::ErrorKind::NotFound {
        Error::Local(format!("{program} is not found on PATH: install OpenSSH's client"))
    } else {
        Error::Local(format!("{program} cannot be started: {error}"))
    })
}

/// Variables with which somebody could log in as this workload: ssh can send any to a host (`SendEnv`).
fn secrets(how: &How) -> Vec<&str> {
    match how {
        How::Workload(Source::Variable(name)) => vec![name],
        How::Workload(Source::GitHub) => GITHUB_VARIABLES.to_vec(),
        How::Workload(Source::File(_) | Source::Stdin) | How::Person(_) => vec![],
    }
}

/// A held certificate that is good for this, alone or among other accounts, with enough time left.
fn fitting(client: &Client, account: &Account, wanted: &Wanted) -> Result<Option<Held>> {
    let purpose = wanted.purpose(client.config.pin.ca_id);
    let enough = Timestamp::from_seconds(client.now().seconds().saturating_add(LEAST_LEFT));
    let held = held::list(&client.paths, client.now())?;
    Ok(held
        .into_iter()
        .rev()
        .filter(|held| held.valid_before() >= enough && held.accounts().contains(account))
        .find(|held| {
            Purpose { accounts: purpose.accounts.clone(), ..held.purpose().clone() } == purpose
                && held.usable()
        }))
}

/// How to reach the host with a certificate.
#[derive(Debug)]
struct Connection {
    identity: Vec<OsString>,
    address: Option<(String, Option<u16>)>,
}

impl Connection {
    fn of(held: &Held, host: &Name) -> Result<Self> {
        let address = held.address(host.as_str()).map(split_address).transpose().map_err(|why| {
            Error::Untrusted(format!("the address that the CA gave for {host} {why}: tell its operator"))
        })?;
        Ok(Self { identity: identity(&held.certificate_file(), held.key_file().as_deref()), address })
    }
}

/// The options that make ssh use this certificate. With the key in a file, an explicit `CertificateFile` is offered
/// before everything else. With the certificate in an agent (as one identity, without the plain key), ssh finds it
/// there only if its public file is named as an `IdentityFile`; named as a `CertificateFile` too, ssh 9.2 takes it
/// for a certificate whose key it must load, and fails before it asks the agent (tried against sshd).
fn identity(certificate: &Path, key: Option<&Path>) -> Vec<OsString> {
    let option = |name: &str, path: &Path| {
        let mut option = OsString::from(format!("{name}="));
        option.push(escape_tokens(path));
        option
    };
    match key {
        Some(key) => vec![option("CertificateFile", certificate), option("IdentityFile", key)],
        // A user's own IdentityAgent would hide the agent that has the key.
        None => vec![option("IdentityFile", certificate), "IdentityAgent=SSH_AUTH_SOCK".into()],
    }
}

/// ssh_config expands `%`, and takes quotes and spaces apart.
fn escape_tokens(path: &Path) -> OsString {
    let text = path.as_os_str().to_string_lossy();
    OsString::from(format!("\"{}\"", text.replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\"")))
}

/// `ADDRESS`, `ADDRESS:PORT`, `[V6]:PORT`, or a bare IPv6 address.
fn split_address(text: &str) -> std::result::Result<(String, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("has a bracket that is not closed")?;
        if !matches!(host.parse::<std::net::IpAddr>(), Ok(std::net::IpAddr::V6(_))) {
            return Err("has no IPv6 address between its brackets");
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("has something after its bracket that is no port"),
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let characters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || host.starts_with('-') || !host.bytes().all(characters) {
        return Err("is not a host name or an IP address");
    }
    if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err() {
        return Err("is not a host name or an IP address");
    }
    let port = match port {
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Some(number),
            Ok(_) | Err(_) => return Err("has a port that is not one of 1 to 65535"),
        },
        None => None,
    };
    Ok((host.to_owned(), port))
}

/// The program and its arguments. Ours come first: ssh takes the first value that it is given.
fn command_line(
    account: &Account,
    wanted: &Wanted,
    connection: &Connection,
    extra: &[OsString],
) -> (&'static str, Vec<OsString>) {
    let host = match &account.place {
        Place::Host(name) | Place::Group(name) => name,
    };
    let mut arguments: Vec<OsString> = Vec::new();
    let mut option = |value: OsString| {
        arguments.push("-o".into());
        arguments.push(value);
    };
    connection.identity.iter().cloned().for_each(&mut option);
    option("IdentitiesOnly=yes".into());
    // A user's own setting would put the plain key into the agent, without an end.
    option("AddKeysToAgent=no".into());
    if let Some((address, port)) = &connection.address {
        option(format!("HostName={address}").into());
        option(format!("HostKeyAlias={host}").into());
        if let Some(port) = port {
            option(format!("Port={port}").into());
        }
    }
    for modifier in wanted.modifiers().iter() {
        match modifier {
            Modifier::Agent => option("ForwardAgent=yes".into()),
            Modifier::X11 => option("ForwardX11=yes".into()),
            // What to forward where is for the arguments after -- to say.
            Modifier::Forward => {}
        }
    }
    let destination = OsString::from(format!("{}@{host}", account.login));
    match wanted.mode() {
        Mode::Sftp => {
            arguments.extend(extra.iter().cloned());
            arguments.push(destination);
            return ("sftp", arguments);
        }
        Mode::Forward | Mode::Jump => arguments.push("-N".into()),
        // The certificate has no right to a terminal: without -T every call would complain.
        Mode::Exec => arguments.push("-T".into()),
        Mode::Shell => {}
    }
    arguments.push(destination);
    arguments.extend(extra.iter().cloned());
    if let (Mode::Exec, Some(command)) = (wanted.mode(), wanted.command()) {
        // The certificate decides what runs, whatever stands here: this is for whoever reads the process list.
        arguments.push("--".into());
        arguments.push(command.as_str().into());
    }
    ("ssh", arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("10.0.0.7", "10.0.0.7", None),
            ("web-1.internal:2222", "web-1.internal", Some(2222)),
            ("[2001:db8::1]:22", "2001:db8::1", Some(22)),
            ("[::1]", "::1", None),
            ("2001:db8::1", "2001:db8::1", None),
        ] {
            assert_eq!(split_address(text), Ok((host.to_owned(), port)), "{text}");
        }
        for bad in [
            "",
            ":22",
            "-oProxyCommand=id",
            "a b",
            "a:0",
            "a:65536",
            "a:+22",
            "a:",
            "a:ssh",
            "[::1",
            "[::1]22",
            "[a]:22",
            "a:b:c",
            "a$(id)",
            "a%h",
            "a\n",
            "user@host",
        ] {
            assert!(split_address(bad).is_err(), "{bad:?}");
        }
    }

    fn line(args: &[&str], address: Option<&str>) -> String {
        let cli = crate::cli::Cli::try_parse_from([&["jit-ssh", "ssh"], args].concat()).unwrap();
        let crate::cli::Command::Ssh(args) = cli.command else { panic!("another command") };
        let wanted = Wanted::new(std::slice::from_ref(&args.account), &args.access).unwrap();
        let connection = Connection {
            identity: identity(Path::new("/c"), None),
            address: address.map(|a| split_address(a).unwrap()),
        };
        let (program, arguments) = command_line(&args.account, &wanted, &connection, &args.args);
        let words: Vec<String> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        format!("{program} {}", words.join(" ")).replace(
            "-o IdentityFile=\"/c\" -o IdentityAgent=SSH_AUTH_SOCK -o IdentitiesOnly=yes -o AddKeysToAgent=no ",
            "",
        )
    }

    #[test]
    fn command_lines() {
        for (args, address, expected) in [
            (&["deploy@web-1"][..], None, "ssh deploy@web-1"),
            (
                &["deploy@web-1", "--", "-v", "uptime"],
                Some("127.0.0.1:2222"),
                "ssh -o HostName=127.0.0.1 -o HostKeyAlias=web-1 -o Port=2222 deploy@web-1 -v uptime",
            ),
            (&["deploy@web-1", "--command", "uptime -p"], None, "ssh -T deploy@web-1 -- uptime -p"),
            (&["deploy@web-1", "--mode", "sftp", "--", "-b", "f"], None, "sftp -b f deploy@web-1"),
            (
                &["deploy@web-1", "--mode", "forward", "--", "-L", "1:a:2"],
                None,
                "ssh -N deploy@web-1 -L 1:a:2",
            ),
            (
                &["deploy@web-1", "--with", "agent,forward,x11"],
                None,
                "ssh -o ForwardAgent=yes -o ForwardX11=yes deploy@web-1",
            ),
        ] {
            assert_eq!(line(args, address), expected);
        }
    }

    #[test]
    fn a_key_in_a_file_is_named_with_its_certificate() {
        let options = identity(Path::new("/c"), Some(Path::new("/k")));
        assert_eq!(options, ["CertificateFile=\"/c\"", "IdentityFile=\"/k\""]);
    }

    #[test]
    fn paths_are_quoted_for_ssh() {
        assert_eq!(escape_tokens(Path::new("/a b/%h\"")), "\"/a b/%%h\\\"\"");
    }
}
