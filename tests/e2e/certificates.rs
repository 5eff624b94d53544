//! probe
use jit_ssh_proto::{Mode, Modifiers};
use jit_ssh_tests::certificates::{Asked, TestAuthority};
use jit_ssh_tests::sshd::SshdFolder;
#[test]
fn probe() {
    let place = SshdFolder::new().unwrap();
    let ca = TestAuthority::new(place.path(), "ca").unwrap();
    let login = place.login().to_string();
    place.write("ca.pub", ca.line()).unwrap();
    place
        .write(
            &format!("principals/{login}"),
            format!(
                "restrict,pty shell:{login}@web-1\nrestrict,command=\"internal-sftp\" sftp:{login}@web-1"
            ),
        )
        .unwrap();
    let f = place.path().display().to_string();
    let sshd = place
        .start(&format!("TrustedUserCAKeys {f}/ca.pub\nAuthorizedPrincipalsFile {f}/principals/%u"))
        .unwrap();
    let id = ca
        .issue(sshd.place().path(), &Asked::new(Mode::Shell, Modifiers::NONE, &[&format!("{login}@web-1")]))
        .unwrap();
    let g = sshd.greedy();
    let g: Vec<&str> = g.iter().map(|s| s.as_str()).collect();
    let a = sshd.ssh(&id, &g, "tty; env").unwrap();
    println!("{}\n---\n{}\n---\n{}", a.out, a.err, a.log);
    let id = ca
        .issue(sshd.place().path(), &Asked::new(Mode::Sftp, Modifiers::NONE, &[&format!("{login}@web-1")]))
        .unwrap();
    let a = sshd.ssh(&id, &g, "tty; env").unwrap();
    println!("{:?} {}\n---\n{}\n---\n{}", a.code, a.out, a.err, a.log);
    let id = ca
        .issue(sshd.place().path(), &Asked::new(Mode::Forward, Modifiers::NONE, &[&format!("{login}@web-1")]))
        .unwrap();
    let a = sshd.ssh(&id, &g, "tty; env").unwrap();
    println!("{:?} {}\n---\n{}\n---\n{}", a.code, a.out, a.err, a.log);
}
