//! Debian's real name servers in the place of the kit's: dnsmasq and bind9, asked as resolv.conf says.

use crate::common::*;
use live_kit::{Httpd, Mpm, Type, World, answers, ask, eventually, pause, scenario};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A name server of Debian, killed when dropped.
struct Peer {
    process: Child,
    addr: &'static str,
}

impl Peer {
    /// `package` has `program`; it answers on `addr` (port 53).
    fn start(w: &World, addr: &'static str, package: &str, program: &str, args: &[&str]) -> Peer {
        let found = [
            format!("/usr/sbin/{program}"),
            format!("/usr/bin/{program}"),
        ];
        let path = found.iter().find(|p| Path::new(p).is_file());
        let path =
            path.unwrap_or_else(|| panic!("no {program}: it is in the Debian package {package}"));
        // A copy: an AppArmor profile is bound to the path and forbids the scenario's directory.
        let copy = w.dir.join(program);
        fs::copy(path, &copy).expect("a copy of the name server");
        let console = fs::File::create(w.dir.join(format!("{program}.log"))).expect("log file");
        let process = Command::new(&copy)
            .args(args)
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("log file"))
            .stderr(console)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
        let mut peer = Peer { process, addr };
        let log = w.dir.join(format!("{program}.log"));
        eventually(Duration::from_secs(10), || {
            let ended = peer.process.try_wait().expect("wait for the name server");
            assert!(
                ended.is_none(),
                "{program} ended: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
            peer.has_addresses("app.test")
        });
        peer
    }

    fn has_addresses(&self, name: &str) -> bool {
        let server = format!("{}:53", self.addr).parse().expect("an address");
        let asked = ask(
            server,
            name,
            Type::A,
            None,
            false,
            Duration::from_millis(300),
        );
        asked.is_some_and(|a| a.rcode == 0 && a.answers > 0)
    }

    /// SIGHUP: read the zone again.
    fn reload(&self) {
        let pid = self.process.id().to_string();
        let done = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(done.is_ok_and(|s| s.success()), "SIGHUP to the name server");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// dnsmasq with the addresses of a hosts file, TTL 1 s.
fn dnsmasq(w: &World) -> (Peer, PathBuf) {
    let hosts = w.file("dnsmasq.hosts", &format!("{IP_A} app.test\n"));
    let more = format!("--addn-hosts={}", text(&hosts));
    let args = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--user=",
        "--listen-address=127.0.0.53",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        "--local-ttl=1",
        "--local=/test/",
        "--log-facility=-",
        &more,
    ];
    (
        Peer::start(w, "127.0.0.53", "dnsmasq-base", "dnsmasq", &args),
        hosts,
    )
}

/// bind9 with a zone file.
fn bind9(w: &World) -> (Peer, PathBuf) {
    // It listens only on addresses that an interface has by name.
    w.add_address("127.0.0.54");
    let zone = w.file("zone", &zone_text(1, &[IP_A]));
    let conf = format!(
        "options {{ directory \"{dir}\"; listen-on port 53 {{ 127.0.0.54; }}; listen-on-v6 {{ none; }};
            pid-file none; session-keyfile none; recursion no; notify no; dnssec-validation no; }};
         controls {{ }};
         zone \"test\" {{ type primary; file \"{zone}\"; }};",
        dir = text(&w.dir),
        zone = text(&zone)
    );
    let conf = text(&w.file("named.conf", &conf));
    let args = ["-g", "-n", "1", "-c", &conf];
    (Peer::start(w, "127.0.0.54", "bind9", "named", &args), zone)
}

/// An alias with a long TTL, the target with 1 s.
fn zone_text(serial: u32, addrs: &[&str]) -> String {
    let mut zone = format!(
        "$TTL 600\n@ IN SOA ns.test. admin.test. {serial} 3600 600 86400 1\n@ IN NS ns.test.\n\
         ns IN A 127.0.0.54\napp IN CNAME lb\n"
    );
    for ip in addrs {
        let kind = if ip.contains(':') { "AAAA" } else { "A" };
        zone += &format!("lb 1 IN {kind} {ip}\n");
    }
    zone
}

