//! The whole path on real parts: `jit-ssh` in front of a certified OpenID provider (panva's), the CA, stock ssh and
//! sshd. And the provider's bad days: new keys, away, away from the start.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jit_ssh_host::files::{Wanted, install};
use jit_ssh_proto::{CaId, UserKey};
use jit_ssh_tests::api::{Call, Issuer, Key, Signing, login_body};
use jit_ssh_tests::browser;
use jit_ssh_tests::ca::{self, Ca, Data, Setup};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::http::{Answer, send};
use jit_ssh_tests::process::until;
use jit_ssh_tests::provider::NodeProvider;
use jit_ssh_tests::sshd::{Sshd, SshdFolder};

const POLICY: &str = r#"
@id("sre") @ttl("1h")
permit (principal in Group::"sre", action in [Action::"shell", Action::"exec", Action::"sftp"], resource in HostGroup::"web")
when { context.reason != "" };
"#;

/// A CA whose people come from `url`, and who may be `login` on web-1 at `address`.
pub(crate) fn setup(url: &str, login: &str, address: &str) -> Setup {
    let mut corp = ca::Issuer::new("corp", url, &["sre", "dev"]);
    corp.lines =
        "scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\nallowed_domains = [\"example.com\"]"
            .to_owned();
    Setup {
        issuers: vec![corp],
        policy: POLICY.to_owned(),
        inventory: format!(
            "[[group]]\nname = \"web\"\nlogins = [{login:?}]\n\
             [[host]]\nname = \"web-1\"\ngroups = [\"web\"]\naddress = {address:?}\n\
             [[host]]\nname = \"web-2\"\ngroups = [\"web\"]\naddress = {address:?}\n"
        ),
        ..Setup::default()
    }
}

/// A host web-1 in the group web that trusts a CA's user authority, with the files of `jit-ssh-host files`.
pub(crate) fn host(data: &Data) -> Sshd {
    let place = SshdFolder::new().unwrap();
    let etc = place.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::set_permissions(&etc, Permissions::from_mode(0o755)).unwrap();
    let authority = ssh_key::PublicKey::read_openssh_file(&data.dir().join("keys/user.pub")).unwrap();
    let wanted = Wanted {
        folder: etc.clone(),
        name: "web-1".parse().unwrap(),
        groups: vec!["web".parse().unwrap()],
        logins: vec![place.login().parse().unwrap()],
        fronts: Vec::new(),
        authorities: vec![UserKey::new(&authority).unwrap()],
        prune: false,
    };
    install(&wanted).unwrap();
    place.start(&format!("Include {}/sshd_config.d/*.conf", etc.display())).unwrap()
}

