//! The files that a set of policies is made of, wherever they are: a data directory, or folders of a checkout.

use std::fs;
use std::path::{Path, PathBuf};

use jit_ssh_core::inventory::{Inventory, InventorySource};
use jit_ssh_core::policy::{PolicySource, Rules, Surroundings};
use sha2::{Digest, Sha256};

use super::found::{Found, count};
use crate::config::{ConfigError, Excerpt, Layout, file_name, ignored, read_all, read_some};

/// Where the files are.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Where {
    /// A folder with policies/, inventory/ and perhaps ca.toml in it: a CA's data directory, or a checkout
    #[arg(value_name = "DIR", required_unless_present = "policies")]
    dir: Option<PathBuf>,
    /// The folder of policies (*.cedar, *.test.toml), in place of DIR
    #[arg(long, value_name = "FOLDER", conflicts_with = "dir")]
    policies: Option<PathBuf>,
    /// The folder of the inventory (*.toml), with --policies
    #[arg(long, value_name = "FOLDER", requires = "policies")]
    inventory: Option<PathBuf>,
    /// ca.toml, whole or an excerpt: timezone, [limits] and [[issuer]] count
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A set of files, by their paths.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) policies: PathBuf,
    pub(super) inventory: Option<PathBuf>,
    config: Option<PathBuf>,
}

/// Everything that was read.
pub(super) struct Set {
    pub(super) sources: Vec<PolicySource>,
    pub(super) inventory: Vec<InventorySource>,
    pub(super) rules: Rules,
    pub(super) excerpt: Excerpt,
}

impl Where {
    pub(super) fn files(&self) -> Files {
        match (&self.dir, &self.policies) {
            (Some(dir), _) => {
                Files { config: self.config.clone().or(Files::of(dir).config), ..Files::of(dir) }
            }
            (None, policies) => Files {
                policies: policies.clone().unwrap_or_default(),
                inventory: self.inventory.clone(),
                config: self.config.clone(),
            },
        }
    }
}

impl Files {
    /// Those of a data directory.
    pub(super) fn of(dir: &Path) -> Self {
        let layout = Layout::new(dir);
        let config = layout.config();
        Self {
            policies: layout.policies(),
            inventory: Some(layout.inventory()),
            config: config.exists().then_some(config),
        }
    }

    /// Reads them all.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(super) fn read(&self) -> Result<Set, Vec<Found>> {
        let mut errors = Vec::new();
        let excerpt = match &self.config {
            Some(path) => Excerpt::load(path),
            None => Excerpt::without_file(),
        };
        let excerpt = excerpt.map_err(|e| errors.push(Found::config(&e))).ok();
        let mut digest = Sha256::new();
        let (inventory, hosts) = match self.inventory(&mut digest) {
            Ok(found) => found,
            Err(found) => {
                errors.extend(found);
                // What is wrong with policies has little to do with it.
                (Inventory::default(), Vec::new())
            }
        };
        let sources = match self.sources() {
            Ok(sources) => sources,
            Err(found) => {
                errors.push(*found);
                Vec::new()
            }
        };
        let ttl = excerpt.as_ref().map_or(jit_ssh_proto::Span::from_seconds(1800), |e| e.limits.ttl);
        match (Rules::load(&sources, inventory, &digest.finalize().into(), ttl), excerpt) {
            (Ok(rules), Some(excerpt)) if errors.is_empty() => {
                let rules = rules.lasting_at_most(excerpt.limits.duration);
                Ok(Set { sources, inventory: hosts, rules, excerpt })
            }
            (Ok(_), _) => Err(errors),
            (Err(found), _) => {
                errors.extend(found.iter().map(|error| Found::policy(&self.policies, error, &sources)));
                Err(errors)
            }
        }
    }

    fn inventory(&self, digest: &mut Sha256) -> Result<(Inventory, Vec<InventorySource>), Vec<Found>> {
        let Some(folder) = &self.inventory else { return Ok((Inventory::default(), Vec::new())) };
        let mut sources = Vec::new();
        for (path, text) in read_some(folder, "toml").map_err(|e| vec![Found::config(&e)])? {
            digest.update(text.as_bytes());
            sources.push(InventorySource { file: file_name(&path), text });
        }
        match Inventory::read(&sources) {
            Ok(inventory) => Ok((inventory, sources)),
            Err(errors) => {
                Err(errors.iter().map(|error| Found::inventory(folder, error, &sources)).collect())
            }
        }
    }

    /// The policy files, by name.
    pub(super) fn sources(&self) -> Result<Vec<PolicySource>, Box<Found>> {
        if !self.policies.is_dir() {
            let what = "there is no such folder: name one with *.cedar in it, or a folder that has policies/";
            return Err(Box::new(Found::error("policy", &self.policies, what)));
        }
        let files = read_some(&self.policies, "cedar").map_err(|e| Box::new(Found::config(&e)))?;
        Ok(files.into_iter().map(|(path, text)| PolicySource { file: file_name(&path), text }).collect())
    }

    /// What is beside the files that are read, and is read by nobody.
    pub(super) fn ignored(&self) -> Vec<PathBuf> {
        let folders = [(Some(&self.policies), "cedar"), (self.inventory.as_ref(), "toml")];
        let known = folders.into_iter().filter_map(|(folder, extension)| Some((folder?, extension)));
        // What cannot be listed was refused when it was read.
        known.flat_map(|(folder, extension)| ignored(folder, extension).unwrap_or_default()).collect()
    }

    /// The files of cases beside the policies, by name.
    pub(super) fn cases(&self) -> Result<Vec<(PathBuf, String)>, ConfigError> {
        let files = read_all(&self.policies, "toml")?;
        Ok(files.into_iter().filter(|(path, _)| file_name(path).ends_with(".test.toml")).collect())
    }
}

/// Reads a set for a command that is about something else than what is wrong with it.
///
/// # Errors
/// One that has all that was found in it.
pub(super) fn read(files: &Files) -> anyhow::Result<Set> {
    files.read().map_err(|found| {
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}\n{}", count(found.len(), "error"), lines.join("\n"))
    })
}

impl Set {
    /// What else the policies depend on.
    pub(super) fn surroundings<'a>(&'a self, today: Option<&'a str>) -> Surroundings<'a> {
        Surroundings {
            issuers: self.excerpt.issuers.as_deref(),
            inventory: &self.inventory,
            max_duration: self.excerpt.limits.duration,
            default_ttl: self.excerpt.limits.ttl,
            today,
        }
    }
}

/// Writes a file whole or not at all.
pub(super) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    use anyhow::Context;
    let name = file_name(path);
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&draft, text).and_then(|()| {
        if let Ok(before) = fs::metadata(path) {
            fs::set_permissions(&draft, before.permissions())?;
        }
        fs::rename(&draft, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}
