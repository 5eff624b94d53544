//! glewlwyd, an OpenID provider in C from Debian, as a child process: a fresh database, a random loopback port, ended
//! with its owner. It and panva's have nothing in common but the specifications.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::Response;
use url::Url;

use crate::process::{self, Process, until};

/// What Debian's package brings for a new database, and whom it makes an administrator.
const DATABASE: &str = "/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz";
const ADMINISTRATOR: (&str, &str) = ("admin", "password");
/// The only scope that its people grant.
const SCOPE: &str = "openid";
/// Its client for browsers, and the one for devices.
const BROWSER: &str = "jit-ssh";
const DEVICE: &str = "jit-ssh-device";
/// The passwords of its people.
const PASSWORD: &str = "any password";
/// Where a program's own modules are.
const MODULES: &str = "/usr/lib/glewlwyd";

/// A running provider. Its people are alice (sre, sre-leads) and bob (dev); its clients are `jit-ssh`, for browsers, and `jit-ssh-device`. Its tokens have no
/// `email_verified`.
#[derive(Debug)]
pub struct Glewlwyd {
    url: String,
    administrator: Visitor,
    _process: Process,
    _folder: TempDir,
}

impl Glewlwyd {
    /// Starts it and makes its people and its client.
    ///
    /// # Errors
    /// If it is not installed, does not come up or refuses to be set up.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        database(&folder.path().join("g.db"))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}");
        let file = folder.path().join("g.conf");
        fs::write(&file, configuration(port, &url, folder.path()))?;
        let mut process = Process::start(process::command(Path::new("glewlwyd")).arg("-c").arg(&file))
            .context("glewlwyd cannot be run: `cargo xtask test` installs it")?;
        let agent = agent();
        until("glewlwyd to answer", || {
            if let Some(status) = process.ended()? {
                bail!("glewlwyd ended with {status}");
            }
            Ok(agent.get(format!("{url}/config")).call().is_ok().then_some(()))
        })
        .with_context(|| process.said())?;
        let administrator = Visitor::log_in(&url, ADMINISTRATOR.0, ADMINISTRATOR.1)?;
        let provider = Self { url, administrator, _process: process, _folder: folder };
        provider.set_up()?;
        Ok(provider)
    }

    /// The issuer's URL.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}/api/oidc", self.url)
    }

    /// Follows `authorize_url` as `person` until the loopback callback has answered.
    ///
    /// # Errors
    /// If a step fails, or it is refused.
    pub fn log_in(&self, authorize_url: &str, person: &str) -> Result<()> {
        let url = Url::parse(authorize_url)?;
        let (_, redirect) =
            url.query_pairs().find(|(name, _)| name == "redirect_uri").context("no redirect_uri")?;
        // It compares redirects to the letter, ports too: each port is registered when it is known.
        self.client(&[&redirect])?;
        let visitor = self.person(person)?;
        let asked = visitor.get(authorize_url)?;
        if !location(&asked)?.contains("/login.html?") {
            bail!("it did not ask who it is: {}", location(&asked)?);
        }
        // What its page in JavaScript does once somebody has logged in and agreed.
        let answer = visitor.get(&format!("{authorize_url}&g_continue"))?;
        let callback = location(&answer)?;
        if !callback.starts_with(redirect.as_ref()) {
            bail!("it sends the browser to {callback}");
        }
        let status = agent().get(&callback).call().context("the callback does not answer")?.status();
        if !status.is_success() {
            bail!("the callback answered {status}");
        }
        Ok(())
    }

    /// Agrees to the code of a device as `person`, at the address that has it.
    ///
    /// # Errors
    /// If a step fails, or it is refused.
    pub fn approve(&self, complete: &str, person: &str) -> Result<()> {
        let visitor = self.person(person)?;
        let asked = visitor.get(complete)?;
        if !location(&asked)?.contains("/login.html?") {
            bail!("it did not ask who it is: {}", location(&asked)?);
        }
        let answer = visitor.get(&format!("{complete}&g_continue"))?;
        if !location(&answer)?.contains("prompt=deviceComplete") {
            bail!("it sends the browser to {}", location(&answer)?);
        }
        Ok(())
    }

    fn person(&self, name: &str) -> Result<Visitor> {
        let visitor = Visitor::log_in(&self.url, name, PASSWORD)?;
        for client in [BROWSER, DEVICE] {
            visitor.send("PUT", &format!("/api/auth/grant/{client}/"), &json!({ "scope": SCOPE }))?;
        }
        Ok(visitor)
    }

    fn set_up(&self) -> Result<()> {
        let admin = &self.administrator;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let claim = |name: &str, property: &str| {
            json!({
                "name": name, "user-property": property, "type": "string", "mandatory": true, "on-demand": false,
                "scope": [],
            })
        };
        let parameters = json!({
            "iss": self.issuer(), "subject-type": "public", "oauth-as-iss-id": true, "jwks-show": true,
            "jwt-type": "ecdsa", "jwt-key-size": "256", "key": key.serialize_pem(), "cert": key.public_key_pem(),
            "access-token-duration": 300, "refresh-token-duration": 3600, "code-duration": 60,
            "refresh-token-rolling": false, "allow-non-oidc": false,
            "auth-type-code-enabled": true, "auth-type-device-enabled": true, "auth-type-id-token-enabled": true,
            "auth-type-token-enabled": false, "auth-type-none-enabled": false, "auth-type-password-enabled": false,
            "auth-type-client-enabled": false, "auth-type-refresh-enabled": false,
            "device-authorization-expiration": 600, "device-authorization-interval": 1,
            "pkce-allowed": true, "pkce-required": true, "pkce-method-plain-allowed": false,
            "email-claim": "mandatory", "name-claim": "mandatory", "scope-claim": "no",
            "claims": [claim("groups", "groups"), claim("preferred_username", "short-name")],
        });
        let plugin =
            json!({ "module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": parameters });
        admin.send("POST", "/api/mod/plugin/", &plugin)?;
        // What its people have besides a name.
        let mut people: Value =
            serde_json::from_str(&admin.get("/api/mod/user/database")?.into_body().read_to_string()?)?;
        let format = people.pointer_mut("/parameters/data-format").context("no data format")?;
        for (property, multiple) in [("groups", true), ("short-name", false)] {
            let rule = json!({ "multiple": multiple, "read": true, "write": true, "profile-read": true });
            if let Some(format) = format.as_object_mut() {
                format.insert(property.to_owned(), rule);
            }
        }
        admin.send("PUT", "/api/mod/user/database", &people)?;
        admin.send("PUT", "/api/mod/user/database/reset", &json!({}))?;
        for (login, name, groups) in
            [("alice", "Alice Adler", ["sre", "sre-leads"].as_slice()), ("bob", "Bob Baker", &["dev"])]
        {
            let person = json!({
                "username": login, "password": PASSWORD, "name": name, "email": format!("{login}@example.com"),
                "scope": ["g_profile", SCOPE], "groups": groups, "short-name": login, "enabled": true,
            });
            admin.send("POST", "/api/user/", &person)?;
        }
        admin.send("POST", "/api/client/", &client(DEVICE, "device_authorization", &[]))?;
        admin.send("POST", "/api/client/", &client(BROWSER, "code", &[]))
    }

    fn client(&self, redirects: &[&str]) -> Result<()> {
        self.administrator.send("PUT", &format!("/api/client/{BROWSER}"), &client(BROWSER, "code", redirects))
    }
}

