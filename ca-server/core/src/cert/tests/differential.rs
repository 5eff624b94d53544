//! The certificate as OpenSSH's own tool prints it: an oracle that shares no code with ours.

extern crate std;

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use std::process::Command;

use jit_ssh_proto::{Mode, Modifier};
use ssh_key::Certificate;

use super::fixture::{NOW, Parts, all_modes, fido_key, keys};

/// The lines of `ssh-keygen -L`, in UTC, without its first, which names the file.
fn printed(certificate: &Certificate) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate.to_openssh().unwrap()).unwrap();
    let output =
        Command::new("ssh-keygen").env("TZ", "UTC").arg("-L").arg("-f").arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().skip(1).map(|l| l.trim().into()).collect()
}

#[test]
fn ssh_keygen_prints_what_the_mode_says() {
    for (mode, modifiers) in all_modes() {
        let parts = Parts::new(mode, modifiers);
        let mut principal = format!("{mode}");
        for modifier in modifiers.iter() {
            principal.push_str(&format!("+{modifier}"));
        }
        let forced = match mode {
            Mode::Shell => None,
            Mode::Exec => Some("force-command /usr/bin/id -u"),
            Mode::Sftp => Some("force-command internal-sftp"),
            Mode::Forward | Mode::Jump => Some("force-command false"),
        };
        let fingerprint = |key: &jit_ssh_proto::UserKey| key.fingerprint();
        let mut wanted = vec![
            "Type: ssh-ed25519-cert-v01@openssh.com user certificate".into(),
            format!("Public key: ED25519-CERT {}", fingerprint(&parts.key)),
            format!("Signing CA: ED25519 {} (using ssh-ed25519)", fingerprint(parts.authority.key())),
            format!("Key ID: \"{}\"", parts.key_id()),
            "Serial: 42".into(),
            "Valid: from 2026-11-22T05:59:00 to 2026-11-22T06:30:00".into(),
            "Principals:".into(),
            format!("{principal}:deploy@web-1.example.com"),
        ];
        match forced {
            Some(option) => wanted.extend(["Critical Options:".into(), option.into()]),
            None => wanted.push("Critical Options: (none)".into()),
        }
        wanted.push("Extensions:".into());
        // ssh-keygen prints in the certificate's own order and shows what it does not know in hex.
        let id = format!("{}", Parts::grant());
        let mut hex = format!("{:08x}", id.len());
        hex.extend(id.bytes().map(|b| format!("{b:02x}")));
        wanted.push(format!("grant@jit-ssh UNKNOWN OPTION: {hex} (len {})", id.len() + 4));
        let forwards = matches!(mode, Mode::Forward | Mode::Jump) || modifiers.contains(Modifier::Forward);
        for (permit, there) in [
            ("permit-X11-forwarding", modifiers.contains(Modifier::X11)),
            ("permit-agent-forwarding", modifiers.contains(Modifier::Agent)),
            ("permit-port-forwarding", forwards),
            ("permit-pty", mode == Mode::Shell),
        ] {
            if there {
                wanted.push(permit.into());
            }
        }
        assert_eq!(printed(&parts.issue()), wanted, "{mode} {modifiers:?}");
    }
    assert_eq!(NOW, 1_795_327_200, "the times above are those of NOW");
}

#[test]
fn ssh_keygen_reads_every_kind_of_key_and_option() {
    for key in keys() {
        let lines = printed(&Parts { key: key.clone(), ..Parts::shell() }.issue());
        assert!(lines.iter().any(|l| l.ends_with(&key.fingerprint())), "{lines:?}");
    }
    let parts = Parts {
        key: fido_key(),
        verify_required: true,
        source_address: Some("2001:db8::7".parse().unwrap()),
        ..Parts::shell()
    };
    let lines = printed(&parts.issue());
    for wanted in ["source-address 2001:db8::7/128", "verify-required"] {
        assert!(lines.iter().any(|l| l == wanted), "{wanted} in {lines:?}");
    }
}

#[test]
fn invariant_1_the_event_alone_gives_the_signed_bytes_again() {
    for recorded in [
        include_bytes!("../../../../../proto/golden/events/certificate.issued.json").as_slice(),
        include_bytes!("../../../../../proto/golden/events/certificate.issued.full.json"),
    ] {
        let event: jit_ssh_proto::event::Event = serde_json::from_slice(recorded).unwrap();
        let jit_ssh_proto::event::What::CertificateIssued(record) = event.what else {
            panic!("{:?}", event.what)
        };
        let tbs = crate::cert::encode_tbs(&record).unwrap();
        let digest = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(tbs));
        assert_eq!(digest, record.tbs_sha256);
    }
}
