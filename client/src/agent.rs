//! The ssh-agent at `SSH_AUTH_SOCK`: a certificate goes in with its key and a lifetime, and is looked for
//! afterwards, since some agents accept what they cannot hold. Only the certificate identity goes in: a plain key
//! beside it would be offered first by OpenSSH before 10 (facts: openssh.md 6).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ssh_agent_lib::blocking::Client;
use ssh_agent_lib::proto::{
    AddIdentity, AddIdentityConstrained, KeyConstraint, PrivateCredential, PrivateKeyData, PublicCredential,
    RemoveIdentity,
};
use ssh_encoding::Decode;
use ssh_key::{Certificate, PrivateKey};

/// An agent that does not answer within this is taken for none.
const PATIENCE: Duration = Duration::from_secs(5);
/// No list of identities that is read is longer.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The agent of the environment, if it names one.
pub(crate) struct Agent {
    socket: std::path::PathBuf,
}

impl Agent {
    /// From `SSH_AUTH_SOCK`.
    pub(crate) fn from_env() -> Option<Self> {
        let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|v| !v.is_empty())?;
        Some(Self { socket: socket.into() })
    }

    fn connect(&self) -> Result<UnixStream, String> {
        let stream = UnixStream::connect(&self.socket).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        Ok(stream)
    }

    /// Puts the certificate and its key in for `seconds`, and makes sure that it is there.
    pub(crate) fn add(
        &self,
        certificate: &Certificate,
        key: &PrivateKey,
        seconds: u32,
    ) -> Result<(), String> {
        let ssh_key::private::KeypairData::Ed25519(pair) = key.key_data() else {
            return Err("the key is not Ed25519".into());
        };
        let credential = PrivateCredential::Cert {
            algorithm: certificate.algorithm(),
            certificate: Box::new(certificate.clone()),
            privkey: PrivateKeyData::Ed25519(pair.clone()),
            comment: format!("jit-ssh {}", certificate.key_id()),
        };
        let identity = AddIdentityConstrained {
            identity: AddIdentity { credential },
            constraints: vec![KeyConstraint::Lifetime(seconds)],
        };
        Client::new(self.connect()?).add_identity_constrained(identity).map_err(|e| e.to_string())?;
        if self.holds(certificate) {
            return Ok(());
        }
        // It may be there in a form we cannot see; a key that nobody uses should not stay.
        let _ = self.remove(certificate);
        Err("it says yes and does not hold the certificate".into())
    }

    /// Whether the agent holds exactly this certificate.
    pub(crate) fn holds(&self, certificate: &Certificate) -> bool {
        let Ok(wanted) = certificate.to_bytes() else { return false };
        self.identities().is_ok_and(|blobs| blobs.contains(&wanted))
    }

    /// Takes the certificate and its key out.
    pub(crate) fn remove(&self, certificate: &Certificate) -> Result<(), String> {
        let credential = PublicCredential::Cert(Box::new(certificate.clone()));
        Client::new(self.connect()?).remove_identity(RemoveIdentity { credential }).map_err(|e| e.to_string())
    }

    /// The blobs that the agent offers. Read by hand: the library's list fails as a whole for one identity that it
    /// does not understand, such as a certificate without an end.
    fn identities(&self) -> Result<Vec<Vec<u8>>, String> {
        let mut stream = self.connect()?;
        stream.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES]).map_err(|e| e.to_string())?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).map_err(|e| e.to_string())?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_ANSWER {
            return Err("the answer is too long".into());
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).map_err(|e| e.to_string())?;
        parse_identities(&answer).ok_or_else(|| "the answer is not understood".into())
    }
}

/// RFC 9987, `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENT_IDENTITIES_ANSWER`.
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;

fn parse_identities(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = answer.strip_prefix(&[IDENTITIES_ANSWER])?;
    let count = u32::decode(&mut rest).ok()?;
    let mut blobs = Vec::new();
    for _ in 0..count {
        blobs.push(Vec::<u8>::decode(&mut rest).ok()?);
        Vec::<u8>::decode(&mut rest).ok()?;
    }
    Some(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_identities() {
        let one = [&[12, 0, 0, 0, 1, 0, 0, 0, 2][..], b"ab", &[0, 0, 0, 1], b"c"].concat();
        assert_eq!(parse_identities(&one), Some(vec![b"ab".to_vec()]));
        assert_eq!(parse_identities(&[12, 0, 0, 0, 0]), Some(vec![]));
        for bad in
            [&[][..], &[5], &[12], &[12, 0, 0, 0, 1], &[12, 255, 255, 255, 255, 0], &one[..one.len() - 1]]
        {
            assert_eq!(parse_identities(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn no_agent_holds_nothing() {
        let agent = Agent { socket: "/nowhere/agent".into() };
        assert!(agent.identities().is_err());
    }
}
