//! Properties: whatever is granted, the certificate says it and no more.

use alloc::string::ToString;
use alloc::vec::Vec;

use jit_ssh_proto::{Account, Mode, Modifiers, Principal};
use proptest::collection::btree_set;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{CertError, encode_tbs};
use super::fixture::{NOW, Parts, all_modes, by_name, keys};
use crate::places::Named;

fn arbitrary_account() -> impl Strategy<Value = Account> {
    "[a-z0-9_][a-z0-9._-]{0,12}@(group/)?[a-z0-9_][a-z0-9._-]{0,24}".prop_map(|text| text.parse().unwrap())
}

/// The accounts that its principals name.
fn named(parts: &Parts) -> &[Account] {
    match parts.places.named() {
        Named::Places(accounts) => accounts,
        Named::Logins(logins) => panic!("{logins:?}"),
    }
}

/// Seconds around now, the far past and the far future.
fn arbitrary_time() -> impl Strategy<Value = u64> {
    prop_oneof![4 => NOW - 200..NOW + 200, 4 => NOW - 200_000..NOW + 200_000, 1 => any::<u64>()]
}

/// Most grants have not ended.
fn arbitrary_end() -> impl Strategy<Value = u64> {
    prop_oneof![6 => NOW + 1..NOW + 200_000, 1 => arbitrary_time()]
}

prop_compose! {
    fn arbitrary_parts()(
        (mode, modifiers) in select(all_modes()),
        accounts in btree_set(arbitrary_account(), 0..6),
        command in "[ -~]{1,40}",
        key in select(keys()),
        (not_before, not_after, session_ends) in (arbitrary_time(), arbitrary_end(), arbitrary_end()),
        max in prop_oneof![0_u64..200, 0_u64..200_000, any::<u64>()],
        source_address in proptest::option::of(any::<core::net::IpAddr>()),
        verify in any::<bool>(),
        nonce in any::<[u8; 32]>(),
        serial in prop_oneof![0_u64..3, any::<u64>()],
    ) -> Parts {
        let command = (mode == Mode::Exec).then(|| command.parse().ok()).flatten();
        let verify_required = verify && key.is_fido();
        Parts {
            places: by_name(accounts.into_iter().collect()),
            command, key, not_before, not_after, session_ends, max, source_address, verify_required, nonce, serial,
            ..Parts::new(mode, modifiers)
        }
    }
}

