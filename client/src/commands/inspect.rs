//! `jit-ssh inspect [FILE|-]`: a certificate in words.

use std::io::Read;
use std::path::Path;

use jit_ssh_proto::{Principal, Timestamp};
use serde_json::{Value, json};
use ssh_key::certificate::CertType;
use ssh_key::{Certificate, HashAlg};

use crate::certificate::{authority, parse, words};
use crate::cli::InspectArgs;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::held;
use crate::output::{escape, facts, left, length, local_time, print, print_json};
use crate::paths::Paths;

/// No file of certificates is larger.
const MAX: u64 = 1024 * 1024;

pub(super) fn run(args: &InspectArgs) -> Result<()> {
    let now = clock::now();
    let paths = Paths::from_env()?;
    let certificates = match &args.file {
        Some(file) => from_file(file)?,
        None => held::list(&paths, now)?.iter().map(|held| held.certificate().clone()).collect(),
    };
    // Without a CA everything else can still be said.
    let config = Config::load(&paths).ok().flatten();
    if args.json {
        let list: Vec<Value> = certificates.iter().map(|c| to_json(c, config.as_ref())).collect();
        return print_json(&Value::Array(list));
    }
    if certificates.is_empty() {
        return print("No certificates are held.\n");
    }
    let texts: Vec<String> = certificates.iter().map(|c| facts(&describe(c, config.as_ref(), now))).collect();
    print(&texts.join("\n"))
}

fn from_file(file: &Path) -> Result<Vec<Certificate>> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(MAX).read_to_string(&mut text))
    };
    read.map_err(|e| {
        Error::Local(format!(
            "cannot read {}: {e}; give a certificate file as ssh-keygen writes it",
            file.display()
        ))
    })?;
    read_lines(&text, &file.display().to_string())
}

fn read_lines(text: &str, file: &str) -> Result<Vec<Certificate>> {
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    let parsed: Result<Vec<Certificate>> = lines
        .map(|(at, line)| {
            parse(line).map_err(|e| {
                Error::Local(format!(
                    "line {} of {file} {e}: give a certificate, as in a -cert.pub file",
                    at.saturating_add(1)
                ))
            })
        })
        .collect();
    match parsed {
        Ok(none) if none.is_empty() => {
            Err(Error::Local(format!("{file} holds no certificate: give a -cert.pub file")))
        }
        result => result,
    }
}

fn describe(
    certificate: &Certificate,
    config: Option<&Config>,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let kind = match certificate.cert_type() {
        CertType::User => "user certificate",
        CertType::Host => "host certificate",
    };
    let mut rows = vec![("Kind", format!("{kind}, {}", certificate.algorithm()))];
    let authority = config.and_then(|c| authority(certificate, &c.bundle).map(|a| (a, c)));
    let device = authority.is_some_and(|(a, _)| a.name.starts_with("user-"));
    for principal in certificate.valid_principals() {
        let text = match principal.parse::<Principal>() {
            Ok(known) => words(&known),
            Err(_) if device => format!("to log in as {} on what trusts this authority", escape(principal)),
            Err(_) => format!("principal {}", escape(principal)),
        };
        rows.push(("Allows", text));
    }
    if certificate.valid_principals().is_empty() {
        rows.push(("Allows", "nothing: it names no principal".into()));
    }
    rows.push(("Valid", window(certificate, now)));
    rows.push(("Key ID", escape(certificate.key_id())));
    rows.push(("Serial", certificate.serial().to_string()));
    let options = certificate.critical_options().iter().map(|(name, value)| ("Must", option(name, value)));
    // Our own extension says under which grant it was issued; it is no right.
    let extensions = certificate.extensions().iter().map(|(name, value)| match name.as_str() {
        "grant@jit-ssh" => ("Grant", escape(value)),
        _ => ("May", option(name, value)),
    });
    rows.extend(options.chain(extensions));
    rows.push(("Key", certificate.public_key().fingerprint(HashAlg::Sha256).to_string()));
    let signer = certificate.signature_key().fingerprint(HashAlg::Sha256);
    let whose = match authority {
        Some((authority, config)) => format!("authority {} of {}", escape(&authority.name), config.pin.url),
        None => "not an authority that is pinned here".into(),
    };
    rows.push(("Signed by", format!("{signer} ({whose})")));
    let verifies = if certificate.verify_signature().is_ok() { "verifies" } else { "DOES NOT VERIFY" };
    rows.push(("Signature", verifies.into()));
    rows
}

