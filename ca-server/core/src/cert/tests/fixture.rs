//! What the tests of certificates are made of: a statement that can be bent, keys of every kind, authorities that sign.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::IpAddr;

use jit_ssh_proto::{
    Account, Command, GrantId, Mode, Modifiers, Name, Salt, SessionId, Span, Timestamp, UserKey,
};
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};

use super::super::{CertError, Issuance, Prepared, Statement};
use crate::authority::{Authority, CertKind};
use crate::places::Places;
use crate::proof::prove_one;

/// A day in November, as good as any.
pub(crate) const NOW: u64 = 1_795_327_200;

/// One public key of every kind but Ed25519, whose keys come from [`ed25519`].
const OTHER_KEYS: [&str; 6] = [
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBECrN5yhpKA+BELip7+P9BEhejVVFbLPwJENuWe/P/kmtqBF7/Qwv/17HY/0uvj3JA5C/b6yzlTjQlx+/KszNso=",
    "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBBTIfC36UWmhswSt5c4SiLVvvqbHOc+JoIO8DmG0lCWccb9U9fBFVCoLtj+aThTyUjAZ/fNaROfQGqxkIzUqWTvraPyMCvmIwNmtFtxrIKlQ4Jm4/7WrKBzA8NVlReX4TQ==",
    "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAD1NteNqQ9J7PU51nLHvawGUGft0XRMzOv7tFRWEKqv1vbgK3+/yujxwmezo+ZYe3JWsINYtBeJGvMt6BsFMK/0VgDFThAewDortAmj8UuCJ7FsZoAzqfJWxHBv3YJn69FPm7msG/DNb0zJkZVb+WOJMLshx4Bm8S5QMOfJGeypeMMa7w==",
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIGSQefxqVB98nDvLXkTXZxXWohZWcaVurne0NY7d0NzaAAAABHNzaDo=",
    "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBDpDJy6MrUpaDZSgyDnhLKKo67ueDNpex3PxEPOibgb+Hs9Kp+vI1KVl/9fDY3jI+6e4OJ2bcDOLnZi6qs4rt2MAAAAEc3NoOg==",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCh4yU4A6TsQsaZ4yuTP10bROpT9n4ObETZHkN+Fyy1Gq1dNywRewFPaLXzsL60z4Ai5PNGpX1eT3/neG0lYiima0Jr9CN3ES1iV7Nl6Sdq+gUcGUeGqvFh8KO8ebHIzdMtOumng6l8epfa6BSnJJ2tf7Tn15WZpkg1atKDhYAG4PnRFb2yX5dtt1el/NzfViBOmrN+jDTQouk+BZ0v6G1/wJgYisog7a331yCg67nwWbpiiyIdbhL9iCpCXoq7iSZ9xr9DmhPPZao1CNlBNMhTQiy2rD/ErhczaxzUFIFSbN4/n6KUcq0xjjnx9ziXPuccxRiQH358vFF6pu1lEC5loS3uyCjGR1Ub7Rqw4A/xY5tzTBvaoXzCrqp/jYtp3XRg3egRSic1qz0WJOieqXjmH81DzomNMFHAWAbuL/WAu1bAWBb2x3At8E1pPjz48GCJZYRyu9WjbObse+ZdcdorgO++sybteHuywaxILuwVU+0oyXbuNbCrgo1VtUFC/90=",
];

/// An Ed25519 key made of one byte.
pub(crate) fn ed25519(seed: u8) -> PrivateKey {
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap()
}

/// The public side as a key that may be certified.
pub(crate) fn public(key: &PrivateKey) -> UserKey {
    UserKey::new(key.public_key()).unwrap()
}

/// A key of every kind that may be certified.
pub(crate) fn keys() -> Vec<UserKey> {
    let others = OTHER_KEYS.iter().map(|line| line.parse().unwrap());
    core::iter::once(public(&ed25519(7))).chain(others).collect()
}

/// The FIDO keys among them.
pub(crate) fn fido_key() -> UserKey {
    keys().into_iter().find(UserKey::is_fido).unwrap()
}

pub(crate) fn account(text: &str) -> Account {
    text.parse().unwrap()
}

