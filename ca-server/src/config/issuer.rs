//! An `[[issuer]]` entry: from what was written to what can only be valid.

use std::collections::BTreeMap;

use jit_ssh_core::identity::{ClaimPath, IdentityKind, IssuerRules, MAX_TAGS};
use jit_ssh_proto::{Flow, Name, Span};
use url::Url;

use super::{Layout, check_public_url, raw::RawIssuer};
use crate::oidc::IssuerConfig;

/// Algorithms that can be allowed at all: asymmetric, no SHA-1.
const ALGORITHMS: &[&str] = &["RS256", "PS256", "ES256", "ES384", "EdDSA"];

type Bad = (String, String);

pub(super) fn parse(raw: RawIssuer, layout: &Layout) -> Result<IssuerConfig, Bad> {
    let bad = |key: &str, what: String| (key.to_owned(), what);
    let name: Name = raw.name.parse().map_err(|e| bad("name", format!("{e}")))?;
    let url = Url::parse(&raw.url).map_err(|e| bad("url", format!("is not a URL ({e})")))?;
    check_public_url(&url).map_err(|what| bad("url", what))?;
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(bad(
            "url",
            "has a query, a fragment or a user: an issuer has none (OpenID Connect Discovery 1.0, 2)"
                .to_owned(),
        ));
    }
    let kind = match raw.kind.as_deref() {
        None | Some("user") => IdentityKind::User,
        Some("workload") => IdentityKind::Workload,
        Some(other) => return Err(bad("kind", format!("{other:?} is not known: write user or workload"))),
    };
    let flows = match raw.flows {
        None if kind == IdentityKind::Workload => vec![Flow::Token],
        None => vec![Flow::Code],
        Some(words) => flows(&words, kind)?,
    };
    // A workload's platform knows no clients, only audiences.
    let client_id = match (raw.client_id, &raw.audience, kind) {
        (Some(id), _, _) if !id.is_empty() => id,
        (None, Some(audience), IdentityKind::Workload) if !audience.is_empty() => audience.clone(),
        (None, _, IdentityKind::Workload) => {
            return Err(bad(
                "audience",
                "is missing: write the audience that the platform's tokens are asked for with".to_owned(),
            ));
        }
        (_, _, _) => {
            return Err(bad(
                "client_id",
                "is missing or empty: write the client id of jit-ssh at the provider".to_owned(),
            ));
        }
    };
    let algorithms =
        raw.algorithms.unwrap_or_else(|| vec!["ES256".to_owned(), "RS256".to_owned(), "EdDSA".to_owned()]);
    if let Some(unknown) = algorithms.iter().find(|a| !ALGORITHMS.contains(&a.as_str())) {
        return Err(bad("algorithms", format!("has {unknown:?}: choose from {}", ALGORITHMS.join(", "))));
    }
    if algorithms.is_empty() {
        return Err(bad("algorithms", format!("is empty: choose from {}", ALGORITHMS.join(", "))));
    }
    let max_token_age = match raw.max_token_age {
        // The token of a job or of a pod is handed out once and read much later.
        None if kind == IdentityKind::Workload => Span::from_seconds(3600),
        None => Span::from_seconds(600),
        Some(text) => text.parse().map_err(|e| bad("max_token_age", format!("{e}")))?,
    };
    for domain in &raw.allowed_domains {
        if domain.is_empty() || domain.contains(['@', '*', ' ']) {
            return Err(bad(
                "allowed_domains",
                format!("has {domain:?}: write a plain domain such as example.com"),
            ));
        }
    }
    let mut groups_map = BTreeMap::new();
    for (theirs, ours) in raw.groups_map {
        let ours = ours
            .iter()
            .map(|group| {
                group
                    .parse::<Name>()
                    .map_err(|e| bad("groups_map", format!("maps {theirs:?} to {group:?}, which {e}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        groups_map.insert(theirs, ours);
    }
    if !groups_map.is_empty() && raw.groups.is_none() {
        return Err(bad(
            "groups_map",
            "is there without groups: name the claim that holds the groups".to_owned(),
        ));
    }
    let client_secret = raw
        .client_secret_file
        .map(|path| {
            let path = layout.root().join(path);
            std::fs::read_to_string(&path)
                .map(|text| text.trim().to_owned())
                .map_err(|e| bad("client_secret_file", format!("{} cannot be read: {e}", path.display())))
        })
        .transpose()?;
    let revalidate = match raw.revalidate {
        None => None,
        Some(_) if kind == IdentityKind::Workload => {
            return Err(bad(
                "revalidate",
                "is for users: a workload's session ends with its token, leave it out".to_owned(),
            ));
        }
        Some(text) => Some(text.parse::<Span>().map_err(|e| bad("revalidate", format!("{e}")))?),
    };
    let redirect_port = match raw.redirect_port {
        None => None,
        Some(_) if !flows.contains(&Flow::Code) => {
            return Err(bad(
                "redirect_port",
                "is for the flow code, which this entry does not have: leave it out".to_owned(),
            ));
        }
        Some(port @ 0..1024) => {
            return Err(bad(
                "redirect_port",
                format!(
                    "is {port}, on which people may not listen: choose one from 1024 to 65535, below 32768 if you can"
                ),
            ));
        }
        Some(port) => Some(port),
    };
    let mut scopes = ["openid", "profile", "email"].map(str::to_owned).to_vec();
    if revalidate.is_some() {
        // What refresh tokens are asked for with (OpenID Connect Core 1.0, 11).
        scopes.push("offline_access".to_owned());
    }
    Ok(IssuerConfig {
        rules: IssuerRules {
            name,
            url: raw.url.clone(),
            kind,
            username: raw.username,
            groups: raw.groups,
            groups_map,
            tags: tags(raw.tags)?,
            allowed_domains: raw.allowed_domains,
            privileged_flows: raw.privileged_flows,
        },
        url: raw.url,
        audience: raw.audience.unwrap_or_else(|| client_id.clone()),
        client_id,
        client_secret,
        flows,
        algorithms,
        scopes: raw.scopes.unwrap_or(scopes),
        max_token_age,
        jwks_file: raw.jwks_file.map(|path| layout.root().join(path)),
        revalidate,
        redirect_port,
    })
}

/// Tag → claim, each tag with a name that can be written in a policy without surprises.
fn tags(raw: BTreeMap<String, String>) -> Result<BTreeMap<String, ClaimPath>, Bad> {
    let bad = |what: String| ("tags".to_owned(), what);
    if raw.len() > MAX_TAGS {
        return Err(bad(format!("has {} tags: take at most {MAX_TAGS}", raw.len())));
    }
    let one = |(tag, claim): (String, String)| {
        if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
            return Err(bad(format!("has {tag:?}: name a tag with letters, digits, '_' and '-'")));
        }
        let path = claim.parse().map_err(|e| bad(format!("takes {tag} from {claim:?}, which {e}")))?;
        Ok((tag, path))
    };
    raw.into_iter().map(one).collect()
}

/// People log in, workloads are handed tokens; neither does what the other does.
fn flows(words: &[String], kind: IdentityKind) -> Result<Vec<Flow>, Bad> {
    let bad = |what: String| ("flows".to_owned(), what);
    let flows = words
        .iter()
        .map(|word| word.parse::<Flow>().map_err(|e| bad(format!("has {word:?}, which {e}"))))
        .collect::<Result<Vec<_>, _>>()?;
    let (fits, of) = match kind {
        IdentityKind::User => {
            (flows.iter().all(|flow| *flow != Flow::Token), "users: choose from code, device")
        }
        IdentityKind::Workload => (flows.iter().all(|flow| *flow == Flow::Token), "workloads: write token"),
    };
    if flows.is_empty() || !fits {
        return Err(bad(format!("is not for {of}")));
    }
    Ok(flows)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PEOPLE: &str = "name = \"corp\"\nurl = \"https://id.example.com\"\nclient_id = \"jit-ssh\"\n";
    const JOBS: &str = "name = \"ci\"\nurl = \"https://ci.example.com\"\nkind = \"workload\"\naudience = \"https://ca.example.com\"\n";

    fn entry(text: &str) -> Result<IssuerConfig, Bad> {
        let raw: RawIssuer = toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        parse(raw, &Layout::new(Path::new("/nowhere")))
    }

    #[test]
    fn what_an_entry_may_not_say() {
        for (base, line, key, why) in [
            (PEOPLE, "revalidate = \"\"", "revalidate", ""),
            (PEOPLE, "revalidate = \"15\"", "revalidate", ""),
            (PEOPLE, "revalidate = \"0s\"", "revalidate", "at least"),
            (PEOPLE, "revalidate = \"soon\"", "revalidate", ""),
            (PEOPLE, "revalidate = \"-15m\"", "revalidate", ""),
            (JOBS, "revalidate = \"15m\"", "revalidate", "leave it out"),
            (PEOPLE, "redirect_port = 0", "redirect_port", "from 1024"),
            (PEOPLE, "redirect_port = 80", "redirect_port", "from 1024"),
            (PEOPLE, "redirect_port = 8400\nflows = [\"device\"]", "redirect_port", "leave it out"),
            (JOBS, "redirect_port = 8400", "redirect_port", "leave it out"),
            (PEOPLE, "flows = []", "flows", "choose from"),
            (PEOPLE, "flows = [\"token\"]", "flows", "users"),
            (PEOPLE, "flows = [\"implicit\"]", "flows", "implicit"),
            (JOBS, "flows = [\"code\"]", "flows", "workloads"),
            (PEOPLE, "algorithms = [\"none\"]", "algorithms", "none"),
            (PEOPLE, "algorithms = [\"HS256\"]", "algorithms", "HS256"),
            (PEOPLE, "algorithms = []", "algorithms", "is empty"),
            (PEOPLE, "kind = \"robot\"", "kind", "user or workload"),
            (PEOPLE, "allowed_domains = [\"@example.com\"]", "allowed_domains", "plain domain"),
            (PEOPLE, "allowed_domains = [\"*.example.com\"]", "allowed_domains", "plain domain"),
            (PEOPLE, "max_token_age = \"long\"", "max_token_age", ""),
            (PEOPLE, "[groups_map]\na = [\"sre\"]", "groups_map", "without groups"),
            (PEOPLE, "groups = \"g\"\n[groups_map]\na = [\"S R E\"]", "groups_map", "S R E"),
            (PEOPLE, "[tags]\n\"a b\" = \"x\"", "tags", "letters"),
            (PEOPLE, "client_secret_file = \"not-there\"", "client_secret_file", "cannot be read"),
        ] {
            let (field, said) = entry(&format!("{base}{line}\n")).map(drop).expect_err(line);
            assert_eq!(field, key, "{line}");
            assert!(said.contains(why), "{line}: {said}");
        }
    }

    #[test]
    fn what_is_asked_for_with_revalidation_and_what_without() {
        let scopes = |line: &str| entry(&format!("{PEOPLE}{line}\n")).unwrap().scopes.join(" ");
        assert_eq!(scopes(""), "openid profile email");
        assert_eq!(scopes("revalidate = \"15m\""), "openid profile email offline_access");
        // Where the operator says it, it is said.
        assert_eq!(scopes("revalidate = \"15m\"\nscopes = [\"openid\"]"), "openid");
        let entry = entry(&format!("{PEOPLE}revalidate = \"15m\"\nredirect_port = 8400\n")).unwrap();
        assert_eq!((entry.revalidate, entry.redirect_port), (Some(Span::from_seconds(900)), Some(8400)));
    }
}
