//! The invariants of DESIGN 10 that certificates show, and what the CA refuses to make.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use jit_ssh_proto::{Mode, Modifier, Modifiers};
use sha2::{Digest, Sha256};
use signature::Signer;
use ssh_key::private::{EcdsaKeypair, KeypairData};
use ssh_key::{EcdsaCurve, HashAlg, PrivateKey, Signature};

use super::super::{CertError, encode_tbs};
use super::fixture::{NOW, Parts, account, all_modes, by_name, ed25519, fido_key, keys, name, public};
use crate::authority::{Authority, CertKind};
use crate::proof::prove_one;

#[test]
fn invariant_1_the_record_alone_determines_the_signed_bytes() {
    for key in keys() {
        for (mode, modifiers) in all_modes() {
            let parts = Parts { key: key.clone(), ..Parts::new(mode, modifiers) };
            let prepared = parts.prepare().unwrap();
            // As the ledger stores and reads it.
            let stored = serde_json::to_string(prepared.record()).unwrap();
            let read = serde_json::from_str(&stored).unwrap();
            assert_eq!(encode_tbs(&read).unwrap(), prepared.tbs());
            let digest: Vec<u8> = Sha256::digest(prepared.tbs()).to_vec();
            assert_eq!(read.tbs_sha256, data_encoding::HEXLOWER.encode(&digest));
        }
    }
}

#[test]
fn invariant_2_no_certificate_without_a_principal_or_with_too_many() {
    let places = |count: usize| by_name((0..count).map(|n| account(&format!("deploy@web-{n}"))).collect());
    for (count, verdict) in [(0, "principals"), (257, "principals")] {
        assert_eq!(Parts { places: places(count), ..Parts::shell() }.refused_by(), verdict);
    }
    for count in [1, 256] {
        let certificate = Parts { places: places(count), ..Parts::shell() }.issue();
        assert_eq!(certificate.valid_principals().len(), count);
    }
    let twice = by_name(vec![account("a@b"), account("a@b")]);
    assert_eq!(Parts { places: twice, ..Parts::shell() }.refused_by(), "principals");
}

/// What bounds a window, what is bent, and what comes of it (after and before, relative to now).
#[test]
fn invariant_2_no_certificate_beyond_grant_session_maximum_or_a_day() {
    const DAY: u64 = 24 * 3600;
    let good = Parts { max: 30 * DAY, ..Parts::shell() };
    let long = Parts { not_after: NOW + 30 * DAY, session_ends: NOW + 30 * DAY, ..good.clone() };
    let window = |parts: &Parts| {
        let record = parts.prepare().map(|p| p.record().clone())?;
        Ok((record.valid_after.seconds(), record.valid_before.seconds()))
    };
    for (what, parts, expected) in [
        ("the grant's end", good.clone(), Ok((NOW - 60, NOW + 1800))),
        ("the session's end", Parts { session_ends: NOW + 10, ..good.clone() }, Ok((NOW - 60, NOW + 10))),
        ("the maximum", Parts { max: 5, ..good.clone() }, Ok((NOW - 60, NOW + 5))),
        ("a day", long.clone(), Ok((NOW - 60, NOW - 60 + DAY))),
        (
            "the largest numbers",
            Parts { not_after: u64::MAX, session_ends: u64::MAX, max: u64::MAX, ..long },
            Ok((NOW - 60, NOW - 60 + DAY)),
        ),
        ("the grant's start", Parts { not_before: NOW - 5, ..good.clone() }, Ok((NOW - 5, NOW + 1800))),
        ("an old grant", Parts { not_before: 1, ..good.clone() }, Ok((NOW - 60, NOW + 1800))),
        ("the grant has ended", Parts { not_after: NOW, ..good.clone() }, Err(CertError::Ended)),
        (
            "it ended within the clock skew",
            Parts { not_after: NOW - 30, ..good.clone() },
            Err(CertError::Ended),
        ),
        ("the session has ended", Parts { session_ends: NOW, ..good.clone() }, Err(CertError::Ended)),
        ("no session", Parts { session_ends: 0, ..good.clone() }, Err(CertError::Ended)),
        ("a maximum of nothing", Parts { max: 0, ..good.clone() }, Err(CertError::Ended)),
        (
            "ends before it starts",
            Parts { not_before: NOW + 50, not_after: NOW + 50, ..good.clone() },
            Err(CertError::Ended),
        ),
        (
            "not yet, and the session ends first",
            Parts { not_before: NOW + 50, session_ends: NOW + 40, ..good },
            Err(CertError::Ended),
        ),
    ] {
        assert_eq!(window(&parts), expected, "{what}");
    }
}

