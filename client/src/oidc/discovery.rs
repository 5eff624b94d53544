//! What a provider says of itself (OpenID Connect Discovery 1.0), and the client that `openidconnect` makes of it on
//! our own HTTP.

use jit_ssh_proto::IssuerEntry;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreSubjectIdentifierType, CoreTokenIntrospectionResponse,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthType, Client, ClientId, ClientSecret, DeviceAuthorizationUrl,
    EmptyAdditionalClaims, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl,
    ProviderMetadata, StandardErrorResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::complaint::{fetching, lying};
use super::response::RawTokenResponse;
use crate::error::Result;
use crate::http::{FetchError, Http, check_address};
use crate::output::{escape, escape_short};

/// `CoreClient` with a token response that keeps the ID token as text, and a token endpoint.
pub(super) type OidcClient = Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    RawTokenResponse,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
>;

/// What other specifications add to a discovery document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct More {
    /// RFC 8628, 4
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
    /// RFC 9207, 3
    #[serde(default)]
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for More {}

type Document = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// A provider that has said where it is asked what.
#[derive(Debug)]
pub(super) struct Provider<'a> {
    pub(super) issuer: &'a IssuerEntry,
    document: Document,
    token_endpoint: TokenUrl,
}

impl<'a> Provider<'a> {
    /// Asks it. The issuer inside must be the one asked for, to the letter.
    pub(super) fn discover(http: &Http, issuer: &'a IssuerEntry) -> Result<Self> {
        let url = format!("{}/.well-known/openid-configuration", issuer.url.trim_end_matches('/'));
        let request = openidconnect::http::Request::get(&url)
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|_| lying(issuer, "its address in the CA's trust bundle is no URL"))?;
        let answer = http.call(request).map_err(|e| fetching(issuer, &e))?;
        if answer.status != 200 {
            return Err(lying(
                issuer,
                &format!("its discovery document is answered with status {}", answer.status),
            ));
        }
        Self::read(issuer, &answer.body)
    }

    /// Reads its discovery document.
    pub(super) fn read(issuer: &'a IssuerEntry, body: &[u8]) -> Result<Self> {
        let expected = IssuerUrl::new(issuer.url.clone())
            .map_err(|_| lying(issuer, "its address in the CA's trust bundle is no URL"))?;
        let document: Document = serde_json::from_slice(body).map_err(|e| {
            lying(
                issuer,
                &format!("its discovery document is not understood ({})", escape_short(&e.to_string(), 200)),
            )
        })?;
        if document.issuer() != &expected {
            let theirs = escape_short(document.issuer().as_str(), 200);
            return Err(lying(issuer, &format!("it calls itself {theirs} in its discovery document")));
        }
        let token_endpoint = document
            .token_endpoint()
            .cloned()
            .ok_or_else(|| lying(issuer, "its discovery document names no token endpoint"))?;
        let provider = Self { issuer, document, token_endpoint };
        provider.check(provider.token_endpoint.url())?;
        Ok(provider)
    }

    /// An endpoint must be one that may be called, or opened in a browser.
    fn check(&self, endpoint: &Url) -> Result<()> {
        check_address(endpoint)
            .map_err(|e| lying(self.issuer, &format!("its endpoint {} {e}", escape(endpoint.as_str()))))
    }

    /// Where people log in with a browser.
    pub(super) fn authorization_endpoint(&self) -> Result<openidconnect::AuthUrl> {
        let endpoint = self.document.authorization_endpoint();
        self.check(endpoint.url())?;
        Ok(endpoint.clone())
    }

    /// Where a device asks for a code.
    pub(super) fn device_endpoint(&self) -> Result<DeviceAuthorizationUrl> {
        let named = self.document.additional_metadata().device_authorization_endpoint.clone();
        let named = named.ok_or_else(|| {
            lying(
                self.issuer,
                "it offers no device grant, as its discovery document names no device_authorization_endpoint",
            )
        })?;
        let endpoint = DeviceAuthorizationUrl::new(named)
            .map_err(|_| lying(self.issuer, "its device_authorization_endpoint is no URL"))?;
        self.check(endpoint.url())?;
        Ok(endpoint)
    }

    /// Whether it always names itself in the address that it sends the browser back to.
    pub(super) fn names_itself(&self) -> bool {
        self.document.additional_metadata().authorization_response_iss_parameter_supported == Some(true)
    }

    /// Our client there, for the browser.
    pub(super) fn client(&self) -> OidcClient {
        self.client_named(&self.issuer.client_id, self.issuer.client_secret.as_ref())
    }

    /// Our client there, for the device grant: by it the CA knows how somebody logged in.
    pub(super) fn device_client(&self) -> OidcClient {
        match &self.issuer.device_client_id {
            Some(id) => self.client_named(id, self.issuer.device_client_secret.as_ref()),
            None => self.client(),
        }
    }

    fn client_named(&self, id: &str, secret: Option<&String>) -> OidcClient {
        let client = Client::new(
            ClientId::new(id.to_owned()),
            self.document.issuer().clone(),
            self.document.jwks().clone(),
        );
        let client = match secret.cloned() {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret)),
            None => client,
        };
        client.set_token_uri(self.token_endpoint.clone()).set_auth_type(self.auth_type())
    }

    /// OpenID Connect Core, 9: `client_secret_basic` unless the provider says that it takes only the other.
    fn auth_type(&self) -> AuthType {
        match self.document.token_endpoint_auth_methods_supported() {
            Some(methods)
                if methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                    && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic) =>
            {
                AuthType::RequestBody
            }
            Some(_) | None => AuthType::BasicAuth,
        }
    }
}

