//! The command as an operator meets it: files in a temporary folder, words on stderr, exit codes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use jit_ssh_proto::{AuthorityEntry, CaId, SignedBundle, Timestamp, TrustBundle};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, PrivateKey};

use crate::cli::Cli;

struct Host {
    folder: tempfile::TempDir,
}

/// What a run came to.
struct Ran {
    done: bool,
    out: String,
    err: String,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sshd_config"), "Include /etc/ssh/sshd_config.d/*.conf\n").unwrap();
        fs::write(folder.path().join("ca.pub"), format!("{}\n", line(1))).unwrap();
        Self { folder }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn text(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// `files --name web-1 --dir HERE` and the words given; FOLDER in them stands for the folder.
    fn files(&self, words: &str) -> Ran {
        self.files_with(words, "")
    }

    fn files_with(&self, words: &str, input: &str) -> Ran {
        let here = self.folder.path().to_str().unwrap();
        let words = words.replace("FOLDER", here);
        let mut args = vec!["jit-ssh-host", "files", "--name", "web-1"];
        if !words.contains("--dir") {
            args.extend(["--dir", here]);
        }
        args.extend(words.split_whitespace());
        let cli = Cli::try_parse_from(&args).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = cli.run(&mut input.as_bytes(), &mut out, &mut err);
        Ran {
            done: code == ExitCode::SUCCESS,
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap()
}

fn line(seed: u8) -> String {
    key(seed).public_key().to_openssh().unwrap()
}

fn fingerprint(seed: u8) -> String {
    key(seed).public_key().fingerprint(HashAlg::Sha256).to_string()
}

/// A bundle with these authorities, signed by key 9.
fn bundle(authorities: &[(&str, &str, String)]) -> String {
    let entry = |(name, kind, key): &(&str, &str, String)| AuthorityEntry {
        name: (*name).into(),
        kind: (*kind).into(),
        key: key.clone(),
    };
    let bundle = TrustBundle {
        version: 1,
        ca_id: CaId::from_bytes([3; 32]),
        url: "https://ca.example.com".into(),
        issued: Timestamp::from_seconds(1_795_327_200),
        authorities: authorities.iter().map(entry).collect(),
        ledger_key: line(8),
        issuers: vec![],
        host_patterns: vec![],
    };
    let signer = key(9);
    serde_json::to_string(&SignedBundle::sign(&bundle, signer.public_key(), &signer).unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

const GOOD: &str = "--login deploy --user-ca FOLDER/ca.pub";

#[test]
fn everything_that_sshd_needs_is_written() {
    let host = Host::new();
    let ran = host.files("--group web --group prod --login deploy --login root --user-ca FOLDER/ca.pub");
    assert!(ran.done, "{}", ran.err);
    assert_eq!(host.text("jit-ssh/user_ca.pub"), format!("{} jit-ssh user CA\n", line(1)));
    assert_eq!(host.text("jit-ssh/revoked.krl"), "");
    for login in ["deploy", "root"] {
        let text = host.text(&format!("jit-ssh/principals/{login}"));
        assert!(text.contains(&format!("\nrestrict,pty shell:{login}@web-1\n")), "{text}");
        assert!(text.contains(&format!("\nrestrict exec:{login}@group/prod\n")), "{text}");
        assert!(text.lines().skip(1).all(|l| l.starts_with("restrict")), "{text}");
    }
    let here = host.folder.path().display();
    let drop_in = host.text("sshd_config.d/10-jit-ssh.conf");
    assert!(drop_in.contains(&format!("\nTrustedUserCAKeys {here}/jit-ssh/user_ca.pub\n")), "{drop_in}");
    assert!(
        drop_in.contains(&format!("\nAuthorizedPrincipalsFile {here}/jit-ssh/principals/%u\n")),
        "{drop_in}"
    );
    assert!(!drop_in.contains("\nForceCommand"), "it would override the certificates' own");
    for folder in ["jit-ssh", "jit-ssh/principals", "sshd_config.d"] {
        assert_eq!(mode(&host.path(folder)), 0o755, "{folder}");
    }
    for file in [
        "jit-ssh/user_ca.pub",
        "jit-ssh/revoked.krl",
        "jit-ssh/principals/deploy",
        "sshd_config.d/10-jit-ssh.conf",
    ] {
        assert_eq!(mode(&host.path(file)), 0o644, "{file}");
    }
    for said in ["written", "next: sshd -t", "undo: rm -r"] {
        assert!(ran.err.contains(said), "{said} in {}", ran.err);
    }
    assert_eq!(ran.out, "", "stdout is for --json");
    let names = |folder: &str| -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(host.path(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("jit-ssh"), ["principals", "revoked.krl", "user_ca.pub"], "nothing is left beside");
    assert_eq!(names("jit-ssh/principals"), ["deploy", "root"]);
}

#[test]
fn a_second_run_changes_nothing() {
    let host = Host::new();
    assert!(host.files(GOOD).done);
    let ran = host.files(GOOD);
    assert!(ran.done && ran.err.contains("nothing to change"), "{}", ran.err);
    assert!(!ran.err.lines().any(|l| l.starts_with("written")), "{}", ran.err);
}

#[test]
fn a_mode_that_somebody_changed_is_put_right() {
    let host = Host::new();
    assert!(host.files(GOOD).done);
    let file = host.path("jit-ssh/principals/deploy");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    assert!(host.files(GOOD).done);
    assert_eq!(mode(&file), 0o644);
}

#[test]
fn a_revocation_list_that_is_there_is_kept() {
    let host = Host::new();
    assert!(host.files(GOOD).done);
    fs::write(host.path("jit-ssh/revoked.krl"), "SSHKRL\n").unwrap();
    let ran = host.files(GOOD);
    assert!(ran.done && ran.err.contains("kept"), "{}", ran.err);
    assert_eq!(host.text("jit-ssh/revoked.krl"), "SSHKRL\n");
}

#[test]
fn logins_of_earlier_runs_are_named_and_pruned_only_when_told() {
    let host = Host::new();
    assert!(host.files("--login deploy --login old --user-ca FOLDER/ca.pub").done);
    fs::write(host.path("jit-ssh/principals/mine"), "restrict shell:mine@web-1\n").unwrap();
    let ran = host.files(GOOD);
    assert!(ran.done && ran.err.contains("principals/old is from an earlier run"), "{}", ran.err);
    assert!(!ran.err.contains("principals/mine"), "{}", ran.err);
    assert!(host.path("jit-ssh/principals/old").exists());
    let ran = host.files(&format!("{GOOD} --prune --json"));
    assert!(ran.done && !host.path("jit-ssh/principals/old").exists());
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let removed: Vec<_> =
        json["files"].as_array().unwrap().iter().filter(|f| f["state"] == "removed").collect();
    assert_eq!(removed.len(), 1, "{json}");
    assert!(host.path("jit-ssh/principals/mine").exists(), "what we did not write stays");
}

#[test]
fn a_bundle_is_trusted_by_its_pin_and_only_for_its_user_authority() {
    let host = Host::new();
    let signed = bundle(&[
        ("user", "user", line(1)),
        ("user", "user", line(2)),
        ("host", "host", line(3)),
        ("user-switches", "user", line(4)),
    ]);
    let ran = host.files_with(&format!("--login deploy --bundle - --trust {}", fingerprint(9)), &signed);
    assert!(ran.done, "{}", ran.err);
    let keys = host.text("jit-ssh/user_ca.pub");
    assert_eq!(keys, format!("{} jit-ssh user CA\n{} jit-ssh user CA\n", line(1), line(2)));
}

#[test]
fn a_bundle_that_is_not_right_writes_nothing() {
    let good = bundle(&[("user", "user", line(1))]);
    let pin = fingerprint(9);
    for (what, text, pin, said) in [
        ("another trust key", good.clone(), fingerprint(8), "is pinned"),
        ("a pin that is not one", good.clone(), "SHA256:abc".into(), "is pinned"),
        (
            "a changed bundle",
            good.replace("ca.example.com", "ca.example.org"),
            pin.clone(),
            "does not verify",
        ),
        ("no bundle", "{}".into(), pin.clone(), "is not a trust bundle"),
        ("nothing", String::new(), pin.clone(), "is not a trust bundle"),
        ("a page", "<html>".into(), pin.clone(), "is not a trust bundle"),
        ("too much", " ".repeat(1024 * 1024 + 1), pin.clone(), "at most 1 MiB"),
        ("no authority for people", bundle(&[("host", "host", line(1))]), pin.clone(), "no user authority"),
        (
            "only a login-style authority",
            bundle(&[("user-x", "user", line(1))]),
            pin.clone(),
            "no user authority",
        ),
        (
            "a user authority of the wrong kind",
            bundle(&[("user", "host", line(1))]),
            pin.clone(),
            "no user authority",
        ),
        (
            "a key that is not one",
            bundle(&[("user", "user", "ssh-ed25519 AAAA".into())]),
            pin,
            "is not an OpenSSH public key",
        ),
    ] {
        let host = Host::new();
        let ran = host.files_with(&format!("--login deploy --bundle - --trust {pin}"), &text);
        assert!(!ran.done && ran.err.contains(said), "{what}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{what}: one sentence: {}", ran.err);
        assert!(!host.path("jit-ssh").exists(), "{what}");
    }
}

#[test]
fn a_file_of_keys_that_is_not_one_writes_nothing() {
    for (what, text, said) in [
        ("nothing", String::new(), "has no key in it"),
        ("only a comment", "# hello\n".into(), "has no key in it"),
        (
            "a private key",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n".into(),
            "line 1 is not an OpenSSH public key",
        ),
        (
            "a second line that is wrong",
            format!("{}\nrubbish\n", line(1)),
            "line 2 is not an OpenSSH public key",
        ),
        (
            "options before the key",
            format!("cert-authority {}\n", line(1)),
            "line 1 is not an OpenSSH public key",
        ),
        ("a DSA key", "ssh-dss AAAAB3NzaC1kc3MAAAAA\n".into(), "line 1 is not"),
    ] {
        let host = Host::new();
        fs::write(host.path("ca.pub"), text).unwrap();
        let ran = host.files(GOOD);
        assert!(!ran.done && ran.err.contains(said), "{what}: {}", ran.err);
        assert!(!host.path("jit-ssh").exists(), "{what}");
    }
    let ran = Host::new().files("--login deploy --user-ca FOLDER/none.pub");
    assert!(!ran.done && ran.err.contains("none.pub cannot be read"), "{}", ran.err);
}

#[test]
fn links_and_strangers_in_the_way_are_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("shadow");
    fs::write(&file, "secret").unwrap();
    for below in ["jit-ssh", "jit-ssh/principals", "sshd_config.d"] {
        let host = Host::new();
        fs::create_dir_all(host.path(below).parent().unwrap()).unwrap();
        symlink(elsewhere.path(), host.path(below)).unwrap();
        let ran = host.files(GOOD);
        assert!(!ran.done && ran.err.contains("is a symbolic link"), "{below}: {}", ran.err);
    }
    for below in [
        "jit-ssh/user_ca.pub",
        "jit-ssh/revoked.krl",
        "jit-ssh/principals/deploy",
        "sshd_config.d/10-jit-ssh.conf",
    ] {
        let host = Host::new();
        fs::create_dir_all(host.path(below).parent().unwrap()).unwrap();
        symlink(&file, host.path(below)).unwrap();
        let ran = host.files(GOOD);
        assert!(!ran.done && ran.err.contains("is a symbolic link"), "{below}: {}", ran.err);
        let host = Host::new();
        fs::create_dir_all(host.path(below)).unwrap();
        let ran = host.files(GOOD);
        assert!(!ran.done && ran.err.contains("is not a plain file"), "{below}: {}", ran.err);
    }
    let host = Host::new();
    fs::write(host.path("jit-ssh"), "").unwrap();
    let ran = host.files(GOOD);
    assert!(!ran.done && ran.err.contains("is not a folder"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), "secret");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing was written through a link");
}

#[test]
fn folders_that_cannot_be_trusted_or_named_are_refused() {
    let host = Host::new();
    fs::create_dir(host.path("jit-ssh")).unwrap();
    fs::set_permissions(host.path("jit-ssh"), Permissions::from_mode(0o777)).unwrap();
    let ran = host.files(GOOD);
    assert!(!ran.done && ran.err.contains("can be written by others"), "{}", ran.err);
    for (dir, said) in [
        ("relative/ssh", "give an absolute path"),
        ("FOLDER/../x", "without '..'"),
        ("FOLDER/a%ub", "cannot be used"),
        ("FOLDER/a\"b", "cannot be used"),
        ("FOLDER/none", "cannot be read"),
        ("FOLDER/ca.pub", "is not a folder"),
    ] {
        let ran = Host::new().files(&format!("{GOOD} --dir {dir}"));
        assert!(!ran.done && ran.err.contains(said), "{dir}: {}", ran.err);
    }
}

#[test]
fn a_drop_in_that_nothing_includes_is_said() {
    let host = Host::new();
    fs::write(host.path("sshd_config"), "#Include /etc/ssh/sshd_config.d/*.conf\nPort 22\n").unwrap();
    let ran = host.files(GOOD);
    assert!(ran.done && ran.err.contains("does not include the drop-in"), "{}", ran.err);
    assert!(!Host::new().files(GOOD).err.contains("does not include"));
}

#[test]
fn a_configuration_that_would_undo_ours_is_said() {
    let include = "Include /etc/ssh/sshd_config.d/*.conf\n";
    for (file, text, said) in [
        ("sshd_config.d/50-x.conf", "ForceCommand /bin/menu\n", "50-x.conf sets forcecommand: it overrides"),
        ("sshd_config.d/05-x.conf", "  trustedusercakeys=/etc/ssh/other.pub\n", "sets trustedusercakeys"),
        (
            "sshd_config",
            "Match Group sftponly\n\tForceCommand internal-sftp\n",
            "sshd_config sets forcecommand",
        ),
        (
            "sshd_config",
            "AuthorizedPrincipalsCommand /usr/bin/x\n",
            "it lets in what the principals files do not",
        ),
        ("sshd_config", "AuthorizedPrincipalsFile %h/.ssh/principals\n", "ignores ours after it"),
        ("sshd_config", "RevokedKeys /etc/ssh/revoked\n", "sets revokedkeys"),
        ("sshd_config", "RevokedKeys none\n", "sets revokedkeys"),
    ] {
        let host = Host::new();
        fs::create_dir(host.path("sshd_config.d")).unwrap();
        let text = if file == "sshd_config" { format!("{include}{text}") } else { text.to_owned() };
        fs::write(host.path(file), text).unwrap();
        let ran = host.files(GOOD);
        assert!(ran.done && ran.err.contains(said), "{said}: {}", ran.err);
    }
    for harmless in
        ["#ForceCommand x\n", "ForceCommand none\n", "AuthorizedPrincipalsCommandUser nobody\n", "Port 22\n"]
    {
        let host = Host::new();
        fs::write(host.path("sshd_config"), format!("{include}{harmless}")).unwrap();
        assert!(host.files(GOOD).done);
        let ran = host.files(GOOD);
        assert!(!ran.err.contains("warning"), "{harmless}: {}", ran.err);
    }
}

/// Wrong usage: exit code 2, before anything is read or written.
#[test]
fn usage_is_checked_first() {
    for (words, said) in [
        ("", "--name"),
        ("--name web-1 --user-ca x", "--login"),
        ("--name web-1 --login deploy", "--bundle"),
        ("--name web-1 --login deploy --bundle x", "--trust"),
        ("--name web-1 --login deploy --trust SHA256:x", "--bundle"),
        ("--name web-1 --login deploy --bundle x --trust y --user-ca z", "cannot be used with"),
        ("--name Web --login deploy --user-ca x", "only a-z"),
        ("--name web-1 --login ../root --user-ca x", "only a-z"),
        ("--name web-1 --login deploy --group a/b --user-ca x", "only a-z"),
        ("--name web-1 --login deploy --fronts * --user-ca x", "only a-z"),
        ("--name web-1 --login deploy --user-ca x --frobnicate", "unexpected argument"),
    ] {
        let args = ["jit-ssh-host", "files"].into_iter().chain(words.split_whitespace());
        let refused = Cli::try_parse_from(args).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{words}");
        assert!(refused.to_string().contains(said), "{words}: {refused}");
    }
    Cli::command().debug_assert();
}