#[test]
fn invariant_3_options_and_extensions_are_those_of_the_mode() {
    let grant = Parts::grant().to_string();
    for (mode, modifiers) in all_modes() {
        let certificate = Parts::new(mode, modifiers).issue();
        let forced = match mode {
            Mode::Shell => None,
            Mode::Exec => Some("/usr/bin/id -u"),
            Mode::Sftp => Some("internal-sftp"),
            Mode::Forward | Mode::Jump => Some("false"),
        };
        let options: Vec<(&str, &str)> =
            certificate.critical_options().iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let wanted: Vec<(&str, &str)> =
            forced.map(|command| ("force-command", command)).into_iter().collect();
        assert_eq!(options, wanted, "{mode} {modifiers:?}");
        let forwards = matches!(mode, Mode::Forward | Mode::Jump) || modifiers.contains(Modifier::Forward);
        let mut wanted = vec![("grant@jit-ssh", grant.as_str())];
        wanted.extend(modifiers.contains(Modifier::X11).then_some(("permit-X11-forwarding", "")));
        wanted.extend(modifiers.contains(Modifier::Agent).then_some(("permit-agent-forwarding", "")));
        wanted.extend(forwards.then_some(("permit-port-forwarding", "")));
        wanted.extend((mode == Mode::Shell).then_some(("permit-pty", "")));
        let extensions: Vec<(&str, &str)> =
            certificate.extensions().iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(extensions, wanted, "{mode} {modifiers:?}");
    }
}

#[test]
fn invariant_3_one_mode_and_one_set_of_modifiers() {
    let places = by_name(vec![account("deploy@web-1"), account("deploy@group/web")]);
    let modifiers = Modifiers::NONE.with(Modifier::X11).with(Modifier::Agent);
    let certificate = Parts { places, ..Parts::new(Mode::Shell, modifiers) }.issue();
    assert_eq!(
        certificate.valid_principals(),
        ["shell+agent+x11:deploy@web-1", "shell+agent+x11:deploy@group/web"]
    );
    for mode in [Mode::Sftp, Mode::Forward, Mode::Jump] {
        assert_eq!(Parts::new(mode, modifiers).refused_by(), "one-mode", "{mode}");
    }
}

#[test]
fn invariant_3_a_command_belongs_to_exec_and_exec_to_a_command() {
    for mode in [Mode::Shell, Mode::Sftp, Mode::Forward, Mode::Jump] {
        let parts = Parts { command: Some("id".parse().unwrap()), ..Parts::new(mode, Modifiers::NONE) };
        assert_eq!(parts.refused_by(), "critical-options", "{mode}");
    }
    let exec = Parts::new(Mode::Exec, Modifiers::NONE);
    assert_eq!(Parts { command: None, ..exec.clone() }.refused_by(), "critical-options");
    // sshd would run its own SFTP server for these.
    for sftp in ["internal-sftp", "internal-sftp -d /"] {
        let parts = Parts { command: Some(sftp.parse().unwrap()), ..exec.clone() };
        assert_eq!(parts.refused_by(), "critical-options", "{sftp}");
    }
    for command in ["internal-sftpd", "echo 'a  b' | cat; exit 3", "é", " x "] {
        let certificate = Parts { command: Some(command.parse().unwrap()), ..exec.clone() }.issue();
        assert_eq!(certificate.critical_options().get("force-command").map(String::as_str), Some(command));
    }
}

#[test]
fn a_pinned_address_is_one_address() {
    for (address, block) in [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
    ] {
        let certificate = Parts {
            source_address: Some(address.parse().unwrap()),
            ..Parts::new(Mode::Sftp, Modifiers::NONE)
        }
        .issue();
        let options: Vec<_> = certificate.critical_options().iter().collect();
        assert_eq!(
            options,
            [
                (&"force-command".to_string(), &"internal-sftp".to_string()),
                (&"source-address".to_string(), &block.to_string())
            ]
        );
    }
}

