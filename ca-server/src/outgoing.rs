//! The HTTP client for whoever the CA asks: identity providers and witnesses. No redirects, bounded time, https unless
//! everything is on loopback.

use std::sync::Arc;
use std::time::Duration;

/// The time that somebody has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// To accept a connection.
    pub(crate) connect: Duration,
    /// For the whole exchange.
    pub(crate) total: Duration,
}

/// A client. Made on first use: reading the machine's root certificates takes longer than starting the CA. The TLS
/// provider is named, so that no process-wide default is needed. `plain` is for loopback only: no proxy stands between.
/// `names` looks up names, if that is not the machine's own business.
///
/// # Errors
/// In one sentence, what this machine lacks.
pub(crate) async fn client(
    plain: bool,
    patience: Patience,
    names: Option<Arc<dyn reqwest::dns::Resolve>>,
) -> Result<reqwest::Client, &'static str> {
    let roots = if plain { rustls::RootCertStore::empty() } else { native_roots().await? };
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "TLS cannot be set up on this machine")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .https_only(!plain)
        .user_agent(concat!("jit-ssh-ca/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(0)
        .connect_timeout(patience.connect)
        .timeout(patience.total);
    let builder = if plain { builder.no_proxy() } else { builder };
    let builder = match names {
        Some(names) => builder.dns_resolver2(names),
        None => builder,
    };
    builder.build().map_err(|_| "the HTTP client cannot be set up on this machine")
}

async fn native_roots() -> Result<rustls::RootCertStore, &'static str> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .map_err(|_| "the machine's root certificates cannot be read")?;
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(
            "this machine has no root certificates to know others by: install ca-certificates or set SSL_CERT_FILE",
        );
    }
    Ok(roots)
}
