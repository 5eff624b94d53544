//! `jit-ssh setup URL`: shows what a CA says of itself and pins its trust key. A pinned key is only ever replaced
//! when that is asked for by name.

use std::io::{BufRead, IsTerminal, stdin};

use jit_ssh_proto::{SignedBundle, TrustBundle};
use url::Url;

use crate::ca::Ca;
use crate::cli::SetupArgs;
use crate::clock;
use crate::config::{Config, Pin, newer};
use crate::error::{Error, Result};
use crate::held;
use crate::http::{Http, check_address, roots_from_pem};
use crate::oidc::check_issuer;
use crate::output::{Waiting, escape, facts, note};
use crate::paths::Paths;
use crate::session::Session;

pub(super) fn run(args: &SetupArgs) -> Result<()> {
    let paths = Paths::from_env()?;
    let url = address(&args.url)?;
    let roots = args.ca_cert.as_deref().map(read_roots).transpose()?;
    let certificates = match &roots {
        Some(pem) => roots_from_pem(pem).map_err(|e| Error::Usage(format!("--ca-cert: the file {e}")))?,
        None => vec![],
    };
    let http = Http::new(certificates);
    // 1. What the CA says, signed by the key that it says is its trust key.
    let signed = {
        let _waiting = Waiting::for_(format!("asking {url}"));
        Ca { http: &http, url: &url }.bundle()?
    };
    let malformed = |e: jit_ssh_proto::BundleError| {
        Error::Untrusted(format!("{url}: {e}; nothing was pinned: check the address with the CA's operator"))
    };
    let fingerprint = signed.trust_fingerprint().map_err(malformed)?;
    let bundle = signed.open(&fingerprint).map_err(malformed)?;
    // 2. What is pinned already wins, unless it is to be replaced.
    let pinned = match Config::load(&paths) {
        Ok(pinned) => pinned,
        // What is damaged or unreadable is replaced when that is asked for.
        Err(e) if !args.replace => return Err(e),
        Err(_) => None,
    };
    let known = allowed(pinned.as_ref(), &url, &signed, args.replace)?;
    // 3. The person decides.
    show(&url, &bundle, &fingerprint);
    decide(args, &fingerprint, known)?;
    // 4. Pin, and forget what belonged to another CA.
    if pinned.is_some_and(|old| old.pin.ca_id != bundle.ca_id) {
        for certificate in held::list(&paths, clock::now())? {
            certificate.remove()?;
        }
        Session::forget(&paths)?;
    }
    let pin =
        Pin { url: url.clone(), ca_id: bundle.ca_id, trust_key: fingerprint, own_roots: roots.is_some() };
    Config::pin(&paths, pin, &signed, roots.as_ref().map(|pem| pem.as_slice()))?;
    note(&format!("Pinned {url}. Next: jit-ssh login"));
    Ok(())
}

/// A CA's address: scheme, host and port.
fn address(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Error::Usage(format!("{} {why}: give the CA's address, as in https://ca.example.com", escape(text)))
    };
    let url = Url::parse(text).map_err(|_| wrong("is not an address"))?;
    if url.host().is_none() {
        return Err(wrong("names no host"));
    }
    check_address(&url).map_err(|e| wrong(&e))?;
    // Calls are signed over their path as the CA sees it: a prefix on the way would break every signature.
    if url.path() != "/" || url.query().is_some() {
        return Err(wrong("has more than scheme, host and port"));
    }
    Ok(url)
}

fn read_roots(file: &std::path::Path) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let pem = std::fs::read(file);
    pem.map(zeroize::Zeroizing::new).map_err(|e| {
        Error::Usage(format!("--ca-cert {}: {e}; give a PEM file of certificates", file.display()))
    })
}

/// Whether this CA may be pinned, given what is; true if it is the one that is pinned.
fn allowed(pinned: Option<&Config>, url: &Url, signed: &SignedBundle, replace: bool) -> Result<bool> {
    let Some(pinned) = pinned else { return Ok(false) };
    let judged = newer(pinned, signed);
    let (Err(_), true) = (&judged, replace) else {
        return match judged {
            Ok(_) => Ok(true),
            Err(e) if pinned.pin.url == *url => Err(e),
            Err(_) => Err(Error::Untrusted(format!(
                "{} is set up, and {url} is another CA or has another trust key: to leave the first for the second, run \
                 jit-ssh setup {url} --replace",
                pinned.pin.url
            ))),
        };
    };
    Ok(false)
}