fn option(name: &str, value: &str) -> String {
    if value.is_empty() { escape(name) } else { format!("{} {}", escape(name), escape(value)) }
}

fn window(certificate: &Certificate, now: Timestamp) -> String {
    let (after, before) = (certificate.valid_after(), certificate.valid_before());
    let (from, to) = (Timestamp::from_seconds(after), Timestamp::from_seconds(before));
    if to == Timestamp::MAX {
        return format!("from {} for ever", local_time(from));
    }
    let state = if from > now { format!("starts in {}", length(from.since(now))) } else { left(to, now) };
    format!("from {} to {} ({state})", local_time(from), local_time(to))
}

fn to_json(certificate: &Certificate, config: Option<&Config>) -> Value {
    let map = |options: &ssh_key::certificate::OptionsMap| -> Value {
        options
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "kind": match certificate.cert_type() { CertType::User => "user", CertType::Host => "host" },
        "algorithm": certificate.algorithm().as_str(),
        "principals": certificate.valid_principals(),
        "valid_after": certificate.valid_after(),
        "valid_before": certificate.valid_before(),
        "key_id": certificate.key_id(),
        "serial": certificate.serial(),
        "critical_options": map(certificate.critical_options()),
        "extensions": map(certificate.extensions()),
        "key": certificate.public_key().fingerprint(HashAlg::Sha256).to_string(),
        "signed_by": certificate.signature_key().fingerprint(HashAlg::Sha256).to_string(),
        "authority": config.and_then(|c| authority(certificate, &c.bundle)).map(|a| a.name.clone()),
        "signature_verifies": certificate.verify_signature().is_ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, key};
    use ssh_key::certificate::Builder;

    #[test]
    fn a_certificate_in_words() {
        let mut builder =
            Builder::new(vec![1; 32], key(2).public_key().key_data().clone(), NOW - 60, NOW + 1780).unwrap();
        builder.cert_type(CertType::User).unwrap().serial(7).unwrap().key_id("corp/ada/\u{1b}grt").unwrap();
        builder.valid_principal("exec+agent:deploy@web-1").unwrap().valid_principal("x\u{202e}y").unwrap();
        builder.critical_option("force-command", "uptime").unwrap();
        builder.extension("permit-agent-forwarding", "").unwrap();
        let certificate = builder.sign(&key(1)).unwrap();
        let rows = describe(&certificate, None, Timestamp::from_seconds(NOW));
        let row =
            |name: &str| rows.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
        assert_eq!(row("Kind"), ["user certificate, ssh-ed25519"]);
        assert_eq!(
            row("Allows"),
            ["one command with agent forwarding as deploy on web-1", "principal x\\u{202e}y"]
        );
        assert!(row("Valid")[0].ends_with("(29m 40s left)"), "{rows:?}");
        assert_eq!(row("Key ID"), ["corp/ada/\\u{1b}grt"]);
        assert_eq!(row("Must"), ["force-command uptime"]);
        assert_eq!(row("May"), ["permit-agent-forwarding"]);
        assert!(row("Signed by")[0].contains("not an authority"));
        assert_eq!(row("Signature"), ["verifies"]);
    }

    #[test]
    fn files_that_are_refused() {
        for (bad, why) in [
            ("", "holds no certificate"),
            ("# only a comment\n\n", "holds no certificate"),
            ("ssh-ed25519 AAAA\n", "line 1 of f"),
            ("\n-----BEGIN OPENSSH PRIVATE KEY-----\n", "line 2 of f"),
        ] {
            let error = read_lines(bad, "f").unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