proptest! {
    #[test]
    fn what_is_issued_reads_back_as_what_was_granted(parts in arbitrary_parts()) {
        let prepared = parts.prepare();
        // Too many of these and the test fails: it would be saying nothing.
        prop_assume!(prepared.is_ok());
        let prepared = prepared.unwrap();
        let record = prepared.record().clone();
        let certificate = parts.issue();
        prop_assert_eq!(certificate.public_key(), parts.key.key_data());
        prop_assert_eq!(certificate.serial(), parts.serial);
        prop_assert!(certificate.cert_type().is_user());
        prop_assert_eq!(certificate.key_id(), parts.key_id());
        prop_assert_eq!(certificate.nonce(), &parts.nonce);
        prop_assert_eq!(certificate.signature_key(), parts.authority.key().key_data());
        prop_assert_eq!(certificate.valid_after(), record.valid_after.seconds());
        prop_assert_eq!(certificate.valid_before(), record.valid_before.seconds());
        let said: Vec<Principal> = certificate.valid_principals().iter().map(|p| p.parse().unwrap()).collect();
        let granted: Vec<Principal> = named(&parts)
            .iter().map(|a| Principal::new(parts.mode, parts.modifiers, a.clone()).unwrap()).collect();
        prop_assert_eq!(said, granted);
        let options: Vec<_> =
            certificate.critical_options().iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        prop_assert_eq!(options, record.critical_options);
        let extensions: Vec<_> = certificate.extensions().iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        prop_assert_eq!(extensions, record.extensions);
    }

    #[test]
    fn the_encoding_is_canonical(parts in arbitrary_parts()) {
        let prepared = parts.prepare();
        // Too many of these and the test fails: it would be saying nothing.
        prop_assume!(prepared.is_ok());
        let prepared = prepared.unwrap();
        prop_assert_eq!(encode_tbs(prepared.record()).unwrap(), prepared.tbs());
        // An encoder that is not ours writes the same bytes before the signature.
        let certificate = parts.issue();
        let bytes = certificate.to_bytes().unwrap();
        prop_assert_eq!(bytes.get(..prepared.tbs().len()), Some(prepared.tbs()));
        // And the line that goes to the user reads back as the same certificate.
        prop_assert_eq!(ssh_key::Certificate::from_openssh(&certificate.to_openssh().unwrap()).unwrap(), certificate);
    }

    #[test]
    fn invariant_2_every_window_lies_within_all_its_bounds(parts in arbitrary_parts()) {
        let prepared = parts.prepare();
        // Too many of these and the test fails: it would be saying nothing.
        prop_assume!(prepared.is_ok());
        let prepared = prepared.unwrap();
        let (after, before) = (prepared.record().valid_after.seconds(), prepared.record().valid_before.seconds());
        prop_assert!(after >= parts.not_before && after >= parts.now - 60);
        prop_assert!(before <= parts.not_after && before <= parts.session_ends);
        prop_assert!(before <= parts.now.saturating_add(parts.max));
        prop_assert!(before > parts.now && before > after && before - after <= 24 * 3600);
        prop_assert!(!named(&parts).is_empty());
    }

    /// Invariant 2, narrowing: a bound that moves in never moves the certificate out.
    #[test]
    fn invariant_2_a_narrower_bound_never_gives_a_wider_window(
        parts in arbitrary_parts(), cut in 0_u64..100_000, which in 0_u8..4,
    ) {
        let mut narrower = parts.clone();
        match which {
            0 => narrower.not_after = parts.not_after.saturating_sub(cut),
            1 => narrower.session_ends = parts.session_ends.saturating_sub(cut),
            2 => narrower.max = parts.max.saturating_sub(cut),
            _ => narrower.not_before = parts.not_before.saturating_add(cut),
        }
        match (parts.prepare(), narrower.prepare()) {
            (Ok(wide), Ok(narrow)) => {
                let (wide, narrow) = (wide.record(), narrow.record());
                prop_assert!(narrow.valid_after >= wide.valid_after);
                // A later start moves the hard maximum along; it never moves past the grant's own bounds.
                prop_assert!(narrow.valid_before <= wide.valid_before || which == 3);
                prop_assert_eq!(&narrow.extensions, &wide.extensions);
                prop_assert_eq!(&narrow.principals, &wide.principals);
            }
            (Err(CertError::Ended), Ok(_)) => prop_assert!(false, "narrowing revived an ended grant"),
            (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => {}
        }
    }

    #[test]
    fn invariant_12_a_clock_that_goes_back_extends_nothing(parts in arbitrary_parts(), back in 0_u64..200_000) {
        let earlier = Parts { now: parts.now - back, ..parts.clone() };
        if let (Ok(now), Ok(then)) = (parts.prepare(), earlier.prepare()) {
            prop_assert!(then.record().valid_before <= now.record().valid_before);
        }
    }

    /// What two different grants say never encodes to the same bytes.
    #[test]
    fn different_statements_have_different_bytes(one in arbitrary_parts(), other in arbitrary_parts()) {
        if let (Ok(a), Ok(b)) = (one.prepare(), other.prepare()) {
            prop_assert_eq!(a.tbs() == b.tbs(), a.record() == b.record());
        }
    }

    /// Whatever bytes come in, reading them ends with an answer.
    #[test]
    fn the_reader_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..400, bit in 0_u8..8) {
        let _ = super::super::decode::Decoded::read(&bytes);
        let mut tbs = Parts::new(Mode::Exec, Modifiers::NONE).prepare().unwrap().tbs().to_vec();
        if let Some(byte) = tbs.get_mut(at) {
            *byte ^= 1 << bit;
            let _ = super::super::decode::Decoded::read(&tbs).map(|d| d.key_id.to_string());
        }
    }
}