/// How a person connects: nothing of theirs is read or written, and the host's key is known under its name.
pub(crate) fn options(sshd: &Sshd) -> Vec<String> {
    let folder = sshd.place().path();
    let known = fs::read_to_string(folder.join("known_hosts")).unwrap();
    let key = known.split_once(' ').unwrap().1;
    sshd.place().write("names", format!("web-1,web-2 {key}")).unwrap();
    [
        format!("UserKnownHostsFile={}/names", folder.display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "BatchMode=yes".to_owned(),
        "PreferredAuthentications=publickey".to_owned(),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect()
}

#[test]
fn from_a_login_at_the_provider_to_a_command_on_the_host_and_to_nothing_else() {
    let provider = NodeProvider::start().unwrap();
    let login = SshdFolder::new().unwrap().login().to_owned();
    let data = Data::init(&Setup::default()).unwrap();
    let sshd = host(&data);
    data.write(&setup(provider.issuer(), &login, &format!("127.0.0.1:{}", sshd.port()))).unwrap();
    let ca = Ca::serve(data, Vec::new()).unwrap();
    let alice = Person::new().unwrap();
    alice.setup(&ca).unwrap();
    let account = format!("{login}@web-1");
    let connect = |person: &Person, account: &str, more: &[&str], command: &[&str]| {
        let mut arguments: Vec<String> =
            ["ssh", account].iter().chain(more).map(ToString::to_string).collect();
        arguments.push("--".to_owned());
        arguments.extend(options(&sshd));
        arguments.extend(command.iter().map(ToString::to_string));
        person.run(arguments).unwrap()
    };

    // Nobody is logged in: said so, with its own exit code, and the host is not asked.
    let early = alice.run(["whoami"]).unwrap().code(5).unwrap();
    assert!(early.err.contains("jit-ssh login"), "{}", early.err);

    // A login with a certificate in the same step, then plain use of it.
    let reason = "OPS-7 disk full";
    let arguments = ["--for", "10m", "--reason", reason];
    let words = [account.as_str()].into_iter().chain(arguments);
    alice.login(words, |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();
    let who = alice.run(["whoami", "--json"]).unwrap().ok().unwrap().json().unwrap();
    assert_eq!((&who["name"], &who["subject"]), (&"alice".into(), &"panva-alice".into()), "{who}");
    assert_eq!(who["groups"], serde_json::json!(["sre"]));
    let ran = connect(&alice, &account, &arguments, &["echo from-$((40 + 2))"]).ok().unwrap();
    assert_eq!(ran.out, "from-42\n", "{}", ran.err);
    assert!(sshd.log().contains("Accepted publickey for"), "{}", sshd.log());
    assert!(sshd.log().contains("corp/alice/grt_"), "{}", sshd.log());

    // The session goes on: one command and no other, and still no browser.
    let exec = ["--reason", reason, "--mode", "exec", "--command", "echo only this"];
    let ran = connect(&alice, &account, &exec, &[]).ok().unwrap();
    assert_eq!(ran.out, "only this\n", "{}", ran.err);
    // sshd of web-1 does not answer to a certificate for web-2, whatever its address.
    let elsewhere = connect(&alice, &format!("{login}@web-2"), &arguments, &["echo in"]);
    assert_eq!((elsewhere.code, elsewhere.out.as_str()), (Some(255), ""), "{}", elsewhere.err);
    // One certificate for every host of the group, and ssh takes it for each of them: nothing more is asked for.
    let group = format!("{login}@group/web");
    let granted = alice.run(["login", &group, "--reason", reason]).unwrap().ok().unwrap();
    assert!(granted.err.contains("Good for 2 hosts"), "{}", granted.err);
    let before = sshd.log().matches("Accepted publickey for").count();
    let ran = connect(&alice, &account, &[], &["echo from-$((40 + 3))"]).ok().unwrap();
    assert_eq!(ran.out, "from-43\n", "{}", ran.err);
    let ran = connect(&alice, &format!("{login}@web-2"), &[], &["echo from-$((40 + 4))"]).ok().unwrap();
    assert_eq!(ran.out, "from-44\n", "it stands for web-1 too: {}", ran.err);
    assert_eq!(sshd.log().matches("Accepted publickey for").count(), before + 2);
    let words = alice.run(["inspect"]).unwrap().ok().unwrap().out;
    assert!(words.contains(&format!("a shell as {login} on web-2")), "{words}");

    // No policy without a reason, which is what alice is told and bob below is not.
    let denied = connect(&alice, &account, &["--mode", "sftp"], &[]).code(3).unwrap();
    let way_out = format!("\nRun: jit-ssh login {account} --mode sftp --reason '…'\n");
    assert!(denied.err.contains("It would be allowed with a reason"), "{}", denied.err);
    assert!(denied.err.ends_with(&way_out), "{}", denied.err);

    // Others are who they are.
    let bob = Person::new().unwrap();
    bob.setup(&ca).unwrap();
    let words = [account.as_str()].into_iter().chain(arguments);
    let denied = bob.login(words, |url| browser::log_in(url, "bob")).unwrap().code(3).unwrap();
    assert!(denied.err.contains("access policies"), "{}", denied.err);
    let who = bob.run(["whoami", "--json"]).unwrap().ok().unwrap().json().unwrap();
    assert_eq!(who["groups"], serde_json::json!(["dev"]), "a denial is no failed login: {who}");
    let eve = Person::new().unwrap();
    eve.setup(&ca).unwrap();
    let nothing: [&str; 0] = [];
    let refused = eve.login(nothing, |url| browser::log_in(url, "eve")).unwrap();
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("has not verified your e-mail address"), "{}", refused.err);
    eve.run(["whoami"]).unwrap().code(5).unwrap();

    // After logout the certificate is gone, and so is the session, here and at the CA.
    alice.run(["logout"]).unwrap().ok().unwrap();
    alice.run(["whoami"]).unwrap().code(5).unwrap();
    let kinds: Vec<String> =
        ca.data().events().unwrap().iter().map(|e| e["event"]["type"].as_str().unwrap().to_owned()).collect();
    let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
    // Alice was given a shell, a command, web-2, and the group; she and bob logged in; two requests were denied.
    assert_eq!(
        (count("session.opened"), count("certificate.issued"), count("request.decided")),
        (2, 4, 6),
        "{kinds:?}"
    );
    assert_eq!(count("session.ended"), 1, "{kinds:?}");
}

#[test]
fn new_keys_of_the_provider_are_followed_and_its_absence_stops_only_logins() {
    let provider = NodeProvider::start().unwrap();
    let ca = Ca::start(&setup(provider.issuer(), "deploy", "127.0.0.1:1")).unwrap();
    let nothing: [&str; 0] = [];
    let log_in = |name: &str| {
        let person = Person::new().unwrap();
        person.setup(&ca).unwrap();
        person.login(nothing, |url| browser::log_in(url, name)).unwrap().ok().unwrap();
        person
    };
    let alice = log_in("alice");
    let asked = provider.asked("/jwks").unwrap();
    // No restart, no wait: the first token by a key that nobody has seen makes the CA look.
    provider.rotate().unwrap();
    log_in("bob");
    assert_eq!(provider.asked("/jwks").unwrap(), asked + 1);
    log_in("carol");
    assert_eq!(provider.asked("/jwks").unwrap(), asked + 1, "a key that is known is not asked for again");
    // Nor do tokens that nobody signed: one look a minute, whoever sends how many.
    for _ in 0..5 {
        assert_eq!(forged(&ca, provider.issuer()).outcome(), "401 token_key");
    }
    assert_eq!(provider.asked("/jwks").unwrap(), asked + 1);

    // Away: who is logged in goes on, to a new certificate even.
    provider.away().unwrap();
    let who = alice.run(["whoami", "--json"]).unwrap().ok().unwrap().json().unwrap();
    assert_eq!(who["name"], "alice");
    let words = ["deploy@web-1", "--reason", "OPS-7"];
    let again = alice.run(["login"].into_iter().chain(words)).unwrap().ok().unwrap();
    assert!(!again.err.contains(provider.issuer()), "no browser was needed: {}", again.err);
    let dave = Person::new().unwrap();
    dave.setup(&ca).unwrap();
    let failed = dave.run(["login", "--no-browser"]).unwrap();
    assert_ne!(failed.code, Some(0));
    assert!(failed.err.contains("corp") || failed.err.contains(provider.issuer()), "{}", failed.err);
    assert_eq!(get(&ca, "/readyz").status, 200);

    // Back: a login works, and nothing was restarted.
    provider.back().unwrap();
    dave.login(nothing, |url| browser::log_in(url, "dave")).unwrap().ok().unwrap();
}

/// Outage under load: who is logged in goes on, logins say what is wrong and work again by themselves, and the CA answers
/// all the while.
#[test]
fn a_provider_that_goes_and_comes_back_under_load_stops_only_logins() {
    let provider = NodeProvider::start().unwrap();
    let ca = Ca::start(&setup(provider.issuer(), "deploy", "127.0.0.1:1")).unwrap();
    let nothing: [&str; 0] = [];
    let newcomer = || {
        let person = Person::new().unwrap();
        person.setup(&ca).unwrap();
        person
    };
    let people: Vec<Person> = (0..3)
        .map(|_| {
            let person = newcomer();
            person.login(nothing, |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();
            person
        })
        .collect();
    let (issued, answered, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // However this ends, the load does.
        let _over = Over(&over);
        for person in &people {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    person.run(["login", "deploy@web-1", "--reason", "OPS-7"]).unwrap().ok().unwrap();
                    issued.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                // One that waits for the provider would wait for its ten seconds.
                let asked = std::time::Instant::now();
                assert_eq!(get(&ca, "/healthz").status, 200);
                assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
                answered.fetch_add(1, Ordering::AcqRel);
            }
        });
        let goes_on = || {
            for count in [&issued, &answered] {
                let before = count.load(Ordering::Acquire);
                until("the load", || Ok((count.load(Ordering::Acquire) > before + 6).then_some(()))).unwrap();
            }
        };
        goes_on();
        provider.away().unwrap();
        let problem = forged(&ca, provider.issuer()).problem().unwrap();
        assert_eq!(problem.code.as_str(), "provider_unreachable", "{problem:?}");
        assert!(problem.detail.contains("corp has been out of reach since 20"), "{problem:?}");
        let dave = newcomer();
        let failed = dave.run(["login", "--no-browser"]).unwrap();
        assert_ne!(failed.code, Some(0));
        for word in ["the identity provider corp", "the CA says: ", "has been out of reach since 20"] {
            assert!(failed.err.contains(word), "{word}: {}", failed.err);
        }
        let ready = get(&ca, "/readyz");
        assert_eq!(ready.status, 200);
        assert!(ready.text().starts_with("ready\ncorp: "), "{}", ready.text());
        goes_on();
        // Back, with new keys even: nothing is restarted, and nobody tells the CA.
        provider.rotate().unwrap();
        provider.back().unwrap();
        until("all to be well", || Ok((get(&ca, "/readyz").text() == "ready\n").then_some(()))).unwrap();
        dave.login(nothing, |url| browser::log_in(url, "dave")).unwrap().ok().unwrap();
        goes_on();
    });
    assert!(ca.log().contains("the identity provider answers again"), "{}", ca.log());
}