fn client(id: &str, grant: &str, redirects: &[&str]) -> Value {
    json!({
        "client_id": id, "name": id, "confidential": false, "redirect_uri": redirects,
        "authorization_type": [grant], "scope": [SCOPE], "enabled": true,
    })
}

fn database(file: &Path) -> Result<()> {
    let sql = process::run(Command::new("gzip").args(["-dc", DATABASE]))?;
    let sql = sql.ok().context("its database cannot be read: `cargo xtask test` installs glewlwyd")?.out;
    Ok(rusqlite::Connection::open(file)?.execute_batch(&sql)?)
}

fn configuration(port: u16, url: &str, folder: &Path) -> String {
    format!(
        "port = {port}\nbind_address = \"127.0.0.1\"\nexternal_url = \"{url}\"\nlogin_url = \"login.html\"\n\
         api_prefix = \"api\"\nstatic_files_path = \"/usr/share/glewlwyd/webapp/\"\nlog_mode = \"console\"\n\
         log_level = \"WARNING\"\ncookie_domain = \"127.0.0.1\"\ncookie_secure = 0\nsession_expiration = 3600\n\
         session_key = \"session\"\nadmin_scope = \"g_admin\"\nprofile_scope = \"g_profile\"\nlogin_api_enabled = true\n\
         user_module_path = \"{MODULES}/user\"\nuser_middleware_module_path = \"{MODULES}/user_middleware\"\n\
         client_module_path = \"{MODULES}/client\"\nuser_auth_scheme_module_path = \"{MODULES}/scheme\"\n\
         plugin_module_path = \"{MODULES}/plugin\"\nhash_algorithm = \"SHA512\"\n\
         database = {{ type = \"sqlite3\"; path = \"{}/g.db\"; }};\n",
        folder.display()
    )
}

fn agent() -> Agent {
    let config = Agent::config_builder().max_redirects(0).max_redirects_will_error(false);
    config.timeout_global(Some(process::PATIENCE)).build().into()
}

fn location(response: &Response<ureq::Body>) -> Result<String> {
    let location = response.headers().get("location").context("it sends the browser nowhere")?;
    Ok(location.to_str()?.to_owned())
}

/// Somebody who is logged in there.
#[derive(Debug)]
struct Visitor {
    url: String,
    cookie: String,
}

impl Visitor {
    fn log_in(url: &str, name: &str, password: &str) -> Result<Self> {
        let who = json!({ "username": name, "password": password }).to_string();
        let answer = agent()
            .post(format!("{url}/api/auth/"))
            .header("content-type", "application/json")
            .send(who)
            .with_context(|| format!("{name} cannot log in"))?;
        let set = answer.headers().get("set-cookie").context("no session")?.to_str()?;
        let cookie = set.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { url: url.to_owned(), cookie })
    }

    /// A page of its own, or one below its address.
    fn get(&self, page: &str) -> Result<Response<ureq::Body>> {
        let page = if page.starts_with('/') { format!("{}{page}", self.url) } else { page.to_owned() };
        let answer = agent().get(&page).header("cookie", &self.cookie).call();
        answer.with_context(|| format!("{page} does not answer"))
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("cookie", &self.cookie)
            .header("content-type", "application/json")
            .body(body.to_string())?;
        agent().run(request).with_context(|| format!("{method} {path} is refused"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_up_knows_its_people_and_nobody_else() {
        let provider = Glewlwyd::start().unwrap();
        let document = format!("{}/.well-known/openid-configuration", provider.issuer());
        let document = ureq::get(document).call().unwrap().into_body().read_to_string().unwrap();
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["issuer"], provider.issuer());
        assert!(document["device_authorization_endpoint"].is_string(), "{document}");
        for person in ["alice", "bob"] {
            provider.person(person).unwrap();
        }
        assert!(provider.person("mallory").is_err());
        assert!(Visitor::log_in(&provider.url, "alice", "another password").is_err());
    }
}
