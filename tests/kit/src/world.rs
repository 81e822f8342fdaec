//! Everything of a scenario that is not a server: addresses, resolver files, vanishing packets.

use crate::filter::Filter;
use crate::host::{self, Host};
use crate::{Builder, Dns, process};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

const RESOLV_CONF: &str = "nameserver 127.0.0.1\n";
const HOSTS: &str = "127.0.0.1 localhost front.test\n::1 localhost\n";

/// The private world of a scenario. Loopback is up: all of 127.0.0.0/8 and ::1 can be used; nothing leads out.
pub struct World {
    /// DNS server on 127.0.0.1:53, named by /etc/resolv.conf; no names yet.
    pub dns: Dns,
    /// Directory of the scenario: removed when it has passed.
    pub dir: PathBuf,
    servers: u16,
    filter: Filter,
    /// The kernel's rules of routing have been moved for [`World::link`].
    rules: bool,
    /// There is a bridge for hosts.
    bridge: bool,
}

impl World {
    /// Sets the namespaces up; called inside them.
    pub(crate) fn enter(dir: PathBuf) -> World {
        run("ip", &["link", "set", "lo", "up"]);
        run("mount", &["-t", "tmpfs", "tmpfs", "/dev/shm"]);
        own_file(&dir, "resolv.conf", RESOLV_CONF);
        own_file(&dir, "hosts", HOSTS);
        // Other sources (mDNS, systemd-resolved) would answer from outside the namespace.
        own_file(
            &dir,
            "nsswitch.conf",
            "hosts: files dns\npasswd: files\ngroup: files\n",
        );
        let nscd = Path::new("/run/nscd");
        if nscd.is_dir() {
            run("mount", &["-t", "tmpfs", "tmpfs", "/run/nscd"]);
        }
        raise_descriptors();
        World {
            dns: Dns::start("127.0.0.1:53"),
            dir,
            servers: 0,
            filter: Filter::default(),
            rules: false,
            bridge: false,
        }
    }

    /// Judges what the scenario left behind.
    pub(crate) fn leave(self) {
        let me = std::process::id();
        let others = process::all()
            .into_iter()
            .filter(|p| p.alive() && p.pid != me);
        let mut left: Vec<String> = others
            .map(|p| format!("process {} ({})", p.pid, p.name))
            .collect();
        let shm = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        left.extend(shm.map(|e| format!("shared memory {}", e.path().display())));
        for kind in ["shm", "sem"] {
            let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
            left.extend(
                table
                    .lines()
                    .skip(1)
                    .map(|l| format!("System V {kind}: {l}")),
            );
        }
        assert!(
            left.is_empty(),
            "left behind by the scenario:\n{}",
            left.join("\n")
        );
    }

    /// A httpd of this scenario: `127.0.0.1:8080` for the first, `:8081` for the second, and so on.
    pub fn httpd(&mut self) -> Builder {
        self.servers += 1;
        Builder::new(
            self.dir.join(format!("httpd{}", self.servers)),
            8079 + self.servers,
        )
    }

    /// Another machine, with this address on its `eth0`: one of 192.0.2.0/24 other than 192.0.2.1, which is the
    /// scenario's own. All of them can reach each other, and the DNS server.
    pub fn host(&mut self, name: &str, addr: &str) -> Host {
        if !std::mem::replace(&mut self.bridge, true) {
            host::make_bridge();
            // resolv.conf is the same for all hosts; 127.0.0.1 is another machine on each.
            self.dns.listen(&format!("{}:53", host::BRIDGE));
            self.resolv_conf(&format!("nameserver {}\n", host::BRIDGE));
        }
        Host::new(&self.dir, name, addr)
    }

    /// Gives the loopback interface another address (those in 127.0.0.0/8 are there already).
    pub fn add_address(&self, addr: &str) {
        let ip: IpAddr = addr
            .parse()
            .unwrap_or_else(|_| panic!("not an address: {addr}"));
        let (length, more) = if ip.is_ipv4() {
            (32, None)
        } else {
            (128, Some("nodad"))
        };
        let with_length = format!("{addr}/{length}");
        let args = ["addr", "add", &with_length, "dev", "lo"];
        run("ip", &args.into_iter().chain(more).collect::<Vec<_>>());
    }

