//! docs/PROVIDERS.md, read: each entry as the operator writes it, each token as the provider sends it, signed by a key
//! of ours, and what becomes of it.

use std::path::Path;

use jit_ssh_core::identity::{IdentityKind, VerifiedIdentity};
use jit_ssh_proto::{Code, Flow};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::maker::{Jwt, NONCE, NOW, TestKey, now};
use crate::config::{Config, Layout};
use crate::oidc::Provider;

/// A fenced block of the page: what stands after the fence, and what is in it.
struct Block {
    kind: String,
    text: String,
}

fn page() -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROVIDERS.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !inside => blocks.push(Block { kind: kind.to_owned(), text: String::new() }),
            Some(_) | None => {
                if inside && !line.starts_with("```") {
                    let text = &mut blocks.last_mut().unwrap().text;
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        inside ^= line.starts_with("```");
    }
    blocks
}

/// The provider of one entry, with keys that are ours in place of its own.
fn provider(entry: &str, keys: &[Value]) -> (Provider, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("google.secret", "not-confidential\n");
    write("jwks.json", &json!({ "keys": keys }).to_string());
    let entry = entry.replacen("[[issuer]]\n", "[[issuer]]\njwks_file = \"jwks.json\"\n", 1);
    write("ca.toml", &format!("listen = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:8443\"\n{entry}"));
    let mut config = Config::load(&Layout::new(folder.path())).unwrap_or_else(|e| panic!("{e}\n{entry}"));
    let issuer = config.issuers.remove(0);
    // The keys are read when they are needed.
    (Provider::new(issuer), folder)
}

fn described(who: &VerifiedIdentity) -> String {
    let mut lines = Vec::new();
    if who.kind() == IdentityKind::Workload {
        lines.push("workload".to_owned());
    }
    lines.push(format!("name {}", who.name()));
    lines.extend(who.login().map(|login| format!("login {login}")));
    lines.extend(who.email().map(|email| format!("email {email}")));
    if !who.groups().is_empty() {
        let groups: Vec<&str> = who.groups().iter().map(|group| group.as_str()).collect();
        lines.push(format!("groups {}", groups.join(" ")));
    }
    if !who.methods().is_empty() {
        lines.push(format!("methods {}", who.methods().join(" ")));
    }
    lines.extend(who.level().map(|level| format!("level {level}")));
    lines.extend(who.tags().iter().map(|(tag, value)| format!("tag {tag}={value}")));
    lines.join("\n") + "\n"
}

/// The payload with the times and the nonce of a login that is made now.
fn token(claims: &str, provider: &Provider, key: &TestKey, algorithm: &str) -> String {
    let mut jwt = Jwt::good(&provider.config().url, algorithm, "k1");
    for name in [
        "sub",
        "aud",
        "azp",
        "preferred_username",
        "groups",
        "email",
        "email_verified",
        "amr",
        "acr",
        "auth_time",
    ] {
        jwt = jwt.no_claim(name);
    }
    let claims: serde_json::Map<String, Value> = serde_json::from_str(claims).unwrap();
    for (name, value) in claims {
        jwt = jwt.claim(&name, value);
    }
    if provider.config().rules.kind == IdentityKind::Workload {
        jwt = jwt.no_claim("nonce").claim("iat", json!(NOW - 3000));
    }
    jwt.sign(key)
}

#[tokio::test]
async fn each_provider_of_the_page_is_read_as_the_page_says() {
    let keys = [("RS256", TestKey::rsa()), ("ES256", TestKey::p256())];
    let mut entry = String::new();
    let mut claims = String::new();
    let (mut read, mut wrong) = (0, Vec::new());
    for block in page() {
        match block.kind.as_str() {
            "toml" => entry = block.text,
            "json" => claims = block.text,
            "text" => {
                for (algorithm, key) in &keys {
                    let (provider, _keys) = provider(&entry, &[key.jwk("k1")]);
                    if !provider.config().algorithms.contains(&(*algorithm).to_owned()) {
                        continue;
                    }
                    let flow = provider.config().flows[0];
                    let token = token(&claims, &provider, key, algorithm);
                    let verified = provider.verify(&token, flow, NONCE, now()).await.unwrap();
                    let who = VerifiedIdentity::admit(&provider.config().rules, &verified.claims).unwrap();
                    if described(&who) != block.text {
                        wrong.push(format!("{}:\n{}", provider.config().url, described(&who)));
                    }
                    read += 1;
                }
            }
            // What the page says is refused: the code, and the claim that holds the groups.
            refused if refused.starts_with("json refused ") => {
                let mut words = refused.split(' ').skip(2);
                let (code, groups) = (words.next().unwrap(), words.next().unwrap());
                let entry = entry.replace("groups = \"roles\"", &format!("groups = {groups:?}"));
                let (algorithm, key) = &keys[0];
                let (provider, _keys) = provider(&entry, &[key.jwk("k1")]);
                let token = token(&block.text, &provider, key, algorithm);
                let refused = provider.verify(&token, Flow::Code, NONCE, now()).await.unwrap_err();
                assert_eq!(refused.code.as_str(), code);
                assert_eq!(refused.code, Code::TokenGroupsElsewhere);
                assert!(refused.detail.contains("groups"), "{}", refused.detail);
                read += 1;
            }
            "yaml" => {}
            other => panic!("a block of kind {other:?}"),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(read >= 11, "{read} tokens");
}
