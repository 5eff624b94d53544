//! The rows of the table of hostile tokens, and the provider that they are presented to.

use data_encoding::BASE64URL_NOPAD as B64;
use jit_ssh_proto::Code;
use serde_json::{Value, json};

use super::maker::{CLIENT, Jwt, NONCE, NOW, TestKey, entry};
use super::server::Server;
use crate::oidc::Provider;

/// A provider with one key of each kind, and a key that it does not publish.
pub(super) struct World {
    pub(super) url: String,
    pub(super) es256: TestKey,
    pub(super) es384: TestKey,
    pub(super) ed25519: TestKey,
    pub(super) rsa: TestKey,
    pub(super) small_rsa: TestKey,
    pub(super) stranger: TestKey,
    pub(super) published: Vec<Value>,
    pub(super) provider: Provider,
    _server: Server,
}

impl World {
    pub(super) async fn new() -> Self {
        let (es256, es384, ed25519) = (TestKey::p256(), TestKey::p384(), TestKey::ed25519());
        let (rsa, small_rsa, twin) = (TestKey::rsa(), TestKey::small_rsa(), TestKey::p256());
        let mut encrypts = TestKey::p256().jwk("encrypts");
        encrypts["use"] = json!("enc");
        let mut leaked = TestKey::p256().jwk("leaked");
        leaked["d"] = json!("AAAA");
        let mut wrong_alg = es256.jwk("wrong-alg");
        wrong_alg["alg"] = json!("ES384");
        let published = vec![
            es256.jwk("es256"),
            es384.jwk("es384"),
            ed25519.jwk("ed25519"),
            rsa.jwk("rsa"),
            small_rsa.jwk("small-rsa"),
            es256.jwk("twice"),
            twin.jwk("twice"),
            encrypts,
            leaked,
            wrong_alg,
            json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "kid": "broken", "crv": "P-256", "x": "AA", "y": "AA"}),
            json!({"kty": "surprise"}),
        ];
        let server = Server::with_keys(published.clone()).await;
        let provider = Provider::new(entry(&server.url));
        Self {
            url: server.url.clone(),
            es256,
            es384,
            ed25519,
            rsa,
            small_rsa,
            stranger: TestKey::p256(),
            published,
            provider,
            _server: server,
        }
    }

    pub(super) fn good(&self) -> Jwt {
        Jwt::good(&self.url, "ES256", "es256")
    }

    pub(super) fn with(&self, name: &str, value: Value) -> String {
        self.good().claim(name, value).sign(&self.es256)
    }

    fn without(&self, name: &str) -> String {
        self.good().no_claim(name).sign(&self.es256)
    }

    pub(super) fn header(&self, name: &str, value: Value) -> String {
        self.good().header(name, value).sign(&self.es256)
    }

    /// A token HS256-signed with `secret`.
    fn hmac(&self, secret: &[u8]) -> String {
        let input = self.good().header("alg", json!("HS256")).signing_input();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        format!("{input}.{}", B64.encode(ring::hmac::sign(&key, input.as_bytes()).as_ref()))
    }

    fn parts(&self) -> [String; 3] {
        let token = self.good().sign(&self.es256);
        let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        parts.try_into().unwrap()
    }
}

