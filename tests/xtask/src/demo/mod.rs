//! `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// End after the walk; the exit code tells whether every claim held
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::bail!("the demo is not written yet (once: {})", options.once)
}