/// The move under load, and no other server is asked.
fn moves(w: &mut World, peer: &Peer, mpm: Mpm, change: impl FnOnce()) -> Httpd {
    let (a, b) = backends();
    w.resolv_conf(&format!("nameserver {}\n", peer.addr));
    let text = format!("{FOLLOW}\nProxyLiveResolver system");
    let httpd = start_following(w.httpd().mpm(mpm).live(&text));
    all_children_use(&httpd, "/", "A");
    let load = httpd.load().clients(8).start();
    pause(0.5);
    peer.reload();
    change();
    peer.reload();
    let due = after_ttl(Instant::now(), 1);
    pause(1.0);
    let records = load.stop();
    records.assert_clean(QUICK);
    assert_only(&records, due, "B");
    all_children_use(&httpd, "/", "B");
    assert!(a.last_request().expect("A was used") < due);
    let (connections, requests) = (a.accepted() + b.accepted(), records.len());
    assert!(
        requests > 5 * connections,
        "{connections} connections, {requests} requests"
    );
    assert_eq!(
        w.dns.queries().len(),
        0,
        "only the server in resolv.conf is asked"
    );
    httpd
}

#[test]
fn dnsmasq_moves_a_name() {
    scenario(|w: &mut World| {
        let (peer, hosts) = dnsmasq(w);
        let httpd = moves(w, &peer, Mpm::Event, || {
            fs::write(&hosts, format!("{IP_B} app.test\n")).expect("hosts of dnsmasq");
        });
        assert_eq!(
            httpd.logged("addresses 127.0.0.2 -> 127.0.0.3 (TTL 1 s, by 127.0.0.53:53)"),
            1
        );
    });
}

#[test]
fn bind9_moves_a_name() {
    scenario(|w: &mut World| {
        let (peer, zone) = bind9(w);
        let httpd = moves(w, &peer, Mpm::Worker, || {
            fs::write(&zone, zone_text(2, &[IP_B])).expect("zone of bind9");
        });
        assert_eq!(
            httpd.logged("addresses 127.0.0.2 -> 127.0.0.3 (TTL 1 s, by 127.0.0.54:53)"),
            1
        );
    });
}

/// Both families of one name, from a real server.
#[test]
fn bind9_has_both_families() {
    scenario(|w: &mut World| {
        w.add_address("fd00::2");
        let _six = backend("SIX", "fd00::2");
        let (peer, zone) = bind9(w);
        let _backends = backends();
        w.resolv_conf("nameserver 127.0.0.54\n");
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        fs::write(&zone, zone_text(2, &["fd00::2"])).expect("zone of bind9");
        peer.reload();
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "SIX");
        fs::write(&zone, zone_text(3, &[IP_B])).expect("zone of bind9");
        peer.reload();
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
    });
}

/// The server dies and comes back with another address.
#[test]
fn bind9_dies_and_returns() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let (peer, zone) = bind9(w);
        w.resolv_conf("nameserver 127.0.0.54\n");
        let httpd = start_following(w.httpd().live(FOLLOW).expect("DNS fails"));
        let load = httpd.load().start();
        drop(peer);
        pause(3.0);
        assert_eq!(httpd.get("/").backend, "A");
        fs::write(&zone, zone_text(2, &[IP_B])).expect("zone of bind9");
        let conf = text(&w.dir.join("named.conf"));
        let _again = Peer::start(
            w,
            "127.0.0.54",
            "bind9",
            "named",
            &["-g", "-n", "1", "-c", &conf],
        );
        eventually(Duration::from_secs(10), || httpd.get("/").backend == "B");
        pause(0.2);
        load.stop().assert_clean(QUICK);
        all_children_use(&httpd, "/", "B");
        assert_eq!(
            (httpd.logged("DNS fails"), httpd.logged("DNS answers again")),
            (1, 1)
        );
    });
}

/// dnsmasq as a cache in front of the kit's server: the TTL it hands out has already run down.
#[test]
fn dnsmasq_as_a_cache() {
    scenario(|w: &mut World| {
        let _backends = backends();
        w.dns.set("app.test", answers(&[IP_A], 3));
        let args = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=",
            "--listen-address=127.0.0.53",
            "--bind-interfaces",
            "--no-resolv",
            "--no-hosts",
            "--server=127.0.0.1",
            "--log-facility=-",
        ];
        let _peer = Peer::start(w, "127.0.0.53", "dnsmasq-base", "dnsmasq", &args);
        w.resolv_conf("nameserver 127.0.0.53\n");
        // not at the beginning of the cached TTL
        pause(1.3);
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        let load = httpd.load().start();
        w.dns.set("app.test", answers(&[IP_B], 3));
        // 3 s in the cache; its last second is handed out as a TTL of 0 or 1, which is kept for 1 s
        let due = after_ttl(Instant::now(), 3 + 1);
        pause(0.5);
        let records = load.stop();
        records.assert_clean(QUICK);
        assert_only(&records, due, "B");
        all_children_use(&httpd, "/", "B");
    });
}
