//! A small CA and identity provider on loopback, for what the real ones cannot be made to do: lie, forget, refuse on
//! command. It verifies what the client signs, so that the client cannot pass by sending anything.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::wire::{AccessRequestBody, Issued, OpenSession, SessionInfo, SessionOpened};
use jit_ssh_proto::{
    AuthorityEntry, CaId, Code, Flow, GrantId, IssuerEntry, Namespace, Problem, RequestSignature, Salt,
    SessionId, SignedBundle, SignedRequest, Timestamp, TrustBundle, UserKey, oidc_nonce, possession_message,
};
use serde_json::{Value, json};
use ssh_key::PrivateKey;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::Ed25519Keypair;
use url::form_urlencoded;

use super::ledger::Ledger;

pub(crate) const CA: CaId = CaId::from_bytes([7; 32]);

#[expect(clippy::disallowed_methods, reason = "the fake has a clock too")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn key(number: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[number; 32]).into()
}

/// What the next certificate says, before the test changes it.
pub(crate) struct Spec {
    pub(crate) signer: PrivateKey,
    pub(crate) subject: UserKey,
    pub(crate) principals: Vec<String>,
    pub(crate) seconds: u64,
    pub(crate) force: Option<String>,
    pub(crate) serial: u64,
    pub(crate) told_serial: u64,
}

