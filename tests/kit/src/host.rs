//! Further machines: network namespaces on a bridge of the scenario's own.

use crate::process;
use crate::program::Program;
use crate::world::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Address of the scenario itself among its hosts; the DNS server answers there, too. (192.0.2.0/24 is for examples.)
pub(crate) const BRIDGE: &str = "192.0.2.1";

pub(crate) fn make_bridge() {
    run("ip", &["link", "add", "name", "kit0", "type", "bridge"]);
    let addr = format!("{BRIDGE}/24");
    run("ip", &["addr", "add", &addr, "dev", "kit0"]);
    run("ip", &["link", "set", "kit0", "up"]);
}

/// A machine: a network namespace whose `eth0` is plugged into the scenario's bridge. Files and processes are shared
/// with the scenario. See [`crate::World::host`].
pub struct Host {
    name: String,
    /// The file that stands for the namespace.
    net: PathBuf,
    dir: PathBuf,
}

impl Host {
    pub(crate) fn new(dir: &Path, name: &str, addr: &str) -> Host {
        let host = Host {
            name: name.to_owned(),
            net: dir.join(format!("net-{name}")),
            dir: dir.to_owned(),
        };
        fs::write(&host.net, "").expect("file of the host");
        run("unshare", &[&host.entry(), "true"]);
        let (port, net) = (host.port(), host.net.display().to_string());
        let veth = ["link", "add", "name", &port, "type", "veth"];
        let peer = ["peer", "name", "eth0", "netns", &net];
        run("ip", &[&veth[..], &peer[..]].concat());
        run("ip", &["link", "set", &port, "master", "kit0", "up"]);
        host.run("ip", &["link", "set", "lo", "up"]);
        let addr = format!("{addr}/24");
        host.run("ip", &["addr", "add", &addr, "dev", "eth0"]);
        host.run("ip", &["link", "set", "eth0", "up"]);
        host
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands before a command line that is to run on this host; for [`crate::Builder::wrapper`].
    pub fn wrapper(&self) -> [String; 2] {
        ["nsenter".to_owned(), self.entry()]
    }

    /// Runs a command on this host and waits for its end.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, program: &str, args: &[&str]) {
        run(
            "nsenter",
            &[&[self.entry().as_str(), program], args].concat(),
        );
    }

    /// What a command on this host prints.
    pub fn output(&self, words: &[&str]) -> String {
        let [nsenter, entry] = self.wrapper();
        let output = Command::new(nsenter).arg(entry).args(words).output();
        let output = output.unwrap_or_else(|e| panic!("cannot run nsenter: {e}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sets a variable of the kernel that each host has for itself (`net.ipv4.conf.all.arp_ignore`).
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.run(
            "sh",
            &["-c", "printf '%s' \"$1\" >\"$2\"", "sh", value, &path],
        );
    }

    /// Starts a program on this host; what it says goes to `<host>-<program>.log`.
    pub fn start(&self, words: &[&str]) -> Program {
        let name = format!("{}-{}", self.name, words[0]);
        let entry = self.entry();
        let before = ["nsenter", entry.as_str()];
        Program::start(&self.dir, &name, &[&before[..], words].concat())
    }

    /// Pulls the network cable, or plugs it in.
    pub fn plug(&self, on: bool) {
        let state = if on { "up" } else { "down" };
        run("ip", &["link", "set", &self.port(), state]);
    }

    /// The power fails: the cable is dead and every process of this host is gone.
    pub fn power_off(&self) {
        self.plug(false);
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let pids = self.processes();
            if pids.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{pids:?} of {} live", self.name);
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            // Some may have ended meanwhile.
            let _ = Command::new("kill").arg("-9").args(pids).output();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Pids of what lives on this host.
    pub fn processes(&self) -> Vec<u32> {
        use std::os::unix::fs::MetadataExt;
        let inode = |path: &Path| fs::metadata(path).map(|m| m.ino()).ok();
        let here = inode(&self.net);
        let all = process::all().into_iter().filter(|p| p.alive());
        let ours = |pid: &u32| inode(Path::new(&format!("/proc/{pid}/ns/net"))) == here;
        all.map(|p| p.pid).filter(ours).collect()
    }

    fn entry(&self) -> String {
        format!("--net={}", self.net.display())
    }

    /// The other end of its cable.
    fn port(&self) -> String {
        format!("port-{}", self.name)
    }
}
