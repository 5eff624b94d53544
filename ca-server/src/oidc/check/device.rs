//! The device grant (RFC 8628) as the provider offers it: that the client for it may do it, and that the client of the
//! browser may not. Each is asked for with a request whose code nobody types in.

use jit_ssh_proto::Flow;
use serde::Deserialize;

use super::super::IssuerConfig;
use super::super::fetch::{FetchError, Fetcher};
use super::super::form::{ClientAuth, TokenAnswer};
use super::{Finding, Metadata, bad, good, note};

/// What a provider says to a client that asks for a device's code.
enum Said {
    /// Here it is.
    Code,
    /// No, with OAuth's word for it.
    No(String),
    /// Nothing that is understood.
    Unclear(String),
}

async fn ask(config: &IssuerConfig, fetcher: &Fetcher, flow: Flow) -> Said {
    #[derive(Deserialize)]
    struct Answer {
        device_code: Option<String>,
    }
    let client = ClientAuth { id: config.client_of(flow), secret: config.secret_of(flow) };
    match fetcher.device_code(&client, &[("scope", "openid")]).await {
        Ok(TokenAnswer::Tokens(body)) => match serde_json::from_slice::<Answer>(&body) {
            Ok(Answer { device_code: Some(_) }) => Said::Code,
            Ok(Answer { device_code: None }) | Err(_) => {
                Said::Unclear("its device endpoint gives an answer that is not understood".to_owned())
            }
        },
        Ok(TokenAnswer::Refused(error)) => Said::No(error),
        Err(FetchError::Unreachable(why) | FetchError::Invalid(why)) => Said::Unclear(why),
    }
}

/// Looks at both clients.
pub(super) async fn findings(config: &IssuerConfig, metadata: &Metadata, fetcher: &Fetcher) -> Vec<Finding> {
    let wanted = config.flows.contains(&Flow::Device);
    let Some(endpoint) = &metadata.device_authorization_endpoint else {
        let none = "`flows` has device, and the provider has no device authorization endpoint: take it out.";
        return wanted.then(|| bad("device", none)).into_iter().collect();
    };
    if let Err(error) = fetcher.may_send_us_to(endpoint).await {
        return wanted.then(|| bad("device", super::failed(&error))).into_iter().collect();
    }
    let mut findings = Vec::new();
    if wanted {
        let client = config.client_of(Flow::Device);
        findings.push(match ask(config, fetcher, Flow::Device).await {
            Said::Code => good("device", format!("{endpoint} gives codes to client {client:?}.")),
            Said::No(error) => bad(
                "device",
                format!("{endpoint} gives no code to client {client:?} ({error}): allow it the device grant there."),
            ),
            Said::Unclear(why) => bad("device", format!("{why}: see whether the provider has the device grant.")),
        });
    }
    if config.flows.contains(&Flow::Code) {
        let client = &config.client_id;
        findings.push(match ask(config, fetcher, Flow::Code).await {
            Said::Code => bad(
                "client",
                format!(
                    "client {client:?} may do the device grant too: whoever makes somebody type in a code gets their \
                     session as though they had logged in with a browser here. Forbid it to that client at the provider{}.",
                    if wanted { "" } else { "; a second client, `device_client_id`, is for it" }
                ),
            ),
            Said::No(_) => good("client", format!("client {client:?} may not do the device grant.")),
            Said::Unclear(why) => note(
                "client",
                format!("whether client {client:?} may do the device grant is not clear ({why}): it must not."),
            ),
        });
    }
    if config.device_client.is_some() && metadata.has_pairwise_subjects_only() {
        findings.push(bad(
            "subjects",
            "the provider gives each client a `sub` of its own for the same person, so that one person would be two here \
             and could approve what they ask for: leave code or device out of `flows`.",
        ));
    }
    findings
}
