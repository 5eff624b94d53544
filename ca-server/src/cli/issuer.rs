//! `jit-ssh-ca issuer check NAME DIR`: an `[[issuer]]` entry held against its provider.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jit_ssh_core::identity::{IdentityKind, VerifiedIdentity};
use jit_ssh_proto::{Flow, Problem};
use serde_json::{Value, json};

use super::{DataDir, print, say};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Layout};
use crate::oidc::check::{Finding, Grade, OwnDevice, OwnLogin, Shown, check, show};
use crate::oidc::{IssuerConfig, Provider};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Hold an issuer's entry against its provider: discovery, keys, algorithms, redirect, device endpoint, clock
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The entry's name in ca.toml
    name: String,
    #[command(flatten)]
    data: DataDir,
    /// Log in yourself, and show what your ID token says and what becomes of it. Opens no session
    #[arg(long, conflicts_with = "token_file")]
    login: bool,
    /// Show a workload's token in the same way; - for standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Check(args) = command;
    let config = Config::load(&Layout::new(&args.data.dir))?;
    let names: Vec<&str> = config.issuers.iter().map(|issuer| issuer.rules.name.as_str()).collect();
    let issuer =
        config.issuers.iter().find(|issuer| issuer.rules.name.as_str() == args.name).with_context(|| {
            format!("ca.toml has no [[issuer]] of the name {:?}: it has {}", args.name, names.join(", "))
        })?;
    let kind = issuer.rules.kind;
    if args.login && kind == IdentityKind::Workload {
        bail!(
            "nobody logs in at {}: it speaks for workloads; give one of their tokens with --token-file",
            args.name
        );
    }
    if args.token_file.is_some() && kind == IdentityKind::User {
        bail!("a person's token is bound to their login: use --login");
    }
    let findings = check(issuer, SystemClock.now()).await;
    if !args.json {
        for finding in &findings {
            print(&line(finding))?;
        }
    }
    let shown = match (args.login, &args.token_file) {
        (true, _) => Some(own_token(issuer).await?),
        (false, Some(file)) => Some(given_token(issuer, file).await?),
        (false, None) => None,
    };
    if args.json {
        print(&as_json(&findings, shown.as_ref()).to_string())?;
    } else if let Some(shown) = &shown {
        print(&as_text(shown)?)?;
    }
    let refused = shown.as_ref().and_then(|shown| shown.identity.as_ref().err());
    match (findings.iter().filter(|finding| finding.grade == Grade::Bad).count(), refused) {
        (0, None) => Ok(()),
        (0, Some(problem)) => bail!("{} ({})", problem.detail.trim_end_matches('.'), problem.code),
        (n, _) => bail!(
            "{n} of {} things have to be put right before {} log in at {}",
            findings.len(),
            if kind == IdentityKind::User { "people" } else { "workloads" },
            args.name
        ),
    }
}

async fn own_token(issuer: &IssuerConfig) -> anyhow::Result<Shown> {
    if !issuer.flows.contains(&Flow::Code) {
        let login = OwnDevice::begin(issuer).await?;
        say(&visible(&format!(
            "\nTo see your own token, open this address in a browser, and see that it shows the code {}:\n\n  {}\n",
            login.code, login.address
        )));
        let token = login.token(issuer).await?;
        return looked_at(issuer, &token, Flow::Device, "").await;
    }
    let login = OwnLogin::begin(issuer).await?;
    say(&format!(
        "\nTo see your own token, open this address in a browser on this machine:\n\n  {}\n",
        login.address
    ));
    let nonce = login.nonce.clone();
    let token = login.token(issuer).await?;
    looked_at(issuer, &token, Flow::Code, &nonce).await
}

async fn given_token(issuer: &IssuerConfig, file: &Path) -> anyhow::Result<Shown> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
    looked_at(issuer, text.trim(), Flow::Token, "").await
}

