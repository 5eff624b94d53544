//! Every way to log in, through providers that have nothing in common but the specifications, on a real CA: with a code
//! on another machine, with a pasted address, with the token of a job, at one of several providers, anew.

mod device;
mod fresh;
mod github;
mod jobs;
mod paste;
mod several;

use jit_ssh_tests::ca::{Ca, Data, Setup};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::process::Output;
use jit_ssh_tests::sshd::{Sshd, SshdFolder};
use serde_json::Value;

use crate::login::{host, options};

/// No arguments.
const NONE: [&str; 0] = [];

/// A CA and a host web-1 that trusts it.
struct Place {
    ca: Ca,
    sshd: Sshd,
    login: String,
}

impl Place {
    /// `setup` gets the login that the host has and the host's address.
    fn new(setup: impl FnOnce(&str, &str) -> Setup) -> Self {
        let login = SshdFolder::new().unwrap().login().to_owned();
        let data = Data::init(&Setup::default()).unwrap();
        let sshd = host(&data);
        data.write(&setup(&login, &format!("127.0.0.1:{}", sshd.port()))).unwrap();
        Self { ca: Ca::serve(data, Vec::new()).unwrap(), sshd, login }
    }

    fn account(&self) -> String {
        format!("{}@web-1", self.login)
    }

    /// Somebody at a machine of their own that is set up for the CA.
    fn person(&self) -> Person {
        let person = Person::new().unwrap();
        person.setup(&self.ca).unwrap();
        person
    }

    /// `jit-ssh ssh` to the host.
    fn ssh(&self, person: &Person, more: &[&str], command: &[&str]) -> Output {
        let account = self.account();
        let mut arguments: Vec<String> =
            ["ssh", account.as_str()].iter().chain(more).map(ToString::to_string).collect();
        arguments.push("--".to_owned());
        arguments.extend(options(&self.sshd));
        arguments.extend(command.iter().map(ToString::to_string));
        person.run(arguments).unwrap()
    }

    /// The events of a kind, oldest first.
    fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.ca.data().events().unwrap().into_iter().map(|mut item| item["event"].take());
        events.filter(|event| event["type"] == kind).collect()
    }
}

/// Who somebody is to the CA.
fn whoami(person: &Person) -> Value {
    person.run(["whoami", "--json"]).unwrap().ok().unwrap().json().unwrap()
}