pub(crate) struct State {
    pub(crate) trust: PrivateKey,
    pub(crate) issued: u64,
    /// Method and path of each call.
    pub(crate) log: Vec<String>,
    /// What is answered to calls by method and path, whatever they say.
    pub(crate) answers: BTreeMap<String, String>,
    /// Answers to the next requests for access.
    pub(crate) refuse: Vec<Problem>,
    pub(crate) change: fn(&mut Spec),
    pub(crate) change_nonce: fn(String) -> String,
    pub(crate) date: Option<&'static str>,
    pub(crate) pkce: BTreeMap<String, (String, String)>,
    pub(crate) ledger: Ledger,
    /// The number of the ledger key in the bundle.
    pub(crate) ledger_key: u8,
    /// What the device endpoint answers; there is none without.
    pub(crate) device: Option<Value>,
    /// What the token endpoint answers to a device, one after the other.
    pub(crate) polled: Vec<Value>,
    /// The one port to which corp sends browsers back, if it is so.
    pub(crate) redirect_port: Option<u16>,
    /// Identity providers beside corp.
    pub(crate) issuers: Vec<IssuerEntry>,
    /// The session keys that came, in order.
    pub(crate) presented: Vec<String>,
    /// Whether the answer to the next login is lost on the way.
    pub(crate) lose_reply: bool,
    session: Option<(SessionId, UserKey)>,
    serial: u64,
    opened: u64,
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) url: String,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            trust: key(1),
            issued: now(),
            log: vec![],
            answers: BTreeMap::new(),
            refuse: vec![],
            change: |_| {},
            change_nonce: |nonce| nonce,
            date: None,
            pkce: BTreeMap::new(),
            ledger: Ledger::new(),
            ledger_key: 4,
            device: None,
            polled: vec![],
            redirect_port: None,
            issuers: vec![],
            presented: vec![],
            lose_reply: false,
            session: None,
            serial: 0,
            opened: 0,
        };
        let fake = Self { url, state: Arc::new(Mutex::new(state)) };
        let server = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream.unwrap()));
            }
        });
        fake
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.state.lock().unwrap().trust.fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// How often this was called.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.state.lock().unwrap().log.iter().filter(|c| *c == call).count()
    }

    /// What a person does in the browser: goes to `url`, logs in, is sent back to the client.
    pub(crate) fn browse(&self, url: &str) {
        let page = self.browse_with(url, "");
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    }

    /// The same with more headers on the way back; what the client says to it.
    pub(crate) fn browse_with(&self, url: &str, headers: &str) -> String {
        let url = url::Url::parse(url).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(
            (query["response_type"].as_str(), query["code_challenge_method"].as_str()),
            ("code", "S256")
        );
        assert_eq!((query["client_id"].as_str(), query["scope"].as_str()), ("jit-ssh", "openid email"));
        let code = format!("code-{}", query["state"]);
        self.set(|s| {
            drop(s.pkce.insert(code.clone(), (query["code_challenge"].clone(), query["nonce"].clone())))
        });
        let redirect = url::Url::parse_with_params(
            &query["redirect_uri"],
            [("code", &code), ("state", &query["state"])],
        );
        let redirect = redirect.unwrap();
        let address = format!("127.0.0.1:{}", redirect.port().unwrap());
        let mut stream = TcpStream::connect(&address).unwrap();
        let target = &redirect[url::Position::BeforePath..];
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(!page.contains(&code), "{page}");
        page
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some((line, headers, body)) = read(&mut stream) else { return };
        let (method, path) = (line[0].clone(), line[1].clone());
        let (status, answer) = {
            let mut state = self.state.lock().unwrap();
            state.log.push(format!("{method} {path}"));
            match path.strip_prefix("/log/").and_then(|file| state.ledger.file(file)) {
                Some(contents) => (200, contents),
                None => {
                    let (status, text) = self.answer(&mut state, &method, &path, &headers, &body);
                    (status, text.into_bytes())
                }
            }
        };
        if path == "/v1/sessions" && std::mem::take(&mut self.state.lock().unwrap().lose_reply) {
            return;
        }
        let kind = if status < 300 { "application/json" } else { "application/problem+json" };
        let date = self.state.lock().unwrap().date.map_or_else(String::new, |d| format!("date: {d}\r\n"));
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{date}content-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        let _ = stream.write_all(&answer);
    }

    fn answer(
        &self,
        state: &mut State,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> (u16, String) {
        let signed = |session: Option<&SessionId>, key: &UserKey| -> RequestSignature {
            let signature: RequestSignature = headers["jit-ssh-signature"].parse().unwrap();
            let call = SignedRequest { ca: &CA, method, path, session, body };
            call.verify(key.public_key(), &signature).unwrap();
            assert!(signature.time().seconds().abs_diff(now()) < 60);
            signature
        };
        // The session of the token, if it is still the one.
        let bearer = |state: &State| {
            let token = headers["authorization"].strip_prefix("Bearer token-").unwrap().to_owned();
            state.session.clone().filter(|(id, _)| id.to_string() == token)
        };
        let ended = || problem(&Problem::new(Code::SessionEnded, "The session was ended: log in again."));
        if let Some(answer) = state.answers.get(&format!("{method} {path}")) {
            return (200, answer.clone());
        }
        match (method, path) {
            ("GET", "/.well-known/jit-ssh") => (200, self.bundle(state)),
            ("GET", "/op/.well-known/openid-configuration") => {
                let op = format!("{}/op", self.url);
                let mut document = json!({
                    "issuer": op, "authorization_endpoint": format!("{op}/authorize"), "token_endpoint": format!("{op}/token"),
                    "jwks_uri": format!("{op}/jwks"), "response_types_supported": ["code"],
                    "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
                });
                if state.device.is_some() {
                    document["device_authorization_endpoint"] = json!(format!("{op}/device"));
                }
                (200, document.to_string())
            }
            ("POST", "/op/device") => {
                let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
                assert_eq!(form["client_id"], "jit-ssh-device");
                (200, state.device.clone().unwrap().to_string())
            }
            ("POST", "/op/token") => {
                let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
                if form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code" {
                    assert_eq!(
                        (form["device_code"].as_str(), form["client_id"].as_str()),
                        ("dc", "jit-ssh-device")
                    );
                    let answer = state.polled.remove(0);
                    let status = if answer.get("error").is_some() { 400 } else { 200 };
                    return (status, answer.to_string());
                }
                let (challenge, nonce) = state.pkce.remove(&form["code"]).unwrap();
                let verifier = openidconnect::PkceCodeVerifier::new(form["code_verifier"].clone());
                let computed = openidconnect::PkceCodeChallenge::from_code_verifier_sha256(&verifier);
                assert_eq!(computed.as_str(), challenge);
                let payload = json!({ "sub": "1", "nonce": (state.change_nonce)(nonce) }).to_string();
                let token = format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(payload.as_bytes()));
                (200, json!({ "access_token": "a", "token_type": "Bearer", "id_token": token }).to_string())
            }
            ("POST", "/v1/sessions") => {
                let open: OpenSession = serde_json::from_slice(body).unwrap();
                let key: UserKey = open.session_key.parse().unwrap();
                let signature = signed(None, &key);
                let salt: Salt = open.salt.parse().unwrap();
                let payload =
                    BASE64URL_NOPAD.decode(open.id_token.split('.').nth(1).unwrap().as_bytes()).unwrap();
                let payload: Value = serde_json::from_slice(&payload).unwrap();
                if open.flow == Flow::Code {
                    assert_eq!(payload["nonce"], oidc_nonce(&CA, &salt, &key));
                }
                state.presented.push(open.session_key.clone());
                state.opened += 1;
                let id = SessionId::from_parts(now() * 1000, u128::from(state.opened));
                state.session = Some((id, key.clone()));
                let mut opened = SessionOpened {
                    session: info(&id),
                    token: format!("token-{id}"),
                    issued: None,
                    refused: None,
                };
                if let Some(request) = &open.request {
                    match issue(state, request, &key, signature.id()) {
                        Ok(issued) => opened.issued = Some(issued),
                        Err(problem) => opened.refused = Some(problem),
                    }
                }
                (201, serde_json::to_string(&opened).unwrap())
            }
            ("GET", "/v1/sessions/current") => match bearer(state) {
                Some((id, _)) => (200, serde_json::to_string(&info(&id)).unwrap()),
                None => ended(),
            },
            ("DELETE", "/v1/sessions/current") => {
                let Some((id, key)) = bearer(state) else { return ended() };
                signed(Some(&id), &key);
                state.session = None;
                (204, String::new())
            }
            ("POST", "/v1/requests") => {
                let Some((id, key)) = bearer(state) else { return ended() };
                let signature = signed(Some(&id), &key);
                match issue(state, &serde_json::from_slice(body).unwrap(), &key, signature.id()) {
                    Ok(issued) => (200, serde_json::to_string(&issued).unwrap()),
                    Err(no) => problem(&no),
                }
            }
            _ => problem(&Problem::new(Code::NotFound, "There is no such route.")),
        }
    }

    fn bundle(&self, state: &State) -> String {
        let entry = |name: &str, kind: &str, number| AuthorityEntry {
            name: name.into(),
            kind: kind.into(),
            key: key(number).public_key().to_openssh().unwrap(),
        };
        let bundle = TrustBundle {
            version: 1,
            ca_id: CA,
            url: self.url.clone(),
            issued: Timestamp::from_seconds(state.issued),
            authorities: vec![entry("user", "user", 2), entry("host", "host", 3)],
            ledger_key: key(state.ledger_key).public_key().to_openssh().unwrap(),
            issuers: std::iter::once(IssuerEntry {
                name: "corp".into(),
                url: format!("{}/op", self.url),
                client_id: "jit-ssh".into(),
                client_secret: None,
                device_client_id: state.device.is_some().then(|| "jit-ssh-device".into()),
                device_client_secret: None,
                audience: None,
                kind: "user".into(),
                flows: ["code", "device"]
                    .iter()
                    .take(if state.device.is_some() { 2 } else { 1 })
                    .map(ToString::to_string)
                    .collect(),
                scopes: vec!["openid".into(), "email".into()],
                revalidate: false,
                redirect_port: state.redirect_port,
            })
            .chain(state.issuers.clone())
            .collect(),
            host_patterns: vec![],
        };
        let signed = SignedBundle::sign(&bundle, state.trust.public_key(), &state.trust).unwrap();
        serde_json::to_string(&signed).unwrap()
    }
}

