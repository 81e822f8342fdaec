//! `./apxs/install` and `--uninstall`: which files come and go. Everything it calls (cargo, apxs, dpkg-query,
//! a2enmod, a2dismod) is a stub here, and the server it installs into is a directory of the test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SO: &str = "lib/modules/mod_proxy_live.so";
const LOAD: &str = "etc/mods-available/proxy_live.load";
const CONF: &str = "etc/mods-available/proxy_live.conf";

/// A machine of its own: `server/` with the directories of a Debian httpd, `bin/` with the stubs, `tmp/`.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Machine {
        let dir = format!("live-install-{}-{name}", std::process::id());
        let root = std::env::temp_dir().join(dir);
        let _ = fs::remove_dir_all(&root);
        let dirs = ["server/lib/modules", "server/etc/mods-available"];
        for dir in dirs.iter().chain(&["bin", "tmp", "home", "dest"]) {
            fs::create_dir_all(root.join(dir)).expect("directory");
        }
        let machine = Machine(root);
        let (at, manifest) = (machine.0.display().to_string(), env!("CARGO_MANIFEST_DIR"));
        machine.stub(
            "cargo",
            &format!(
                "[ \"$PWD\" = '{manifest}' ] || exit 9\n\
                 case $1 in\n\
                 metadata) echo '{{\"target_directory\":\"{at}/target\",\"version\":1}}' ;;\n\
                 build) mkdir -p '{at}/target/release' && echo built >'{at}/target/release/libmod_proxy_live.so' ;;\n\
                 *) exit 9 ;;\nesac"
            ),
        );
        machine.stub("rustc", "echo 'rustc 99.0.0 (stub)'");
        machine.stub(
            "apxs",
            &format!(
                "case $2 in\nLIBEXECDIR) echo '{at}/server/lib/modules' ;;\n\
                 SYSCONFDIR) echo '{at}/server/etc' ;;\n*) exit 9 ;;\nesac"
            ),
        );
        machine.stub("dpkg-query", "printf installed");
        for tool in ["a2enmod", "a2dismod", "sudo", "apt-get"] {
            machine.stub(tool, &format!("echo {tool} \"$@\" >>'{at}/called'"));
        }
        machine
    }

    fn stub(&self, name: &str, body: &str) {
        let path = self.0.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("stub");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("stub");
    }

    /// Runs the script; what it printed.
    fn install(&self, args: &[&str], destdir: Option<&str>) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("apxs/install");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(script);
        command
            .args(args)
            .env("PATH", format!("{}:{path}", self.0.join("bin").display()))
            .env("APXS", self.0.join("bin/apxs"))
            .env("TMPDIR", self.0.join("tmp"))
            .env("HOME", self.0.join("home"))
            .env_remove("DESTDIR")
            .current_dir(self.0.join("home"));
        if let Some(dir) = destdir {
            command.env("DESTDIR", self.0.join(dir));
        }
        let output = command.output().expect("apxs/install");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{}: {said}", output.status);
        said
    }

    /// The files below these directories, by their path.
    fn files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = ["server", "tmp", "home", "dest"]
            .map(PathBuf::from)
            .to_vec();
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(self.0.join(&dir))
                .expect("directory")
                .flatten()
            {
                let path = dir.join(entry.file_name());
                if entry.path().is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.display().to_string());
                }
            }
        }
        found
    }

    fn called(&self) -> String {
        fs::read_to_string(self.0.join("called")).unwrap_or_default()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn all_three(below: &str) -> BTreeSet<String> {
    [SO, LOAD, CONF]
        .map(|file| format!("{below}/{file}"))
        .into()
}

/// What is placed in `below` is right, in content and mode.
#[track_caller]
fn assert_placed(machine: &Machine, below: &str) {
    assert_eq!(machine.files(), all_three(below));
    assert_eq!(machine.read(&format!("{below}/{SO}")), "built\n");
    let load = machine.read(&format!("{below}/{LOAD}"));
    let line = format!(
        "LoadModule proxy_live_module {}/server/{SO}\n",
        machine.0.display()
    );
    assert!(
        load.starts_with("# Depends: proxy\n") && load.ends_with(&line),
        "{load}"
    );
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("httpd-conf/proxy_live.conf");
    let shipped = fs::read_to_string(shipped).expect("httpd-conf/proxy_live.conf");
    assert_eq!(machine.read(&format!("{below}/{CONF}")), shipped);
    for file in all_three(below) {
        let mode = fs::metadata(machine.0.join(&file))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644, "{file}");
    }
}

#[test]
fn below_destdir() {
    let machine = Machine::new("destdir");
    // The server's directories below DESTDIR, as make install does it.
    let dest = format!("dest{}/server", machine.0.display());
    machine.install(&[], Some("dest"));
    assert_placed(&machine, &dest);
    // A second time, over what is there.
    machine.install(&[], Some("dest"));
    assert_placed(&machine, &dest);
    machine.install(&["--uninstall"], Some("dest"));
    assert_eq!(machine.files(), BTreeSet::new());
    assert_eq!(
        machine.called(),
        "",
        "nothing is enabled, nothing needs root"
    );
}

#[test]
fn into_the_server() {
    let machine = Machine::new("server");
    let said = machine.install(&[], None);
    assert_placed(&machine, "server");
    assert_eq!(machine.called(), "a2enmod -q proxy_live\n");
    assert!(said.contains("apachectl graceful"), "{said}");
    // A running server may have the former file loaded.
    let said = machine.install(&[], None);
    assert!(
        !said.contains("apachectl graceful") && said.contains("Not graceful"),
        "{said}"
    );
    machine.install(&["--uninstall"], None);
    assert_eq!(machine.files(), BTreeSet::new());
    assert!(
        machine.called().ends_with("a2dismod -q proxy_live\n"),
        "{}",
        machine.called()
    );
}

/// The administrator's edits survive both.
#[test]
fn an_edited_configuration_is_kept() {
    let machine = Machine::new("edited");
    let dest = format!("dest{}/server", machine.0.display());
    machine.install(&[], Some("dest"));
    let conf = format!("{dest}/{CONF}");
    fs::write(machine.0.join(&conf), "# mine\n").expect("edit");
    let said = machine.install(&[], Some("dest"));
    assert!(said.contains("(kept: it differs"), "{said}");
    assert_eq!(machine.read(&conf), "# mine\n");
    let said = machine.install(&["--uninstall"], Some("dest"));
    assert!(said.contains("was edited"), "{said}");
    assert_eq!(machine.files(), BTreeSet::from([conf]));
}

#[test]
fn unknown_arguments_change_nothing() {
    let machine = Machine::new("usage");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("apxs/install");
    let output = Command::new(script)
        .arg("--remove")
        .env("DESTDIR", machine.0.join("dest"))
        .output()
        .expect("apxs/install");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage:"));
    assert_eq!(machine.files(), BTreeSet::new());
}
