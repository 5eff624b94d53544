//! The key ID is `ISSUER/NAME/GRANT` in our alphabet: sshd writes it into its log as it stands, and a newline there
//! forges lines.

use jit_ssh_proto::{GrantId, Name};

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint =
    Lint { name: "key-id", source: "auth2-pubkey.c logs the key ID; DESIGN 4", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let key_id = &subject.decoded.key_id;
    let wrong = || alloc::format!("{key_id:?} is not ISSUER/NAME/GRANT");
    let mut parts = key_id.split('/');
    let issuer: Option<Name> = parts.next().and_then(|p| p.parse().ok());
    let name: Option<Name> = parts.next().and_then(|p| p.parse().ok());
    let grant: Option<GrantId> = parts.next().and_then(|p| p.parse().ok());
    demand(parts.next().is_none(), wrong)?;
    let statement = subject.statement;
    demand(
        issuer.as_ref() == Some(statement.issuer)
            && name.as_ref() == Some(statement.name)
            && grant == Some(statement.grant)
            && subject.record.grant == statement.grant,
        wrong,
    )
}
