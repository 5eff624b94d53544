//! Certificates for tests: from the CA's own profile and encoding, signed by a throw-away authority; and from
//! `ssh-keygen`, for what our CA would never make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use jit_ssh_core::authority::{Authority, CertKind};
use jit_ssh_core::cert::{Issuance, Statement, encode_tbs, profile};
use jit_ssh_core::places::Places;
use jit_ssh_proto::event::CertificateIssued;
use jit_ssh_proto::{
    Account, Command as ExactCommand, GrantId, Mode, Modifiers, Name, Principal, Salt, SessionId, Span,
    Timestamp, UserKey,
};
use signature::Signer;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};

/// A throw-away authority with its key in a folder, so that `ssh-keygen` can sign with it as well.
#[derive(Debug)]
pub struct TestAuthority {
    key: PrivateKey,
    file: PathBuf,
    authority: Authority,
}

/// A key pair in a file and the certificate that is offered with it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The private key's file.
    pub key: PathBuf,
    /// The certificate's file.
    pub certificate: PathBuf,
}

/// What a certificate is to say; [`Asked::new`] gives a good one of a minute's life.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Mode.
    pub mode: Mode,
    /// Modifiers.
    pub modifiers: Modifiers,
    /// `LOGIN@PLACE`.
    pub accounts: Vec<Account>,
    /// For `exec`.
    pub command: Option<ExactCommand>,
    /// The address it is pinned to.
    pub source_address: Option<std::net::IpAddr>,
    /// When it is made: certificates of the past and the future come from here.
    pub now: Timestamp,
    /// Serial.
    pub serial: u64,
}

impl Asked {
    /// A certificate of this mode for these accounts, made now.
    ///
    /// # Panics
    /// When an account is not one: that is the test's mistake.
    #[must_use]
    pub fn new(mode: Mode, modifiers: Modifiers, accounts: &[&str]) -> Self {
        let parsed: Result<Vec<Account>, _> = accounts.iter().map(|a| a.parse()).collect();
        #[expect(clippy::panic, reason = "the test itself is wrong")]
        let accounts = parsed.unwrap_or_else(|e| panic!("{accounts:?} {e}"));
        Self { mode, modifiers, accounts, command: None, source_address: None, now: now(), serial: 1 }
    }

    /// The principals that it will have.
    #[must_use]
    pub fn principals(&self) -> Vec<String> {
        let principal = |a: &Account| Principal::new(self.mode, self.modifiers, a.clone());
        self.accounts.iter().filter_map(|a| principal(a).ok()).map(|p| p.to_string()).collect()
    }
}

/// The wall clock, for tests against programs that read it themselves.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "sshd reads the same clock; nothing here decides by it")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_seconds(since.map_or(0, |d| d.as_secs()))
}