/// Ends the load.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_provider_that_is_away_at_the_start_delays_nothing_and_is_named() {
    // It takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", mute.local_addr().unwrap());
    let ca = Ca::start(&setup(&url, "deploy", "127.0.0.1:1")).unwrap();
    assert_eq!(get(&ca, "/healthz").status, 200);
    // The CA has asked it already, and is answering meanwhile: this connection is still open.
    let (waiting, _) = mute.accept().unwrap();
    assert_eq!(get(&ca, "/readyz").status, 200);
    drop((waiting, mute));
    let problem = forged(&ca, &url).problem().unwrap();
    assert_eq!(problem.code.as_str(), "provider_unreachable", "{problem:?}");
    assert!(problem.detail.contains("identity provider corp"), "{problem:?}");
}

fn get(ca: &Ca, path: &str) -> Answer {
    send(address(ca), &Call::plain("GET", path)).unwrap()
}

pub(crate) fn address(ca: &Ca) -> std::net::SocketAddr {
    ca.url().trim_start_matches("http://").parse().unwrap()
}

/// A login with a token that claims to be of this issuer, by a key that is not.
fn forged(ca: &Ca, issuer: &str) -> Answer {
    let id: CaId = ca.bundle().unwrap().ca_id;
    let forger = Issuer::new(issuer, "no-such-key").unwrap();
    let session = Key::new().unwrap();
    let body =
        login_body(&id, &forger, &session, |nonce| forger.claims("alice", &["sre"], nonce), None).unwrap();
    let call =
        Signing::new(&id, &session, None).call("POST", "/v1/sessions", serde_json::to_vec(&body).unwrap());
    send(address(ca), &call.unwrap()).unwrap()
}