    /// Takes it away again.
    pub fn remove_address(&self, addr: &str) {
        let length = if addr.contains(':') { 128 } else { 32 };
        run(
            "ip",
            &["addr", "del", &format!("{addr}/{length}"), "dev", "lo"],
        );
    }

    /// From now on every packet to and from `addr` is lost without a word: the machine has lost its power.
    pub fn vanish(&mut self, addr: &str) {
        self.filter.vanish(addr);
    }

    /// A vanished address is back.
    pub fn appear(&mut self, addr: &str) {
        self.filter.appear(addr);
    }

    /// All vanished addresses are back.
    pub fn appear_all(&mut self) {
        self.filter.appear_all();
    }

    /// The next `n` SYNs to this port are lost, repeated ones counted; what comes behind them passes.
    pub fn drop_first_syn(&mut self, addr: &str, port: u16, n: u32) {
        self.filter.first_syns(addr, port, n, &["drop"]);
    }

    /// The next `n` SYNs to this port are answered with a reset: connection refused.
    pub fn refuse_next(&mut self, addr: &str, port: u16, n: u32) {
        let reset = ["reject", "with", "tcp", "reset"];
        self.filter.first_syns(addr, port, n, &reset);
    }

    /// The machine's link is down: there is no route to anywhere, not even to itself, connect(2) says ENETUNREACH at
    /// once, and packets of connections that exist are lost. Then up again.
    pub fn link(&mut self, up: bool) {
        if !std::mem::replace(&mut self.rules, true) {
            make_room_for_rules();
        }
        // A loopback interface that is down keeps its routes and only loses packets: vanish() without ENETUNREACH.
        let action = if up { "del" } else { "add" };
        for family in ["-4", "-6"] {
            run("ip", &[family, "rule", action, "pref", "1", "unreachable"]);
        }
    }

    /// Replaces the content of /etc/resolv.conf.
    pub fn resolv_conf(&self, text: &str) {
        rewrite("/etc/resolv.conf", text);
    }

    /// Replaces the content of /etc/hosts by that of the start (localhost) and `lines`.
    pub fn hosts(&self, lines: &str) {
        rewrite("/etc/hosts", &format!("{HOSTS}{lines}"));
    }

    /// Makes `<name>.pem` and `<name>.key` in the scenario's directory: a certificate for a server of this name, signed
    /// by itself.
    pub fn certificate(&self, name: &str) {
        let words = format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {name}.key -out {name}.pem \
             -subj /CN={name} -addext subjectAltName=DNS:{name} -addext basicConstraints=critical,CA:FALSE"
        );
        let mut command = Command::new("openssl");
        command
            .args(words.split_whitespace())
            .current_dir(&self.dir);
        let output = command
            .output()
            .expect("openssl runs (Debian package openssl)");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl req: {said}");
    }

    /// A file in the scenario's directory.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }
}

/// The kernel's first rule (local addresses) moves behind [`World::link`]'s.
fn make_room_for_rules() {
    for family in ["-4", "-6"] {
        let local = ["lookup", "local"];
        run(
            "ip",
            &[&[family, "rule", "add", "pref", "2"], &local[..]].concat(),
        );
        run(
            "ip",
            &[&[family, "rule", "del", "pref", "0"], &local[..]].concat(),
        );
    }
}

/// Runs a system command of one of the packages in [`crate::PACKAGES`].
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| {
        panic!(
            "cannot run {program}: {e}; the kit needs the Debian packages {:?}",
            crate::PACKAGES
        )
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {}: {said}",
        args.join(" ")
    );
}

/// Covers /etc/`name` by a file of the scenario.
fn own_file(dir: &Path, name: &str, text: &str) {
    let own = dir.join(name);
    fs::write(&own, text).expect("file of the scenario");
    let target = format!("/etc/{name}");
    run(
        "mount",
        &["--bind", own.to_str().expect("plain path"), &target],
    );
}

/// In one write: readers see the old or the new text, at worst with a tail for an instant. A mounted file
/// cannot be replaced by rename.
fn rewrite(path: &str, text: &str) {
    let mut file: File = OpenOptions::new()
        .write(true)
        .open(path)
        .expect("own resolver file");
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.write_all(text.as_bytes()))
        .expect("write resolver file");
    file.set_len(text.len() as u64)
        .expect("length of resolver file");
}

/// As many descriptors as allowed: thousands of connections at once.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
