//! The browser that `login` opens by itself.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn the_browser_is_opened_unless_it_shall_not_be() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let browser = machine.folder.path().join("browser");
    let opened = machine.folder.path().join("opened");
    // Written beside and moved, so that what is seen is whole.
    let script =
        format!("#!/bin/sh\nprintf %s \"$1\" > '{0}.part' && mv '{0}.part' '{0}'\n", opened.display());
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();

    let mut login = machine.command(&["login"]);
    let child = login.env("BROWSER", &browser).spawn().unwrap();
    wait_for("the browser", || opened.exists());
    let url = fs::read_to_string(&opened).unwrap();
    assert!(url.contains("/op/authorize?") && url.contains("code_challenge_method=S256"), "{url}");
    fake.browse(&url);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    fs::remove_file(&opened).unwrap();
    let mut login = machine.command(&["login", "--no-browser"]);
    let mut child = login.env("BROWSER", &browser).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    for line in lines {
        if line.contains("/op/authorize?") {
            fake.browse(line.trim());
        }
    }
    assert!(child.wait().unwrap().success() && !opened.exists());
}