pub(super) type Row = (&'static str, String, Code);

/// Every row.
pub(super) fn all(w: &World) -> Vec<Row> {
    [shapes(w), headers(w), keys(w), claims(w), times(w)].concat()
}

fn shapes(w: &World) -> Vec<Row> {
    use Code::TokenMalformed as Malformed;
    let [header, payload, signature] = w.parts();
    let flattened = json!({"protected": header, "payload": payload, "signature": signature}).to_string();
    let unprotected =
        json!({"header": {"alg": "none"}, "payload": payload, "signature": signature}).to_string();
    let general = json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})
        .to_string();
    // The last of 86 characters carries 4 unused bits: setting one names the same bytes in another way.
    let mut loose = signature.clone();
    let last = loose.pop().unwrap();
    let at = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = at.iter().position(|c| char::from(*c) == last).unwrap();
    loose.push(char::from(at[value | 1]));
    vec![
        ("empty", String::new(), Malformed),
        ("words", "let me in".into(), Malformed),
        ("dots", "..".into(), Malformed),
        ("two parts", format!("{header}.{payload}"), Malformed),
        ("four parts", format!("{header}.{payload}.{signature}.{signature}"), Malformed),
        ("five parts, encrypted", format!("{header}.{payload}.{signature}.{payload}.{signature}"), Malformed),
        ("no header", format!(".{payload}.{signature}"), Malformed),
        ("no payload", format!("{header}..{signature}"), Malformed),
        ("padded base64", format!("{header}.{payload}.{signature}=="), Malformed),
        ("standard base64", format!("{header}.{payload}.+{}", &signature[1..]), Malformed),
        ("loose last bits", format!("{header}.{payload}.{loose}"), Malformed),
        ("leading space", format!(" {header}.{payload}.{signature}"), Malformed),
        ("trailing newline", format!("{header}.{payload}.{signature}\n"), Malformed),
        ("inner newline", format!("{header}.\n{payload}.{signature}"), Malformed),
        ("flattened JSON serialisation", flattened, Malformed),
        ("an unprotected header", unprotected, Malformed),
        ("a payload apart from its signature", format!("{header}..{signature}"), Malformed),
        ("groups, a million of them", w.with("groups", json!(vec!["sre"; 1_000_000])), Malformed),
        ("several signatures", general, Malformed),
        ("huge", w.with("padding", json!("x".repeat(16 * 1024))), Malformed),
        ("ten megabytes", "a".repeat(10 << 20), Malformed),
        (
            "header twice alg",
            w.good().edit_header(|h| h.replacen('{', "{\"alg\":\"none\",", 1)).sign(&w.es256),
            Malformed,
        ),
        ("header is a list", w.good().edit_header(|h| format!("[{h}]")).sign(&w.es256), Malformed),
        ("header with a BOM", w.good().edit_header(|h| format!("\u{feff}{h}")).sign(&w.es256), Malformed),
        ("header with a tail", w.good().edit_header(|h| format!("{h}{{}}")).sign(&w.es256), Malformed),
        ("payload with a BOM", w.good().edit_payload(|p| format!("\u{feff}{p}")).sign(&w.es256), Malformed),
        ("payload with a tail", w.good().edit_payload(|p| format!("{p} x")).sign(&w.es256), Malformed),
        ("payload is a list", w.good().edit_payload(|p| format!("[{p}]")).sign(&w.es256), Malformed),
        ("payload is a string", w.good().edit_payload(|_| "\"sub\"".into()).sign(&w.es256), Malformed),
        ("payload is not JSON", w.good().edit_payload(|_| "sub=alice".into()).sign(&w.es256), Malformed),
        ("payload is not UTF-8", w.good().payload_bytes(b"{\"sub\":\"\xff\"}").sign(&w.es256), Malformed),
        (
            "raw control character",
            w.good().edit_payload(|p| p.replace("alice", "al\nice")).sign(&w.es256),
            Malformed,
        ),
        (
            "sub twice",
            w.good().edit_payload(|p| p.replacen('{', "{\"sub\":\"root\",", 1)).sign(&w.es256),
            Malformed,
        ),
        (
            "sub twice, escaped",
            w.good().edit_payload(|p| p.replacen('{', "{\"\\u0073ub\":\"root\",", 1)).sign(&w.es256),
            Malformed,
        ),
        (
            "a claim twice inside",
            w.good().edit_payload(|p| p.replacen('{', "{\"x\":{\"a\":1,\"a\":2},", 1)).sign(&w.es256),
            Malformed,
        ),
        (
            "deep nesting",
            w.good()
                .edit_payload(|p| {
                    p.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(2000), "]".repeat(2000)), 1)
                })
                .sign(&w.es256),
            Malformed,
        ),
    ]
}

fn headers(w: &World) -> Vec<Row> {
    use Code::{TokenAlgorithm as Algorithm, TokenHeader as Header, TokenUnsigned as Unsigned};
    let [header, payload, _] = w.parts();
    let none = |alg: &str| {
        let input = w.good().header("alg", json!(alg)).signing_input();
        format!("{input}.")
    };
    let spki = serde_json::to_vec(&w.published[0]).unwrap();
    vec![
        ("alg none", none("none"), Unsigned),
        ("alg None", none("None"), Unsigned),
        ("alg NONE", none("NONE"), Unsigned),
        ("alg none with a signature", w.good().header("alg", json!("none")).sign(&w.es256), Unsigned),
        ("no signature", format!("{header}.{payload}."), Unsigned),
        ("HS256 with the public key", w.hmac(&spki), Algorithm),
        ("HS256 with the client id", w.hmac(CLIENT.as_bytes()), Algorithm),
        ("HS256 with a published oct key", w.hmac(b"secret"), Algorithm),
        ("alg es256", w.header("alg", json!("es256")), Algorithm),
        ("alg ES256K", w.header("alg", json!("ES256K")), Algorithm),
        ("alg RS1", w.header("alg", json!("RS1")), Algorithm),
        ("alg RS512", w.header("alg", json!("RS512")), Algorithm),
        ("alg RSA-OAEP", w.header("alg", json!("RSA-OAEP")), Algorithm),
        ("alg empty", w.header("alg", json!("")), Algorithm),
        ("alg a list", w.header("alg", json!(["ES256"])), Header),
        ("alg null", w.header("alg", Value::Null), Header),
        ("alg absent", w.good().no_header("alg").sign(&w.es256), Header),
        ("crit", w.header("crit", json!(["exp"])), Header),
        ("crit empty", w.header("crit", json!([])), Header),
        ("jku", w.header("jku", json!("https://evil.example/keys")), Header),
        ("jwk", w.header("jwk", w.stranger.jwk("es256")), Header),
        ("x5u", w.header("x5u", json!("https://evil.example/cert")), Header),
        ("x5c", w.header("x5c", json!(["MIIB"])), Header),
        ("b64 false", w.header("b64", json!(false)), Header),
        ("zip", w.header("zip", json!("DEF")), Header),
        ("enc", w.header("enc", json!("A128GCM")), Header),
        ("cty JWT", w.header("cty", json!("JWT")), Header),
        ("an unknown parameter", w.header("iss", json!("https://evil.example")), Header),
        ("typ of an access token", w.header("typ", json!("at+jwt")), Header),
        ("typ of a logout token", w.header("typ", json!("logout+jwt")), Header),
        ("typ a number", w.header("typ", json!(1)), Header),
        ("kid a number", w.header("kid", json!(1)), Header),
        ("kid empty", w.header("kid", json!("")), Header),
        ("kid null", w.header("kid", Value::Null), Header),
        ("kid endless", w.header("kid", json!("k".repeat(513))), Header),
        ("x5t an object", w.header("x5t", json!({})), Header),
    ]
}

