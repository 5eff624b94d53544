//! What most commands start from: the folders, the CA that is set up, and a way to reach it.

use jit_ssh_proto::Timestamp;

use crate::ca::Ca;
use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::http::Http;
use crate::paths::Paths;
use crate::session::{Session, not_logged_in};

/// A client of the CA that is set up.
pub(crate) struct Client {
    /// Where things are kept.
    pub(crate) paths: Paths,
    /// The CA.
    pub(crate) config: Config,
    /// How it is reached.
    pub(crate) http: Http,
}

impl Client {
    /// From the environment and the configuration.
    pub(crate) fn load() -> Result<Self> {
        let paths = Paths::from_env()?;
        let config = Config::require(&paths)?;
        let http = config.http(&paths)?;
        Ok(Self { paths, config, http })
    }

    /// The CA's interface.
    pub(crate) fn ca(&self) -> Ca<'_> {
        Ca { http: &self.http, url: &self.config.pin.url }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        clock::now()
    }

    /// The session that is open, if there is one.
    pub(crate) fn session(&self) -> Result<Option<Session>> {
        Session::load(&self.paths, &self.config.pin.ca_id, self.now())
    }

    /// The session that is open.
    pub(crate) fn require_session(&self) -> Result<Session> {
        self.session()?.ok_or_else(not_logged_in)
    }

    /// Fetches the trust bundle anew: keys may have been rotated, issuers added.
    pub(crate) fn refresh_bundle(&mut self) -> Result<()> {
        let signed = self.ca().bundle()?;
        self.config.refresh(&self.paths, &signed)
    }
}
