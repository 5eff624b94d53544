//! A token response that keeps the ID token as it came: this program hands it on and must neither refuse nor
//! rewrite what it is not the judge of.

use std::time::Duration;

use openidconnect::core::{
    CoreGenderClaim, CoreIdToken, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreTokenType,
};
use openidconnect::{
    AccessToken, EmptyAdditionalClaims, OAuth2TokenResponse, RefreshToken, Scope, TokenResponse,
};
use serde::{Deserialize, Serialize};

/// The parts of a token response that are of use here.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct RawTokenResponse {
    access_token: AccessToken,
    token_type: CoreTokenType,
    id_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl RawTokenResponse {
    /// The ID token and the refresh token.
    pub(super) fn into_tokens(self) -> (Option<String>, Option<String>) {
        (self.id_token, self.refresh_token)
    }
}

impl std::fmt::Debug for RawTokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Tokens are secrets.
        f.debug_struct("RawTokenResponse").finish_non_exhaustive()
    }
}

impl OAuth2TokenResponse for RawTokenResponse {
    type TokenType = CoreTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &CoreTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

impl
    TokenResponse<
        EmptyAdditionalClaims,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    > for RawTokenResponse
{
    fn id_token(&self) -> Option<&CoreIdToken> {
        None
    }
}
