//! Reads `policies/*.cedar` and `inventory/*.toml` into the set that decides: all or nothing.

use std::path::{Path, PathBuf};

use jit_ssh_core::inventory::{Inventory, InventoryError, InventorySource};
use jit_ssh_core::policy::{Draft, PolicyError, PolicySource, ReadChunk, Rules};
use jit_ssh_proto::Span;
use sha2::{Digest, Sha256};

use super::folder::{list_some, read_some};
use super::{ConfigError, Layout, shown};

/// Cedar's parser recurses: it gets a stack that nesting within our cap cannot exhaust.
const PARSER_STACK_BYTES: usize = 16 << 20;

/// How many threads read policies: beside those that decide by the set in force.
const PARSERS: usize = 2;

/// Loads policies and inventory of a data directory, on threads of their own: Cedar's parser recurses.
///
/// # Errors
/// Everything that is wrong, one line for each error.
pub fn load_rules(layout: &Layout, default_ttl: Span) -> Result<Rules, ConfigError> {
    let sources: Vec<PolicySource> = read_some(&layout.policies(), "cedar")?
        .into_iter()
        .map(|(path, text)| PolicySource { file: file_name(&path), text })
        .collect();
    let draft = Draft::new(&sources, default_ttl);
    let (inventory, chunks) = std::thread::scope(|scope| {
        let inventory = spawn(scope, layout, || inventory(layout))?;
        let chunks: Result<Vec<_>, ConfigError> =
            draft.chunks(PARSERS).map(|chunk| spawn(scope, layout, || chunk.read())).collect();
        let chunks = chunks?.into_iter().map(|thread| thread.join().map_err(|_| parser_failed()));
        let chunks: Result<Vec<ReadChunk>, ConfigError> = chunks.collect();
        Ok((inventory.join().map_err(|_| parser_failed())?, chunks?))
    })?;
    let in_policies = |errors: Vec<PolicyError>| -> Vec<String> {
        errors.iter().map(|e| format!("policies/{e}{}", place_shown(e, &sources))).collect()
    };
    match (draft.policies(chunks).map_err(in_policies), inventory) {
        (Ok(policies), Ok((inventory, digest))) => Rules::new(policies, inventory, &digest)
            .map_err(|errors| ConfigError::Rules(in_policies(errors).join("\n"))),
        (Err(lines), Ok(_)) => Err(ConfigError::Rules(lines.join("\n"))),
        (Ok(_), Err(error)) => Err(error),
        (Err(lines), Err(error)) => Err(ConfigError::Rules(format!("{error}\n{}", lines.join("\n")))),
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    layout: &Layout,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<std::thread::ScopedJoinHandle<'scope, T>, ConfigError> {
    let thread = std::thread::Builder::new().name("policy-parser".to_owned()).stack_size(PARSER_STACK_BYTES);
    thread.spawn_scoped(scope, work).map_err(|source| ConfigError::Read { path: layout.policies(), source })
}

fn parser_failed() -> ConfigError {
    ConfigError::Rules("policies: the parser failed: remove what is deeply nested".to_owned())
}

/// The inventory and its digest.
fn inventory(layout: &Layout) -> Result<(Inventory, [u8; 32]), ConfigError> {
    let mut digest = Sha256::new();
    let mut files = Vec::new();
    for (path, text) in read_some(&layout.inventory(), "toml")? {
        let file = file_name(&path);
        frame(&mut digest, file.as_bytes());
        frame(&mut digest, text.as_bytes());
        files.push(InventorySource { file, text });
    }
    let inventory = Inventory::read(&files).map_err(|errors| {
        let text = |file: &str| files.iter().find(|source| source.file == file).map(|source| &source.text);
        let shown = |e: &InventoryError| text(&e.file).map(|text| shown(text, e.line, e.column));
        let lines: Vec<String> =
            errors.iter().map(|e| format!("inventory/{e}{}", shown(e).unwrap_or_default())).collect();
        ConfigError::Rules(lines.join("\n"))
    })?;
    Ok((inventory, digest.finalize().into()))
}

/// The place of an error, for people.
fn place_shown(error: &PolicyError, sources: &[PolicySource]) -> String {
    let source = sources.iter().find(|source| source.file == error.file);
    source.map(|source| shown(&source.text, error.line, error.column)).unwrap_or_default()
}

fn frame(digest: &mut Sha256, part: &[u8]) {
    digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(part);
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The files that a set is made of, those of the inventory first.
pub(crate) fn rule_files(layout: &Layout) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = list_some(&layout.inventory(), "toml")?;
    files.extend(list_some(&layout.policies(), "cedar")?);
    Ok(files)
}