async fn looked_at(issuer: &IssuerConfig, token: &str, flow: Flow, nonce: &str) -> anyhow::Result<Shown> {
    let refused = |problem: Problem| {
        anyhow::anyhow!(
            "the token would be refused: {} ({})",
            problem.detail.trim_end_matches('.'),
            problem.code
        )
    };
    let provider = Provider::new(issuer.clone());
    show(&provider, token, flow, nonce, SystemClock.now()).await.map_err(refused)
}

fn line(finding: &Finding) -> String {
    let grade = match finding.grade {
        Grade::Good => "ok  ",
        Grade::Note => "note",
        Grade::Bad => "BAD ",
    };
    format!("{grade}  {:<10}  {}", finding.what, visible(&finding.said.replace('\n', " ")))
}

/// What a provider says must not steer the terminal, nor turn what stands beside it around.
fn visible(text: &str) -> String {
    let escaped = |c: char| -> String {
        if c != '\n' && jit_ssh_proto::is_invisible(c) { c.escape_default().collect() } else { c.into() }
    };
    text.chars().map(escaped).collect()
}

fn as_text(shown: &Shown) -> anyhow::Result<String> {
    let claims = serde_json::to_string_pretty(&shown.claims)?;
    let becomes = match &shown.identity {
        Ok(who) => described(who),
        Err(problem) => format!("nobody: {} ({})", problem.detail, problem.code),
    };
    Ok(visible(&format!("\nThe token says\n{claims}\n\nwhich is, here,\n{becomes}")))
}

fn described(who: &VerifiedIdentity) -> String {
    let mut lines = vec![format!("  name    {}/{}", who.issuer(), who.name())];
    lines.extend(who.login().map(|login| format!("  login   {login}")));
    lines.extend(who.email().map(|email| format!("  e-mail  {email}")));
    let groups: Vec<&str> = who.groups().iter().map(|group| group.as_str()).collect();
    lines
        .push(format!("  groups  {}", if groups.is_empty() { "none".to_owned() } else { groups.join(", ") }));
    lines.extend(who.tags().iter().map(|(tag, value)| format!("  tag     {tag} = {value:?}")));
    lines.push(format!(
        "  fresh   {}",
        if who.auth_time().is_some() {
            "the provider says when you logged in"
        } else {
            "never: there is no auth_time"
        }
    ));
    lines.join("\n")
}

fn as_json(findings: &[Finding], shown: Option<&Shown>) -> Value {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let grade = match finding.grade {
                Grade::Good => "ok",
                Grade::Note => "note",
                Grade::Bad => "bad",
            };
            json!({ "what": finding.what, "grade": grade, "said": finding.said })
        })
        .collect();
    let token = shown.map(|shown| {
        let identity = match &shown.identity {
            Ok(who) => json!({
                "issuer": who.issuer(), "name": who.name(), "login": who.login(), "email": who.email(),
                "groups": who.groups(), "tags": who.tags(), "auth_time": who.auth_time().map(|at| at.seconds()),
            }),
            Err(problem) => json!({ "refused": problem.code, "detail": problem.detail }),
        };
        json!({ "claims": shown.claims, "identity": identity })
    });
    json!({ "findings": findings, "token": token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_does_not_steer_the_terminal() {
        for (text, shown) in [
            ("plain ü 名", "plain ü 名"),
            ("two\nlines", "two\nlines"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\rb", "a\\rb"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("\u{2066}x\u{2069}\u{feff}", "\\u{2066}x\\u{2069}\\u{feff}"),
        ] {
            assert_eq!(visible(text), shown);
        }
        let finding = Finding { what: "keys", grade: Grade::Bad, said: "a\nok    keys  \u{202e}".to_owned() };
        assert_eq!(line(&finding), "BAD   keys        a ok    keys  \\u{202e}");
        let claims = json!({ "name": "\u{9b}31m\u{202e}Ann\u{7f}" });
        let Value::Object(claims) = claims else { panic!("an object") };
        let problem = Problem::new(jit_ssh_proto::Code::TokenClaims, "No.");
        let text = as_text(&Shown { claims, identity: Err(problem) }).unwrap();
        assert!(text.contains("\\u{9b}31m\\u{202e}Ann\\u{7f}") && text.is_ascii(), "{text}");
    }
}