impl TestAuthority {
    /// A new authority whose key is in this folder.
    ///
    /// # Errors
    /// When the key cannot be written.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        Self::named(folder, name, "user")
    }

    /// The same with a name of its own, `user-NAME`: its principals are plain logins.
    ///
    /// # Errors
    /// When the key cannot be written.
    pub fn named(folder: &Path, name: &str, authority: &str) -> Result<Self> {
        let key = random_key()?;
        let file = folder.join(name);
        write_key(&file, &key)?;
        let public = UserKey::new(key.public_key())?;
        let authority = Authority::new(authority.parse::<Name>()?, CertKind::User, public);
        Ok(Self { key, file, authority })
    }

    /// Its public key line.
    #[must_use]
    pub fn line(&self) -> String {
        self.authority.key().to_string()
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> &UserKey {
        self.authority.key()
    }

    /// A fresh key with a certificate by the CA's own profile and encoding.
    ///
    /// # Errors
    /// When the profile refuses, or a file cannot be written.
    pub fn issue(&self, folder: &Path, asked: &Asked) -> Result<Identity> {
        self.issue_bent(folder, asked, |_| {})
    }

    /// The same with its record bent before it is encoded: past the lints, so what no CA of ours would sign.
    ///
    /// # Errors
    /// When the profile refuses, or a file cannot be written.
    pub fn issue_bent(
        &self,
        folder: &Path,
        asked: &Asked,
        bend: impl FnOnce(&mut CertificateIssued),
    ) -> Result<Identity> {
        let key = random_key()?;
        let public = UserKey::new(key.public_key())?;
        let nonce: [u8; 32] = rand::random();
        let life = Span::from_seconds(60);
        let (issuer, name): (Name, Name) = ("corp".parse()?, "alice".parse()?);
        let places = Places::as_written(asked.accounts.clone(), self.authority.name().clone());
        let statement = Statement {
            grant: GrantId::from_parts(asked.now.seconds().saturating_mul(1000), rand::random()),
            session: SessionId::from_parts(asked.now.seconds().saturating_mul(1000), rand::random()),
            issuer: &issuer,
            name: &name,
            places: &places,
            mode: asked.mode,
            modifiers: asked.modifiers,
            command: asked.command.as_ref(),
            not_before: asked.now.minus(life),
            not_after: asked.now.plus(life),
            source_address: asked.source_address,
            verify_required: false,
            policy_digest: "",
        };
        let issuance = Issuance {
            key: &public,
            authority: &self.authority,
            now: asked.now,
            session_ends: asked.now.plus(life),
            max: life,
            nonce: Salt::from_bytes(nonce),
            serial: asked.serial,
        };
        let mut record = profile(&statement, &issuance)?;
        bend(&mut record);
        let mut bytes = encode_tbs(&record)?;
        let signature = Vec::<u8>::try_from(self.key.try_sign(&bytes)?)?;
        bytes.extend_from_slice(&u32::try_from(signature.len())?.to_be_bytes());
        bytes.extend_from_slice(&signature);
        let format = public.algorithm().to_certificate_type();
        identity(folder, &key, |certificate| {
            fs::write(certificate, format!("{format} {}\n", BASE64.encode(&bytes)))?;
            Ok(())
        })
    }

    /// A fresh key with a certificate by `ssh-keygen` and these arguments of its own: what our CA never makes.
    ///
    /// # Errors
    /// When `ssh-keygen` refuses.
    pub fn keygen(&self, folder: &Path, arguments: &[&str]) -> Result<Identity> {
        let key = random_key()?;
        identity(folder, &key, |certificate| {
            let public = certificate.with_file_name(
                certificate
                    .file_name()
                    .and_then(|n| n.to_str())
                    .unwrap_or_default()
                    .replace("-cert.pub", ".pub"),
            );
            fs::write(&public, key.public_key().to_openssh()?)?;
            let mut command = Command::new("ssh-keygen");
            command.arg("-q").arg("-s").arg(&self.file).args(arguments);
            if !arguments.contains(&"-I") {
                command.args(["-I", "test"]);
            }
            if !arguments.contains(&"-V") {
                command.args(["-V", "-1m:+1m"]);
            }
            let output = command.arg(&public).output().context("ssh-keygen cannot be run")?;
            if !output.status.success() {
                bail!("ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(())
        })
    }
}

/// A new Ed25519 key.
///
/// # Errors
/// Never on a machine with randomness.
pub fn random_key() -> Result<PrivateKey> {
    let seed: [u8; 32] = rand::random();
    Ok(PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), "")?)
}

/// Writes a private key as ssh wants it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_key(file: &Path, key: &PrivateKey) -> Result<()> {
    key.write_openssh_file(file, LineEnding::LF)
        .with_context(|| format!("{} cannot be written", file.display()))
}

fn identity(folder: &Path, key: &PrivateKey, certify: impl FnOnce(&Path) -> Result<()>) -> Result<Identity> {
    let stem = format!("id-{:016x}", rand::random::<u64>());
    let file = folder.join(&stem);
    write_key(&file, key)?;
    let certificate = folder.join(format!("{stem}-cert.pub"));
    certify(&certificate)?;
    Ok(Identity { key: file, certificate })
}