fn show(url: &Url, bundle: &TrustBundle, fingerprint: &str) {
    let mut rows = vec![("CA", url.to_string())];
    if bundle.url.trim_end_matches('/') != url.as_str().trim_end_matches('/') {
        rows.push(("Calls itself", escape(&bundle.url)));
    }
    rows.push(("CA id", bundle.ca_id.to_string()));
    rows.push(("Trust key", fingerprint.to_owned()));
    for issuer in &bundle.issuers {
        let doubt = check_issuer(issuer).err().map_or_else(String::new, |e| format!(" — {e}"));
        rows.push((
            "Issuer",
            format!("{} ({}, {}){doubt}", escape(&issuer.name), escape(&issuer.kind), escape(&issuer.url)),
        ));
    }
    if bundle.issuers.is_empty() {
        rows.push(("Issuer", "none yet: nobody can log in".into()));
    }
    note(facts(&rows).trim_end());
}

fn decide(args: &SetupArgs, fingerprint: &str, known: bool) -> Result<()> {
    if let Some(trust) = &args.trust {
        return if trust == fingerprint {
            Ok(())
        } else {
            Err(Error::Untrusted(format!(
                "the trust key is {fingerprint}, not {} as you were told: nothing was pinned; ask the CA's operator",
                escape(trust)
            )))
        };
    }
    if known {
        return Ok(());
    }
    if args.yes {
        note(
            "Warning: the trust key was not compared with what the operator says. Whoever answered is trusted from now on.",
        );
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "the trust key has to be confirmed: compare it with what the CA's operator says and add --trust {fingerprint}"
        )));
    }
    note("\nCompare the trust key with what the CA's operator tells you. Type yes if it is the same:");
    let mut answer = String::new();
    stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Error::Local(format!("cannot read your answer: {e}")))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Error::Usage("not confirmed: nothing was pinned".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bundle, key};
    use jit_ssh_proto::CaId;

    #[test]
    fn addresses_that_are_refused() {
        for bad in [
            "ca.example.com",
            "",
            "http://ca.example.com",
            "https://ca.example.com/prefix",
            "https://ca.example.com/?x=1",
            "https://ca.example.com/#x",
            "https://me:pw@ca.example.com",
            "file:///etc",
            "ssh://ca.example.com",
        ] {
            assert_eq!(address(bad).unwrap_err().exit().code(), 2, "{bad}");
        }
        assert_eq!(address("https://ca.example.com").unwrap().as_str(), "https://ca.example.com/");
        assert!(address("http://127.0.0.1:8443").is_ok());
    }

    #[test]
    fn a_pinned_trust_key_stays_unless_replaced_by_name() {
        let url: Url = "https://ca.example.com".parse().unwrap();
        let elsewhere: Url = "https://other.example.com".parse().unwrap();
        let sign = |bundle: &TrustBundle, number: u8| {
            SignedBundle::sign(bundle, key(number).public_key(), &key(number)).unwrap()
        };
        let ours = bundle(&[]);
        let pinned = Config {
            pin: Pin {
                url: url.clone(),
                ca_id: ours.ca_id,
                trust_key: sign(&ours, 1).trust_fingerprint().unwrap(),
                own_roots: false,
            },
            bundle: ours.clone(),
        };
        let other = TrustBundle { ca_id: CaId::from_bytes([8; 32]), ..ours.clone() };
        assert!(!allowed(None, &url, &sign(&ours, 2), false).unwrap());
        assert!(allowed(Some(&pinned), &url, &sign(&ours, 1), false).unwrap());
        for (signed, at) in [(sign(&ours, 2), &url), (sign(&other, 1), &url), (sign(&other, 2), &elsewhere)] {
            let error = allowed(Some(&pinned), at, &signed, false).unwrap_err();
            assert_eq!(error.exit().code(), 1);
            assert!(error.to_string().contains("--replace"), "{error}");
            assert!(!allowed(Some(&pinned), at, &signed, true).unwrap());
        }
    }

    #[test]
    fn who_decides() {
        let args = |trust: Option<&str>, yes| SetupArgs {
            url: String::new(),
            trust: trust.map(Into::into),
            ca_cert: None,
            yes,
            replace: false,
        };
        assert!(decide(&args(Some("SHA256:a"), false), "SHA256:a", false).is_ok());
        // A fingerprint that was told beats everything else.
        for (yes, known) in [(true, false), (false, true), (true, true)] {
            let error = decide(&args(Some("SHA256:b"), yes), "SHA256:a", known).unwrap_err();
            assert_eq!(error.exit().code(), 1);
        }
        assert!(decide(&args(None, true), "SHA256:a", false).is_ok());
        assert!(decide(&args(None, false), "SHA256:a", true).is_ok());
    }
}
