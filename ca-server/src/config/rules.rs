//! Reads `policies/*.cedar` and `inventory/*.toml` into the set that decides: all or nothing.

use std::path::{Path, PathBuf};

use jit_ssh_core::inventory::{Inventory, InventoryError, InventorySource};
use jit_ssh_core::policy::{PolicyError, PolicySource, Rules};
use jit_ssh_proto::Span;
use sha2::{Digest, Sha256};

use super::{ConfigError, Layout, shown};

/// Cedar's parser recurses: it gets a stack that nesting within our cap cannot exhaust.
const PARSER_STACK_BYTES: usize = 16 << 20;

/// Loads policies and inventory of a data directory.
///
/// # Errors
/// Everything that is wrong, one line for each error.
pub fn load_rules(layout: &Layout, default_ttl: Span) -> Result<Rules, ConfigError> {
    let mut digest = Sha256::new();
    let mut files = Vec::new();
    for (path, text) in read_all(&layout.inventory(), "toml")? {
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
    let sources: Vec<PolicySource> = read_all(&layout.policies(), "cedar")?
        .into_iter()
        .map(|(path, text)| PolicySource { file: file_name(&path), text })
        .collect();
    let digest: [u8; 32] = digest.finalize().into();
    let texts = sources.clone();
    let load = move || Rules::load(&sources, inventory, &digest, default_ttl);
    let thread = std::thread::Builder::new()
        .name("policy-parser".to_owned())
        .stack_size(PARSER_STACK_BYTES)
        .spawn(load);
    let joined = thread.map_err(|source| ConfigError::Read { path: layout.policies(), source })?.join();
    match joined {
        Ok(Ok(rules)) => Ok(rules),
        Ok(Err(errors)) => {
            let lines: Vec<String> =
                errors.iter().map(|e| format!("policies/{e}{}", place_shown(e, &texts))).collect();
            Err(ConfigError::Rules(lines.join("\n")))
        }
        Err(_) => {
            Err(ConfigError::Rules("policies: the parser failed: remove what is deeply nested".to_owned()))
        }
    }
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

/// The files of a folder with this extension, by name. A folder that is not there has none.
pub(crate) fn read_all(folder: &Path, extension: &str) -> Result<Vec<(PathBuf, String)>, ConfigError> {
    let read = |path: &Path, source| ConfigError::Read { path: path.to_path_buf(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(read(folder, e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| read(folder, e))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.extension().is_some_and(|e| e == extension) && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            std::fs::read_to_string(&path).map(|text| (path.clone(), text)).map_err(|e| read(&path, e))
        })
        .collect()
}
