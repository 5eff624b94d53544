//! The token that a platform hands to a workload: where it is, and that it looks like one. It is read anew each time,
//! because platforms replace it, and nothing of it is ever shown, kept or passed on as an argument.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use jit_ssh_proto::IssuerEntry;
use serde::Deserialize;
use ureq::http::Request;
use url::Url;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::http::{Http, check_address};
use crate::output::escape;

/// No token that a CA takes is larger.
const MAX_TOKEN: u64 = 64 * 1024;

/// The variables that GitHub gives to jobs with `permissions: id-token: write`.
pub(crate) const GITHUB_VARIABLES: [&str; 2] =
    ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];

/// The issuer of tokens for jobs on github.com.
pub(crate) const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Where a workload's token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In a file.
    File(PathBuf),
    /// On standard input.
    Stdin,
    /// In an environment variable.
    Variable(String),
    /// At GitHub, for a job of GitHub Actions.
    GitHub,
}

/// An environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The token of a file, of standard input or of a variable. None where it has yet to be asked for.
pub(crate) fn at_hand(source: &Source, environment: Environment<'_>) -> Result<Option<Zeroizing<String>>> {
    match source {
        Source::File(path) => {
            let what = path.display().to_string();
            let file = File::open(path).map_err(|e| {
                Error::Local(format!(
                    "cannot read the token in {what}: {e}; check the path and its permissions"
                ))
            })?;
            bounded(file, &what).and_then(|text| shape(text, &what)).map(Some)
        }
        Source::Stdin => {
            bounded(stdin(), "standard input").and_then(|text| shape(text, "standard input")).map(Some)
        }
        Source::Variable(name) => {
            let what = format!("the variable {}", escape(name));
            let text = environment(name).ok_or_else(|| {
                Error::Local(format!("{what} is not set: let the platform put the token there first"))
            })?;
            let text = text.into_string().unwrap_or_default();
            shape(Zeroizing::new(text.into_bytes()), &what).map(Some)
        }
        Source::GitHub => Ok(None),
    }
}

/// Asks GitHub for a token of this job, for the audience of an issuer's entry.
pub(crate) fn from_github(
    http: &Http,
    issuer: &IssuerEntry,
    environment: Environment<'_>,
) -> Result<Zeroizing<String>> {
    let [url, bearer] = GITHUB_VARIABLES.map(|name| {
        let value = environment(name).and_then(|value| value.into_string().ok());
        value.filter(|value| !value.is_empty()).ok_or_else(|| {
            Error::Local(format!(
                "{name} is not set: --github is for a job of GitHub Actions with permissions: id-token: write"
            ))
        })
    });
    let (url, bearer) = (url?, Zeroizing::new(bearer?));
    let wrong = |why: &str| Error::Local(format!("GitHub gave the job no token: {why}; run the job again"));
    let mut url = Url::parse(&url).map_err(|_| wrong("ACTIONS_ID_TOKEN_REQUEST_URL is no URL"))?;
    check_address(&url).map_err(|e| wrong(&format!("ACTIONS_ID_TOKEN_REQUEST_URL {e}")))?;
    url.query_pairs_mut().append_pair("audience", issuer.audience());
    let request = Request::get(url.as_str())
        .header("accept", "application/json")
        .header("authorization", format!("bearer {}", bearer.as_str()))
        .body(Vec::new())
        .map_err(|_| wrong("ACTIONS_ID_TOKEN_REQUEST_TOKEN cannot be sent"))?;
    let mut answer = http.call(request).map_err(|e| wrong(&e.to_string()))?;
    if answer.status != 200 {
        return Err(wrong(&format!("it answers with status {}", answer.status)));
    }
    #[derive(Deserialize)]
    struct Given {
        value: String,
    }
    let given = serde_json::from_slice::<Given>(&answer.body);
    answer.body.zeroize();
    let given = given.map_err(|_| wrong("its answer is not understood"))?;
    shape(Zeroizing::new(given.value.into_bytes()), "GitHub's answer")
}

/// Where a token is that is named neither by an option nor by `-`.
pub(crate) fn file(path: &Path) -> Source {
    if path.as_os_str() == "-" { Source::Stdin } else { Source::File(path.to_owned()) }
}

fn bounded(from: impl Read, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(8 * 1024));
    from.take(MAX_TOKEN + 1)
        .read_to_end(&mut text)
        .map_err(|e| Error::Local(format!("cannot read the token in {what}: {e}; check the path")))?;
    Ok(text)
}

