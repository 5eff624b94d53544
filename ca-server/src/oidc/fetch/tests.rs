//! Where an issuer may send us: by literal address, and by name when a connection is made.

use std::time::Duration;

use openidconnect::JsonWebKeySetUrl;

use super::super::place::tests::Names;
use super::*;

#[test]
fn where_an_issuer_may_not_send_us() {
    let (public, private, local) = (Place::Public, Place::Private, Place::Local);
    for (issuer, from, address) in [
        ("https://id.example", public, "http://id.example/keys"),
        ("https://id.example", public, "ftp://id.example/keys"),
        ("https://id.example", public, "file:///etc/passwd"),
        ("https://id.example", public, "http://127.0.0.1/keys"),
        ("https://id.example", public, "https://127.0.0.1/keys"),
        ("https://id.example", public, "https://2130706433/keys"),
        ("https://id.example", public, "https://0x7f.1/keys"),
        ("https://id.example", public, "https://localhost/keys"),
        ("https://id.example", public, "https://localhost./keys"),
        ("https://id.example", public, "https://a.localhost/keys"),
        ("https://id.example", public, "https://10.0.0.1/keys"),
        ("https://id.example", public, "https://172.16.0.1/keys"),
        ("https://id.example", public, "https://192.168.0.1/keys"),
        ("https://id.example", public, "https://100.64.0.1/keys"),
        ("https://id.example", public, "https://169.254.169.254/latest"),
        ("https://id.example", public, "https://0.0.0.0/keys"),
        ("https://id.example", public, "https://[::1]/keys"),
        ("https://id.example", public, "https://[::]/keys"),
        ("https://id.example", public, "https://[fd00::1]/keys"),
        ("https://id.example", public, "https://[fe80::1]/keys"),
        ("https://id.example", public, "https://[::ffff:10.0.0.1]/keys"),
        ("https://id.example", public, "https://[64:ff9b::7f00:1]/keys"),
        ("https://id.example", public, "https://user@id.example/keys"),
        ("https://10.0.0.1", private, "https://127.0.0.1/keys"),
        ("https://10.0.0.1", private, "https://169.254.169.254/latest"),
        ("https://10.0.0.1", private, "https://localhost/keys"),
        ("http://127.0.0.1:1", local, "http://id.example/keys"),
        ("http://127.0.0.1:1", local, "http://10.0.0.1/keys"),
        ("http://id.example", public, "http://id.example/keys"),
    ] {
        let (issuer, url) = (Url::parse(issuer).unwrap(), Url::parse(address).unwrap());
        assert!(acceptable(&issuer, from, &url).is_err(), "{issuer} → {address}");
    }
}

#[test]
fn where_it_may() {
    for (issuer, from, address) in [
        ("https://id.example", Place::Public, "https://keys.example/all"),
        ("https://id.example", Place::Public, "https://8.8.8.8/all"),
        ("https://10.0.0.1", Place::Private, "https://10.0.0.1/keys"),
        ("https://10.0.0.1", Place::Private, "https://10.0.0.2/keys"),
        // As the API server of Kubernetes does it, with a name that is of our own network.
        ("https://kubernetes.default.svc", Place::Private, "https://10.96.0.1:6443/openid/v1/jwks"),
        ("http://127.0.0.1:1", Place::Local, "http://127.0.0.1:2/keys"),
        ("http://[::1]:1", Place::Local, "http://[::1]:1/keys"),
        ("http://localhost:1", Place::Local, "http://127.0.0.1:1/keys"),
    ] {
        let (issuer, url) = (Url::parse(issuer).unwrap(), Url::parse(address).unwrap());
        assert_eq!(acceptable(&issuer, from, &url), Ok(()), "{issuer} → {address}");
    }
}

/// A discovery document may name addresses of our own network only if the issuer is in it, by name or by number.
#[tokio::test]
async fn invariant_5_a_public_issuer_names_no_address_of_our_own_network() {
    let names = Names::of(&[
        ("id.example", &["203.0.113.1"]),
        ("id.corp", &["10.0.0.1"]),
        ("id.mixed", &["203.0.113.1", "10.0.0.1"]),
    ]);
    let patience = Patience { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
    for (issuer, address, allowed) in [
        ("https://id.example", "https://keys.example/jwks", true),
        ("https://id.example", "https://10.0.0.2/jwks", false),
        ("https://id.example", "https://127.0.0.1/jwks", false),
        ("https://id.example", "https://[::1]/jwks", false),
        ("https://id.mixed", "https://10.0.0.2/jwks", false),
        ("https://id.nowhere", "https://10.0.0.2/jwks", false),
        ("https://203.0.113.1", "https://10.0.0.2/jwks", false),
        ("https://id.corp", "https://10.0.0.2/jwks", true),
        ("https://10.0.0.1", "https://10.0.0.2/jwks", true),
        ("https://id.corp", "https://127.0.0.1/jwks", false),
        ("https://id.corp", "https://169.254.169.254/jwks", false),
    ] {
        let guard = Guard::with(issuer, [].into(), names.clone());
        let fetcher = Fetcher::with_guard(issuer.to_owned(), patience, guard);
        let said = fetcher.allow("the provider's jwks_uri", &Url::parse(address).unwrap()).await;
        match said {
            Ok(()) => assert!(allowed, "{issuer} → {address}"),
            Err(FetchError::Invalid(why)) => {
                assert!(
                    !allowed && why.contains("jwks_uri points into this machine's own network"),
                    "{address}: {why}"
                );
            }
            Err(FetchError::Unreachable(why)) => panic!("{why}"),
        }
    }
}

/// A name is judged by what it leads to when a connection is made, and none is made to where it may not lead.
#[tokio::test]
async fn invariant_5_a_name_that_leads_to_our_own_machine_is_not_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = Names::of(&[
        ("id.example", &["203.0.113.1"]),
        ("id.inside", &["127.0.0.1"]),
        ("keys.example", &["127.0.0.1"]),
    ]);
    let limit = Duration::from_secs(20);
    let keys = async |issuer: &str| {
        let guard = Guard::with(issuer, [].into(), names.clone());
        let patience = Patience { connect: limit, total: limit };
        let fetcher = Fetcher::with_guard(issuer.to_owned(), patience, guard);
        let address = JsonWebKeySetUrl::new(format!("https://keys.example:{port}/jwks")).unwrap();
        fetcher.keys(&address).await.unwrap_err()
    };
    match keys("https://id.example").await {
        FetchError::Invalid(why) => {
            assert!(why.contains("keys.example is an address in this machine's"), "{why}")
        }
        FetchError::Unreachable(why) => panic!("{why}"),
    }
    let knocked = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(knocked.is_err(), "somebody connected");
    // The same name for an issuer that is here itself: that one is connected to, and hangs up.
    let (error, accepted) = tokio::join!(keys("https://id.inside"), async {
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
    });
    let () = accepted;
    assert!(matches!(error, FetchError::Unreachable(_)), "{error}");
}
