//! What the fuzz targets (`tests/fuzz`) reach of the parsers that nobody else may call. In no build but theirs, and in
//! the tests, which run them over the seeds.

use std::sync::OnceLock;

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_core::identity::{Flow, IdentityKind, IssuerRules};
use jit_ssh_proto::{Span, Timestamp};

use super::{IssuerConfig, Provider, fetch, issuer_of};

/// When the made-up token arrives.
const NOW: u64 = 1_795_339_800;

/// One public key of each kind, for which nobody has the private half.
const KEYS: &str = include_str!("fuzzing.json");

fn provider() -> Option<&'static Provider> {
    static PROVIDER: OnceLock<Option<Provider>> = OnceLock::new();
    let made = || {
        let file = std::env::temp_dir().join(format!("jit-ssh-fuzz-{}.json", std::process::id()));
        std::fs::write(&file, KEYS).ok()?;
        Some(Provider::new(IssuerConfig {
            rules: IssuerRules {
                name: "corp".parse().ok()?,
                url: "https://id.example.com".to_owned(),
                kind: IdentityKind::User,
                username: None,
                groups: None,
                groups_map: [].into(),
                tags: [].into(),
                allowed_domains: Vec::new(),
                privileged_flows: false,
            },
            url: "https://id.example.com".to_owned(),
            client_id: "jit-ssh".to_owned(),
            device_client: None,
            client_secret: None,
            audience: "jit-ssh".to_owned(),
            flows: vec![Flow::Code, Flow::Device],
            algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
            scopes: Vec::new(),
            max_token_age: Span::from_seconds(600),
            jwks_file: Some(file),
            revalidate: None,
            redirect_port: None,
        }))
    };
    PROVIDER.get_or_init(made).as_ref()
}

/// Verifies a token that nobody signed: one that is written out, or the header and the payload of one, a line each, which
/// are a token's in no time where the letters of one would take for ever to be guessed.
///
/// # Panics
/// If it is taken.
pub fn token(text: &str) {
    let made = text.split_once('\n').map(|(header, payload)| {
        let [header, payload] = [header, payload].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
        format!("{header}.{payload}.{}", BASE64URL_NOPAD.encode(&[1; 64]))
    });
    let token = made.as_deref().unwrap_or(text);
    let _issuer = issuer_of(token);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let Some(provider) = provider() else { return };
    for flow in [Flow::Code, Flow::Device] {
        let verified = runtime.block_on(provider.verify(token, flow, "nonce", Timestamp::from_seconds(NOW)));
        assert!(verified.is_err(), "a token that nobody signed was taken");
    }
}

/// Reads what a provider answered as discovery document and as key set.
pub fn answer(bytes: &[u8]) {
    let _set = fetch::key_set(bytes, "the answer");
    fetch::discovery(bytes, "https://id.example.com");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds").join(name);
        std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// Each seed, each of its beginnings, and each with a bit turned.
    fn nearly(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
        let cut = (0..seed.len()).step_by(7).map(|at| seed[..at].to_vec());
        let bent = (0..seed.len()).step_by(3).map(|at| {
            let mut bent = seed.to_vec();
            bent[at] ^= 1 << (at % 7);
            bent
        });
        std::iter::once(seed.to_vec()).chain(cut).chain(bent)
    }

    #[test]
    fn a_token_that_nobody_signed_is_refused_however_it_is_bent() {
        for seed in seeds("token") {
            for text in nearly(&seed).filter_map(|bytes| String::from_utf8(bytes).ok()) {
                super::token(&text);
            }
        }
    }

    #[test]
    fn an_answer_of_a_provider_never_sends_us_into_our_own_network() {
        seeds("discovery").iter().for_each(|seed| nearly(seed).for_each(|bytes| super::answer(&bytes)));
    }
}