fn issue(
    state: &mut State,
    body: &AccessRequestBody,
    session_key: &UserKey,
    call: &str,
) -> Result<Issued, Problem> {
    let subject: UserKey = body.key.parse().unwrap();
    let message = possession_message(&CA, session_key, call, &subject);
    let proof = BASE64URL_NOPAD.decode(body.proof.as_bytes()).unwrap();
    jit_ssh_proto::verify(subject.public_key(), Namespace::Possession, &message, &proof).unwrap();
    if !state.refuse.is_empty() {
        return Err(state.refuse.remove(0));
    }
    state.serial += 1;
    let modifiers: String = body.modifiers.iter().map(|m| format!("+{}", m.as_str())).collect();
    let mut spec = Spec {
        signer: key(2),
        subject,
        principals: body.accounts.iter().map(|a| format!("{}{modifiers}:{a}", body.mode)).collect(),
        seconds: 1800,
        force: body.command.clone(),
        serial: state.serial,
        told_serial: state.serial,
    };
    (state.change)(&mut spec);
    let end = now() + spec.seconds;
    let mut builder = Builder::new(vec![1; 32], spec.subject.key_data().clone(), now() - 60, end).unwrap();
    builder.cert_type(CertType::User).unwrap().serial(spec.serial).unwrap().key_id("corp/ada/x").unwrap();
    for principal in &spec.principals {
        builder.valid_principal(principal).unwrap();
    }
    if let Some(force) = &spec.force {
        builder.critical_option("force-command", force).unwrap();
    }
    // Whatever group it is, web-1 and web-2 are in it.
    let members = body.accounts.iter().filter(|account| account.contains("@group/"));
    let members: BTreeMap<String, Vec<String>> =
        members.map(|account| (account.clone(), vec!["web-1".into(), "web-2".into()])).collect();
    let hosts = body.accounts.iter().filter_map(|account| account.split('@').nth(1));
    let hosts = hosts.filter(|place| !place.starts_with("group/")).map(str::to_owned);
    let hosts = hosts.chain(members.values().flatten().cloned());
    let grant = GrantId::from_parts(now() * 1000, u128::from(state.serial));
    let certificate = builder.sign(&spec.signer).unwrap();
    let (leaf_index, receipt) = state.ledger.record(&certificate, grant);
    Ok(Issued {
        request: "req_x".into(),
        grant: grant.to_string(),
        certificate: certificate.to_openssh().unwrap(),
        serial: spec.told_serial,
        valid_before: Timestamp::from_seconds(end),
        policies: vec!["p".into()],
        leaf_index,
        receipt,
        addresses: hosts.map(|host| (host, "127.0.0.1:2222".to_owned())).collect(),
        members: members.clone(),
    })
}

fn info(id: &SessionId) -> SessionInfo {
    SessionInfo {
        id: id.to_string(),
        issuer: "corp".into(),
        subject: "1".into(),
        name: "ada\u{1b}[31m".into(),
        login: Some("ada".into()),
        email: None,
        groups: vec!["sre".into()],
        tags: [].into(),
        flow: Flow::Code,
        auth_time: None,
        opened: Timestamp::from_seconds(now()),
        expires: Timestamp::from_seconds(now() + 3600),
    }
}

fn problem(problem: &Problem) -> (u16, String) {
    (problem.status, serde_json::to_string(problem).unwrap())
}

type Request = (Vec<String>, BTreeMap<String, String>, Vec<u8>);

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let line = lines.next()?.split(' ').map(str::to_owned).collect();
            let headers: BTreeMap<String, String> = lines
                .filter_map(|l| l.split_once(": "))
                .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
                .collect();
            let length: usize = headers.get("content-length").map_or(0, |l| l.parse().unwrap());
            if bytes.len() >= at + 4 + length {
                return Some((line, headers, bytes[at + 4..at + 4 + length].to_vec()));
            }
        }
        let read = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}