#[test]
fn verify_required_is_for_fido_keys_only() {
    for key in keys() {
        let parts = Parts { key: key.clone(), verify_required: true, ..Parts::shell() };
        if key.is_fido() {
            assert_eq!(parts.issue().critical_options().get("verify-required"), Some(&String::new()));
        } else {
            assert_eq!(parts.refused_by(), "critical-options", "{}", key.algorithm());
        }
    }
    assert!(Parts { key: fido_key(), ..Parts::shell() }.issue().critical_options().is_empty());
}

#[test]
fn invariant_8_an_authority_signs_only_its_kind_and_never_itself() {
    let host = Authority::new(name("host"), CertKind::Host, public(&ed25519(1)));
    assert_eq!(Parts { authority: host, ..Parts::shell() }.refused_by(), "authority-kind");
    let own = Parts { key: public(&ed25519(1)), ..Parts::shell() };
    assert_eq!(own.refused_by(), "authority-is-not-subject");
}

#[test]
fn serial_zero_and_a_broken_nonce_are_refused() {
    assert_eq!(Parts { serial: 0, ..Parts::shell() }.refused_by(), "serial");
    assert_eq!(Parts { nonce: [0; 32], ..Parts::shell() }.refused_by(), "nonce");
    assert_eq!(Parts { serial: u64::MAX, ..Parts::shell() }.issue().serial(), u64::MAX);
}

#[test]
fn the_key_id_says_issuer_name_and_grant() {
    let parts = Parts::shell();
    assert_eq!(parts.issue().key_id(), parts.key_id());
}

#[test]
fn the_largest_certificate_can_be_made() {
    let host = |n: usize| format!("{n:0>253}");
    let login = "l".repeat(253);
    let places = by_name((0..256).map(|n| account(&format!("{login}@group/{}", host(n)))).collect());
    let all = Modifiers::all_sets().last().unwrap();
    let exec = Parts::new(Mode::Exec, all);
    let command = "x".repeat(4096).parse().unwrap();
    let parts = Parts { places, command: Some(command), ..exec };
    assert!(parts.issue().to_bytes().unwrap().len() > 130_000);
}

/// Every signature that is not the authority's over exactly these bytes.
#[test]
fn invariant_8_a_signature_that_is_not_the_authoritys_is_refused() {
    let parts = Parts::shell();
    let prepared = || parts.prepare().unwrap();
    let good = parts.signer.try_sign(prepared().tbs()).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] ^= 1;
        Signature::new(good.algorithm(), bytes).unwrap()
    };
    let mut longer = prepared().tbs().to_vec();
    longer.push(0);
    let p256 = EcdsaKeypair::random(&mut rand::rngs::OsRng, EcdsaCurve::NistP256).unwrap();
    let p256 = PrivateKey::new(KeypairData::from(p256), "").unwrap();
    let later = Parts { serial: 43, ..parts.clone() };
    for (what, signature) in [
        ("another key's", ed25519(2).try_sign(prepared().tbs()).unwrap()),
        ("another algorithm's", p256.try_sign(prepared().tbs()).unwrap()),
        ("over longer bytes", parts.signer.try_sign(&longer).unwrap()),
        ("over a digest", parts.signer.try_sign(&Sha256::digest(prepared().tbs())).unwrap()),
        ("over another certificate", parts.signer.try_sign(later.prepare().unwrap().tbs()).unwrap()),
        ("with its first bit flipped", flipped(0)),
        ("with its last bit flipped", flipped(63)),
    ] {
        assert!(prove_one(prepared().claim(&signature)).is_none(), "{what}");
    }
    let proven = prove_one(prepared().claim(&good)).unwrap();
    assert!(prepared().finish(&proven).is_ok());
    // A proof is of one certificate.
    let other = later.prepare().unwrap();
    let of_other = prove_one(other.claim(&parts.signer.try_sign(other.tbs()).unwrap())).unwrap();
    assert_eq!(prepared().finish(&of_other).err(), Some(CertError::Signature));
}

#[test]
fn an_ecdsa_authority_signs_as_well() {
    for curve in [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521] {
        let keypair = EcdsaKeypair::random(&mut rand::rngs::OsRng, curve).unwrap();
        let signer = PrivateKey::new(KeypairData::from(keypair), "").unwrap();
        let authority = Authority::new(name("user"), CertKind::User, public(&signer));
        let certificate = Parts { signer, authority: authority.clone(), ..Parts::shell() }.issue();
        let fingerprint = authority.key().public_key().fingerprint(HashAlg::Sha256);
        assert!(certificate.validate_at(NOW, [&fingerprint]).is_ok());
    }
}