fn keys(w: &World) -> Vec<Row> {
    use Code::{TokenKey as Key, TokenSignature as Signature};
    let [header, payload, signature] = w.parts();
    let mut bytes = B64.decode(signature.as_bytes()).unwrap();
    bytes[10] ^= 1;
    let flipped = B64.encode(&bytes);
    let short = B64.encode(&bytes[..63]);
    let zeros = B64.encode(&[0; 64]);
    let by = |alg: &str, kid: &str, key: &TestKey| Jwt::good(&w.url, alg, kid).sign(key);
    let other = w.good().claim("sub", json!("root")).signing_input();
    vec![
        ("unknown kid", by("ES256", "nobody", &w.stranger), Key),
        ("kid with a path", by("ES256", "../../dev/null", &w.stranger), Key),
        ("kid in another case", by("ES256", "ES256", &w.es256), Key),
        ("kid of a key of another type", by("ES256", "rsa", &w.es256), Key),
        ("kid of a key of another curve", by("ES256", "es384", &w.es256), Key),
        ("kid of a key bound to another alg", by("ES256", "wrong-alg", &w.es256), Key),
        ("kid of two keys", by("ES256", "twice", &w.es256), Key),
        ("kid of an encryption key", by("ES256", "encrypts", &w.stranger), Key),
        ("kid of a published private key", by("ES256", "leaked", &w.stranger), Key),
        ("kid of a 1024 bit RSA key", by("RS256", "small-rsa", &w.small_rsa), Key),
        ("kid of a broken key", by("ES256", "broken", &w.es256), Key),
        ("no kid and several keys fit", w.good().no_header("kid").sign(&w.es256), Key),
        ("another key under a known kid", by("ES256", "es256", &w.stranger), Signature),
        ("a changed bit", format!("{header}.{payload}.{flipped}"), Signature),
        ("a short signature", format!("{header}.{payload}.{short}"), Signature),
        ("zeros for r and s", format!("{header}.{payload}.{zeros}"), Signature),
        ("another token's signature", format!("{other}.{signature}"), Signature),
        (
            "RS256 said to be PS256",
            {
                let input = Jwt::good(&w.url, "PS256", "rsa").signing_input();
                format!("{input}.{}", B64.encode(&w.rsa.sign(input.as_bytes(), "RS256")))
            },
            Signature,
        ),
    ]
}

