//! What crosses a process in jit-ssh: names and their alphabets, wire types, error codes, signed
//! envelopes and the files of a host. Everything here is a value; no I/O, no clock, no randomness.
// utoipa's derive needs the prelude of std, and the crates of the log need std.
#![cfg_attr(not(any(feature = "openapi", feature = "log")), no_std)]
extern crate alloc;

mod bundle;
mod command;
pub mod event;
pub mod explanation;
mod flow;
mod host_files;
mod id;
mod key;
#[cfg(feature = "log")]
pub mod log;
mod mode;
mod name;
mod nonce;
mod principal;
mod problem;
mod signed_request;
mod sshsig;
mod text;
mod time;
pub mod wire;

pub use bundle::{AuthorityEntry, BundleError, IssuerEntry, SignedBundle, TrustBundle};
pub use command::{Command, CommandError, PlainCommand};
pub use flow::{Flow, FlowError};
pub use host_files::{DropIn, principals_file};
pub use id::{CaId, GrantId, IdError, RequestId, Salt, SessionId};
pub use key::{KeyError, UserKey};
pub use mode::{Action, Mode, ModeError, Modifier, Modifiers};
pub use name::{Account, Name, NameError, Place};
pub use nonce::{OIDC_NONCE_LABEL, oidc_nonce};
pub use principal::{MAX_PRINCIPALS, Principal, PrincipalError};
pub use problem::{Blame, Code, Problem};
pub use signed_request::{
    MAX_CLOCK_SKEW_SECONDS, RequestSignature, SIGNATURE_HEADER, SignatureHeaderError, SignedRequest,
    possession_message,
};
pub use sshsig::{Namespace, SshSigError, open, sign, verify};
pub use text::{MAX_TEXT_CHARS, Text, TextError, is_invisible};
pub use time::{Span, SpanError, Timestamp};