/// One signed JWT with nothing around it but white space.
fn shape(text: Zeroizing<Vec<u8>>, what: &str) -> Result<Zeroizing<String>> {
    let token = text.trim_ascii();
    let part = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let parts: Vec<&[u8]> = token.split(|b| *b == b'.').collect();
    let fits = u64::try_from(text.len()).is_ok_and(|n| n <= MAX_TOKEN);
    if !fits || parts.len() != 3 || !parts.iter().all(|p| part(p)) {
        return Err(Error::Local(format!(
            "{what} does not hold a token, which is one signed JWT: check what the platform puts there"
        )));
    }
    let token = std::str::from_utf8(token).unwrap_or_default();
    Ok(Zeroizing::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use std::io::Write;

    use super::*;
    use crate::oidc::tests::issuer;

    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln-_";

    #[test]
    fn what_is_a_token() {
        for good in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!(" {TOKEN}\r\n")] {
            let token = shape(Zeroizing::new(good.clone().into_bytes()), "x").unwrap();
            assert_eq!(token.as_str(), TOKEN, "{good:?}");
        }
        for bad in [
            String::new(),
            "\n".into(),
            "secret-but-no-token".into(),
            "a.b".into(),
            "a..c".into(),
            "a.b.c.d".into(),
            "a.b.c.d.e".into(),
            format!("{TOKEN}="),
            format!("{TOKEN}\n{TOKEN}"),
            format!("Bearer {TOKEN}"),
            format!("\u{feff}{TOKEN}"),
            "{\"value\":\"a.b.c\"}".into(),
            format!("a.b.{}", "c".repeat(64 * 1024)),
        ] {
            let error = shape(Zeroizing::new(bad.clone().into_bytes()), "the file").unwrap_err().to_string();
            assert!(error.starts_with("the file does not hold a token"), "{error}");
            assert!(bad.len() < 3 || !error.contains(&bad), "what it holds is shown: {error}");
        }
    }

    #[test]
    fn where_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let nothing = |_: &str| None;
        let source = file(&path);
        assert!(at_hand(&source, &nothing).unwrap_err().to_string().contains("cannot read the token in /"));
        // Kubernetes replaces what a symbolic link leads to.
        let data = folder.path().join("..data");
        std::fs::write(&data, TOKEN).unwrap();
        std::os::unix::fs::symlink(&data, &path).unwrap();
        assert_eq!(at_hand(&source, &nothing).unwrap().unwrap().as_str(), TOKEN);
        std::fs::write(&data, "e30.e30.bmV3\n").unwrap();
        assert_eq!(at_hand(&source, &nothing).unwrap().unwrap().as_str(), "e30.e30.bmV3");
        assert!(at_hand(&file(folder.path()), &nothing).is_err());
        assert_eq!(file(Path::new("-")), Source::Stdin);

        let variable = Source::Variable("CI_TOKEN".into());
        let set = |name: &str| (name == "CI_TOKEN").then(|| OsString::from(TOKEN));
        assert_eq!(at_hand(&variable, &set).unwrap().unwrap().as_str(), TOKEN);
        assert!(at_hand(&variable, &nothing).unwrap_err().to_string().contains("CI_TOKEN is not set"));
        let empty = |_: &str| Some(OsString::new());
        assert!(at_hand(&variable, &empty).unwrap_err().to_string().contains("does not hold a token"));
    }

    fn github(answer: &str, variables: &[(&str, &str)]) -> (Result<Zeroizing<String>>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token?api-version=2.0", listener.local_addr().unwrap());
        let answer = answer.to_owned();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&buffer[..read]).into_owned()
        });
        let environment = |name: &str| {
            let given = variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            given.or_else(|| match name {
                "ACTIONS_ID_TOKEN_REQUEST_URL" => Some(url.clone().into()),
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("job-secret".into()),
                _ => None,
            })
        };
        let mut entry = issuer("gh", "workload", "token");
        entry.audience = Some("https://ca.example.com/?a=b&c".into());
        let token = from_github(&Http::new(vec![]), &entry, &environment);
        if token.is_err() {
            // It may not have been asked at all.
            let _ =
                std::net::TcpStream::connect(url.trim_start_matches("http://").split('/').next().unwrap())
                    .and_then(|mut stream| stream.write_all(b"x"));
        }
        (token, asked.join().unwrap())
    }

    #[test]
    fn github_gives_a_token_for_our_audience() {
        let ok = |body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let (token, asked) = github(&ok(&format!("{{\"count\":1,\"value\":\"{TOKEN}\"}}")), &[]);
        assert_eq!(token.unwrap().as_str(), TOKEN);
        assert!(
            asked.starts_with(
                "GET /token?api-version=2.0&audience=https%3A%2F%2Fca.example.com%2F%3Fa%3Db%26c HTTP"
            ),
            "{asked}"
        );
        assert!(asked.contains("authorization: bearer job-secret\r\n"), "{asked}");
        for (answer, variables, why) in [
            (ok("{}"), &[][..], "not understood"),
            (ok("{\"value\":\"x\"}"), &[], "does not hold a token"),
            ("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n".into(), &[], "status 403"),
            ("HTTP/1.1 302 No\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".into(), &[], "status 302"),
            (String::new(), &[("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")], "id-token: write"),
            (String::new(), &[("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a\nb")], "cannot be sent"),
            (String::new(), &[("ACTIONS_ID_TOKEN_REQUEST_URL", "http://example.com/")], "plain http"),
            (String::new(), &[("ACTIONS_ID_TOKEN_REQUEST_URL", "token")], "no URL"),
        ] {
            let (token, _) = github(&answer, variables);
            let error = token.unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("job-secret"), "{error}");
        }
    }
}