/// These accounts, by their own names.
pub(crate) fn by_name(accounts: Vec<Account>) -> Places {
    Places::as_written(accounts, name("user"))
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Everything that goes into a certificate, owned, so that a test can bend any of it.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) issuer: Name,
    pub(crate) name: Name,
    pub(crate) places: Places,
    pub(crate) mode: Mode,
    pub(crate) modifiers: Modifiers,
    pub(crate) command: Option<Command>,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) session_ends: u64,
    pub(crate) now: u64,
    pub(crate) max: u64,
    pub(crate) source_address: Option<IpAddr>,
    pub(crate) verify_required: bool,
    pub(crate) key: UserKey,
    pub(crate) signer: PrivateKey,
    pub(crate) authority: Authority,
    pub(crate) nonce: [u8; 32],
    pub(crate) serial: u64,
}

impl Parts {
    /// A half-hour grant of one account, good in every respect.
    pub(crate) fn new(mode: Mode, modifiers: Modifiers) -> Self {
        let signer = ed25519(1);
        let mut nonce = [9; 32];
        nonce[0] = 1;
        Self {
            issuer: name("corp"),
            name: name("alice"),
            places: by_name(vec!["deploy@web-1.example.com".parse().unwrap()]),
            mode,
            modifiers,
            command: (mode == Mode::Exec).then(|| "/usr/bin/id -u".parse().unwrap()),
            not_before: NOW - 60,
            not_after: NOW + 1800,
            session_ends: NOW + 8 * 3600,
            now: NOW,
            max: 3600,
            source_address: None,
            verify_required: false,
            key: public(&ed25519(7)),
            authority: Authority::new(name("user"), CertKind::User, public(&signer)),
            signer,
            nonce,
            serial: 42,
        }
    }

    /// A shell without modifiers.
    pub(crate) fn shell() -> Self {
        Self::new(Mode::Shell, Modifiers::NONE)
    }

    pub(crate) fn grant() -> GrantId {
        GrantId::from_parts(1_795_327_200_000, 5)
    }

    pub(crate) fn key_id(&self) -> String {
        format!("{}/{}/{}", self.issuer, self.name, Self::grant())
    }

    pub(crate) fn statement(&self) -> Statement<'_> {
        Statement {
            grant: Self::grant(),
            session: SessionId::from_parts(1_795_327_200_000, 6),
            issuer: &self.issuer,
            name: &self.name,
            places: &self.places,
            mode: self.mode,
            modifiers: self.modifiers,
            command: self.command.as_ref(),
            not_before: Timestamp::from_seconds(self.not_before),
            not_after: Timestamp::from_seconds(self.not_after),
            source_address: self.source_address,
            verify_required: self.verify_required,
            policy_digest: "00",
        }
    }

    pub(crate) fn issuance(&self) -> Issuance<'_> {
        Issuance {
            key: &self.key,
            authority: &self.authority,
            now: Timestamp::from_seconds(self.now),
            session_ends: Timestamp::from_seconds(self.session_ends),
            max: Span::from_seconds(self.max),
            nonce: Salt::from_bytes(self.nonce),
            serial: self.serial,
        }
    }

    pub(crate) fn prepare(&self) -> Result<Prepared, CertError> {
        Prepared::of(&self.statement(), &self.issuance())
    }

    /// The name of the lint that stops it.
    pub(crate) fn refused_by(&self) -> String {
        match self.prepare() {
            Err(CertError::Lint { rule, .. }) => rule.to_string(),
            Err(other @ (CertError::Ended | CertError::Encoding | CertError::Signature)) => {
                format!("{other:?}")
            }
            Ok(_) => "nothing".to_string(),
        }
    }

    /// Signed by the authority.
    pub(crate) fn issue(&self) -> ssh_key::Certificate {
        let prepared = self.prepare().unwrap();
        let signature = signature::Signer::try_sign(&self.signer, prepared.tbs()).unwrap();
        let proven = prove_one(prepared.claim(&signature)).unwrap();
        prepared.finish(&proven).unwrap()
    }
}

/// Every mode with every set of modifiers that it takes.
pub(crate) fn all_modes() -> Vec<(Mode, Modifiers)> {
    let sets = |mode: Mode| Modifiers::all_sets().filter(move |set| set.is_empty() || mode.takes_modifiers());
    Mode::ALL.into_iter().flat_map(|mode| sets(mode).map(move |set| (mode, set))).collect()
}