fn claims(w: &World) -> Vec<Row> {
    use Code::{
        TokenAudience as Audience, TokenAuthorizedParty as Party, TokenClaims as Claims,
        TokenIssuer as Issuer, TokenNonce as Nonce, TokenNonceMissing as NoNonce, TokenSubject as Subject,
    };
    let mixed_case = w.url.replace("http", "Http");
    vec![
        ("iss absent", w.without("iss"), Claims),
        ("iss a list", w.with("iss", json!([w.url])), Claims),
        ("iss with a slash", w.with("iss", json!(format!("{}/", w.url))), Issuer),
        ("iss in mixed case", w.with("iss", json!(mixed_case)), Issuer),
        ("iss look-alike", w.with("iss", json!(format!("{}.evil.example", w.url))), Issuer),
        ("iss another's", w.with("iss", json!("https://id.example")), Issuer),
        ("iss empty", w.with("iss", json!("")), Issuer),
        ("sub absent", w.without("sub"), Subject),
        ("sub empty", w.with("sub", json!("")), Subject),
        ("sub null", w.with("sub", Value::Null), Subject),
        ("sub a number", w.with("sub", json!(1)), Subject),
        ("sub endless", w.with("sub", json!("s".repeat(256))), Subject),
        ("sub with NUL", w.with("sub", json!("alice\0root")), Subject),
        ("sub with a newline", w.with("sub", json!("alice\nroot")), Subject),
        ("aud absent", w.without("aud"), Claims),
        ("aud null", w.with("aud", Value::Null), Claims),
        ("aud a number", w.with("aud", json!(7)), Claims),
        ("aud a list with a number", w.with("aud", json!([CLIENT, 7])), Claims),
        ("aud empty", w.with("aud", json!("")), Audience),
        ("aud an empty list", w.with("aud", json!([])), Audience),
        ("aud another's", w.with("aud", json!("other")), Audience),
        ("aud a list without ours", w.with("aud", json!(["a", "b"])), Audience),
        ("aud in upper case", w.with("aud", json!("JIT-SSH")), Audience),
        ("aud with ours inside", w.with("aud", json!("jit-ssh other")), Audience),
        (
            "aud ours and another's",
            w.good().claim("aud", json!([CLIENT, "other"])).claim("azp", json!(CLIENT)).sign(&w.es256),
            Audience,
        ),
        ("several aud without azp", w.with("aud", json!([CLIENT, CLIENT])), Party),
        ("azp another's", w.with("azp", json!("other")), Party),
        ("azp null", w.with("azp", Value::Null), Party),
        ("azp a list", w.with("azp", json!([CLIENT])), Party),
        ("azp empty", w.with("azp", json!("")), Party),
        ("nonce absent", w.without("nonce"), NoNonce),
        ("nonce empty", w.with("nonce", json!("")), Nonce),
        ("nonce of another key", w.with("nonce", json!("b3RoZXI")), Nonce),
        ("nonce longer", w.with("nonce", json!(format!("{NONCE}A"))), Nonce),
        ("nonce shorter", w.with("nonce", json!(NONCE[..10])), Nonce),
        ("nonce null", w.with("nonce", Value::Null), Claims),
        ("nonce a list", w.with("nonce", json!([NONCE])), Claims),
        ("auth_time a string", w.with("auth_time", json!("now")), Claims),
        ("amr a string", w.with("amr", json!("pwd")), Claims),
        ("acr a number", w.with("acr", json!(1)), Claims),
    ]
}

fn times(w: &World) -> Vec<Row> {
    use Code::{
        TokenClaims as Claims, TokenExpired as Expired, TokenFromTheFuture as Future,
        TokenNotYetValid as NotYet, TokenTooOld as TooOld,
    };
    vec![
        ("exp absent", w.without("exp"), Claims),
        ("exp null", w.with("exp", Value::Null), Claims),
        ("exp a string", w.with("exp", json!((NOW + 300).to_string())), Claims),
        ("exp a date", w.with("exp", json!("2030-01-01T00:00:00Z")), Claims),
        ("exp a float", w.with("exp", json!(1_800_000_300.5)), Claims),
        ("exp negative", w.with("exp", json!(-1)), Claims),
        ("exp in milliseconds", w.with("exp", json!((NOW + 300) * 1000)), Claims),
        ("exp endless", w.with("exp", json!(u64::MAX)), Claims),
        (
            "exp beyond u64",
            w.good().edit_payload(|p| p.replace(&(NOW + 300).to_string(), "1e300")).sign(&w.es256),
            Claims,
        ),
        ("exp zero", w.with("exp", json!(0)), Expired),
        ("exp at the edge", w.with("exp", json!(NOW - 60)), Expired),
        ("iat absent", w.without("iat"), Claims),
        ("iat null", w.with("iat", Value::Null), Claims),
        ("iat endless", w.with("iat", json!(u64::MAX)), Claims),
        ("iat in milliseconds", w.with("iat", json!(NOW * 1000)), Claims),
        ("iat a string", w.with("iat", json!(NOW.to_string())), Claims),
        ("iat a float", w.with("iat", json!(1_800_000_000.0)), Claims),
        ("iat negative", w.with("iat", json!(-5)), Claims),
        ("iat past the edge ahead", w.with("iat", json!(NOW + 61)), Future),
        ("iat past the edge behind", w.with("iat", json!(NOW - 601)), TooOld),
        ("iat zero", w.with("iat", json!(0)), TooOld),
        ("nbf past the edge", w.with("nbf", json!(NOW + 61)), NotYet),
        ("nbf a string", w.with("nbf", json!("soon")), Claims),
        ("nbf null", w.with("nbf", Value::Null), Claims),
        ("nbf a float", w.with("nbf", json!(1.5)), Claims),
        ("nbf negative", w.with("nbf", json!(-1)), Claims),
        ("nbf endless", w.with("nbf", json!(u64::MAX)), Claims),
    ]
}