/// One exchange for `openidconnect`, on our HTTP client and its bounds.
pub(super) fn exchange(http: &Http, request: HttpRequest) -> std::result::Result<HttpResponse, FetchError> {
    let answer = http.call(request)?;
    openidconnect::http::Response::builder()
        .status(answer.status)
        .header("content-type", answer.media_type)
        .body(answer.body)
        .map_err(|_| FetchError::Answer("the answer has a malformed header".into()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::oidc::tests::issuer;

    /// A discovery document with more members, each after a comma.
    pub(crate) fn document(issuer: &str, token: &str, more: &str) -> String {
        format!(
            r#"{{"issuer":"{issuer}","authorization_endpoint":"https://x/a","token_endpoint":"{token}","jwks_uri":"https://x/k",
            "response_types_supported":["code"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]{more}}}"#
        )
    }

    #[test]
    fn documents_that_are_refused() {
        let a = issuer("a", "user", "code");
        let read = |text: &str| Provider::read(&a, text.as_bytes()).map(drop);
        assert!(read(&document("https://a.example.com", "https://x/t", "")).is_ok());
        let without = document("https://a.example.com", "https://x/t", "").replace("token_endpoint", "other");
        for (bad, why) in [
            (document("https://b.example.com", "https://x/t", ""), "calls itself https://b"),
            (document("https://a.example.com/", "https://x/t", ""), "calls itself"),
            (document("https://a.example.com", "http://x/t", ""), "plain http to another machine"),
            (document("https://a.example.com", "ftp://x/t", ""), "not an https address"),
            (document("https://a.example.com", "https://me:pw@x/t", ""), "password"),
            (without, "names no token endpoint"),
            ("{}".into(), "not understood"),
            ("<html>".into(), "not understood"),
        ] {
            let error = read(&bad).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn device_endpoints_that_are_refused() {
        let a = issuer("a", "user", "device");
        let endpoint = |more: &str| {
            let text = document("https://a.example.com", "https://x/t", more);
            Provider::read(&a, text.as_bytes()).and_then(|provider| provider.device_endpoint())
        };
        assert!(endpoint(r#","device_authorization_endpoint":"https://x/d""#).is_ok());
        for (more, why) in [
            ("", "no device grant"),
            (r#","device_authorization_endpoint":null"#, "no device grant"),
            (r#","device_authorization_endpoint":"""#, "no URL"),
            (r#","device_authorization_endpoint":"http://x/d""#, "plain http"),
            (r#","device_authorization_endpoint":"javascript:x""#, "not an https address"),
        ] {
            let error = endpoint(more).unwrap_err();
            assert!(error.to_string().contains(why), "{more}: {error}");
        }
    }
}
