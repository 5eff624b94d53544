//! The command line of `jit-ssh-host`: arguments and what is said. The work is in `files`.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jit_ssh_proto::Name;

use crate::files::{Report, State, Wanted, install};
use crate::trust::{TrustError, authorities_from_bundle, authorities_from_file};

/// Makes a server trust a jit-ssh CA, with stock OpenSSH and nothing of ours in the login path.
#[derive(Debug, Parser)]
#[command(name = "jit-ssh-host", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Files(Files),
}

/// Write the files that make this host's sshd trust the CA
///
/// Writes, below the folder of sshd's configuration:
///
///   jit-ssh/user_ca.pub           the keys of the CA that sign certificates for people
///   jit-ssh/revoked.krl           what is revoked; written empty, an existing one is kept
///   jit-ssh/principals/LOGIN      what each login answers to: mode by mode, this host and its groups
///   sshd_config.d/10-jit-ssh.conf tells sshd about all of them; written last
///
/// Logins that are not named get no file, so no certificate opens them. Keys in authorized_keys go on working as before;
/// this adds a way in and takes none away. Running it again changes nothing that is as it should be.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, with the CA's trust bundle, pinned by the fingerprint that `jit-ssh-ca init` printed:
  curl -s https://ca.example.com/.well-known/jit-ssh |
    jit-ssh-host files --name web-1.example.com --group web --login deploy --bundle - --trust SHA256:…
Then:
  sshd -t && systemctl reload ssh
Undo:
  rm -r /etc/ssh/jit-ssh /etc/ssh/sshd_config.d/10-jit-ssh.conf && systemctl reload ssh

Exit codes: 0 done, 1 failed, 2 wrong usage.")]
struct Files {
    /// This host's name, as the CA's inventory has it
    #[arg(long, value_name = "NAME")]
    name: Name,
    /// A group that the inventory puts this host in, nested ones too; repeat for several
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// A login that certificates may open; repeat for several
    #[arg(long = "login", value_name = "LOGIN", required = true)]
    logins: Vec<Name>,
    /// A host that this one is a bastion for; repeat for several
    #[arg(long = "fronts", value_name = "TARGET")]
    fronts: Vec<Name>,
    /// The CA's signed trust bundle (URL/.well-known/jit-ssh); - is standard input
    #[arg(long, value_name = "FILE", requires = "trust", required_unless_present = "user_ca")]
    bundle: Option<PathBuf>,
    /// The fingerprint of the CA's trust key, that the bundle must be signed with
    #[arg(long, value_name = "SHA256:…", requires = "bundle")]
    trust: Option<String>,
    /// Instead of a bundle: a file with the CA's user key, one public key a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "trust"])]
    user_ca: Option<PathBuf>,
    /// The folder of sshd's configuration, absolute
    #[arg(long, value_name = "DIR", default_value = "/etc/ssh")]
    dir: PathBuf,
    /// Remove principals files that an earlier run wrote for logins that are no longer named
    #[arg(long)]
    prune: bool,
    /// Also list the files on standard output, as JSON
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Does what was asked and says so.
    pub fn run(self, input: &mut dyn Read, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
        let done = match self.command {
            Command::Files(files) => files.run(input, out, err),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => {
                let _ = writeln!(err, "jit-ssh-host: {sentence}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Files {
    fn run(self, input: &mut dyn Read, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), String> {
        let authorities = self.authorities(input).map_err(|e| e.to_string())?;
        let wanted = Wanted {
            folder: self.dir.clone(),
            name: self.name.clone(),
            groups: self.groups.clone(),
            logins: self.logins.clone(),
            fronts: self.fronts.clone(),
            authorities,
            prune: self.prune,
        };
        let report = install(&wanted).map_err(|e| e.to_string())?;
        // What was done is done: a closed stderr does not make it fail.
        let _ = self.say(&report, err);
        if self.json {
            let json = serde_json::to_string(&report).map_err(|e| e.to_string())?;
            writeln!(out, "{json}").map_err(|e| format!("standard output cannot be written: {e}"))?;
        }
        Ok(())
    }

    fn authorities(&self, input: &mut dyn Read) -> Result<Vec<jit_ssh_proto::UserKey>, TrustError> {
        match (&self.bundle, &self.trust, &self.user_ca) {
            (Some(bundle), Some(trust), None) => authorities_from_bundle(bundle, trust, input),
            (None, None, Some(file)) => authorities_from_file(file),
            // clap's rules leave no other combination.
            _ => Err(TrustError::Neither),
        }
    }

    fn say(&self, report: &Report, err: &mut dyn Write) -> std::io::Result<()> {
        for file in &report.files {
            writeln!(err, "{:<9} {}", file.state.word(), file.path.display())?;
        }
        for path in &report.leftover {
            writeln!(
                err,
                "warning: {} is from an earlier run and still lets its login in: remove it, or use --prune.",
                path.display()
            )?;
        }
        for warning in &report.warnings {
            writeln!(err, "warning: {warning}")?;
        }
        let dir = self.dir.display();
        if report.files.iter().any(|f| f.state == State::Written || f.state == State::Removed) {
            writeln!(err, "next: sshd -t && systemctl reload ssh")?;
        } else {
            writeln!(err, "nothing to change")?;
        }
        writeln!(
            err,
            "see that it holds: sshd -T | grep -iE 'trustedusercakeys|authorizedprincipalsfile|revokedkeys'"
        )?;
        writeln!(err, "undo: rm -r {dir}/jit-ssh {dir}/sshd_config.d/10-jit-ssh.conf && systemctl reload ssh")
    }
}
