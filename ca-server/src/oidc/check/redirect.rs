//! Whether the provider takes our client and its loopback redirect: asked with `prompt=none`, which shows nobody
//! anything and ends in an error either way; where that error arrives says what the provider thinks.

use url::Url;

use super::super::IssuerConfig;
use super::super::fetch::Fetcher;
use super::{Finding, bad, good, note};

/// A port that no login will use.
const PORT: u16 = 49_152;

/// The authorization request of a login (OpenID Connect Core, 3.1.2.1; RFC 7636, 4.3).
pub(super) fn request(config: &IssuerConfig, authorize: &Url, more: &[(&str, &str)]) -> Url {
    let mut url = authorize.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &config.client_id)
        .append_pair("scope", &config.asked_scopes())
        .append_pair("code_challenge_method", "S256")
        .extend_pairs(more);
    url
}

pub(super) async fn probe(config: &IssuerConfig, authorize: &Url, fetcher: &Fetcher) -> Finding {
    let redirect = format!("http://127.0.0.1:{}/callback", config.redirect_port.unwrap_or(PORT));
    let (shown, register) = match config.redirect_port {
        None => ("http://127.0.0.1:PORT/callback".to_owned(), "http://127.0.0.1/callback".to_owned()),
        Some(_) => (redirect.clone(), redirect.clone()),
    };
    // BASE64URL(SHA-256("")): nobody will ask for the code.
    let challenge = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    let more = [
        ("redirect_uri", redirect.as_str()),
        ("state", "check"),
        ("nonce", "check"),
        ("code_challenge", challenge),
        ("prompt", "none"),
    ];
    match fetcher.knock(&request(config, authorize, &more)).await {
        Ok((_, Some(location))) if location.starts_with(&redirect) => {
            let error = Url::parse(&location).ok().and_then(|url| {
                url.query_pairs().find(|(name, _)| name == "error").map(|(_, value)| value.into_owned())
            });
            match error.as_deref() {
                Some(
                    "unauthorized_client" | "unsupported_response_type" | "invalid_scope" | "invalid_request",
                ) => bad(
                    "redirect",
                    format!(
                        "the provider takes the redirect and refuses the login ({}): compare client, grant and `scopes` there.",
                        error.unwrap_or_default()
                    ),
                ),
                Some(_) | None => {
                    let any = if config.redirect_port.is_none() { ", with any port" } else { "" };
                    good("redirect", format!("{shown} is taken{any}."))
                }
            }
        }
        Ok((status, _)) if (400..500).contains(&status) => bad(
            "redirect",
            format!(
                "the provider answers {status} to a login that ends at {shown}: register {register} for client {:?}{}.",
                config.client_id,
                if config.redirect_port.is_none() {
                    ", and see whether it takes any port (RFC 8252, 7.3); if it does not, write a `redirect_port`"
                } else {
                    ""
                }
            ),
        ),
        Ok((status, _)) => note(
            "redirect",
            format!(
                "the provider answers {status} and does not say whether it takes {shown}: try it with --login."
            ),
        ),
        Err(error) => bad("redirect", super::failed(&error)),
    }
}
