//! The hooks of requests are there when a worker is live, by whatever line, and only then: they come and go with
//! reloads. What the bucket at a connection's socket leaves to httpd.

use crate::common::pool::*;
use crate::common::processes::*;
use crate::common::*;
use live_kit::{
    Backend, Httpd, Mode, Mpm, Next, RawBackend, Reply, World, answers, eventually, pause,
    scenario, scenario_within,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A member beside another, in plain text.
fn members(parameters: &str, section: &str) -> String {
    format!(
        "<Proxy balancer://pool>
             BalancerMember {ONE} {parameters}
             BalancerMember {TWO} {parameters}
             {section}
         </Proxy>
         ProxyPass / balancer://pool/
         Header always set X-Attempts %{{LIVE_ATTEMPTS}}e"
    )
}

/// The answer to a GET whose first attempt was at A, which closed the connection on it.
fn failed_at(httpd: &Httpd, a: &Backend) -> Reply {
    for _ in 0..50 {
        let before = a.died();
        let reply = httpd.get("/?die=close&at=A");
        if a.died() > before {
            return reply;
        }
        assert_eq!(reply.status, 200);
    }
    panic!("no request came to A");
}

/// Reloads, and waits until the new generation alone answers. prefork may have started a child of the old one
/// meanwhile: those with live workers have a keeper.
fn reload(httpd: &mut Httpd, text: &str, live: bool) {
    let old = httpd.children();
    httpd.rewrite(text);
    httpd.graceful();
    let is_new = |pid: u32| !old.contains(&pid) && has_keeper(pid) == live;
    eventually(Duration::from_secs(10), || {
        let now = httpd.children();
        !now.is_empty() && now.iter().all(|pid| is_new(*pid))
    });
}

/// Each way to make workers live, with configurations without a live worker between them.
fn every_way(w: &mut World, mpm: Mpm) {
    let (a, _b) = backends();
    set_members(w);
    let room = spare(mpm);
    let off = format!("{room}{}", members("live=off", ""));
    let mut httpd = troubled(w.httpd().mpm(mpm).children(2).live(&off)).start();
    let template = format!(
        "ProxyLiveTemplate t live=on\n{}",
        members("livetemplate=t", "")
    );
    let ways = [
        members("live=on", ""),
        format!("ProxyLive on\n{}", members("", "")),
        members("", "ProxyLive on"),
        template,
        // behind what it makes live
        format!("{}\nProxyLive on", members("", "")),
    ];
    for way in ways {
        let alone = failed_at(&httpd, &a);
        assert_eq!(
            (alone.status, alone.header("X-Attempts")),
            (502, Some("(null)"))
        );
        reload(&mut httpd, &format!("{room}{way}"), true);
        let rescued = failed_at(&httpd, &a);
        let attempts = rescued.header("X-Attempts");
        assert_eq!((rescued.status, attempts), (200, Some("2")), "{way}");
        reload(&mut httpd, &off, false);
    }
}

#[test]
fn every_way_to_live_event() {
    scenario_within(Duration::from_secs(120), |w: &mut World| {
        every_way(w, Mpm::Event)
    });
}

#[test]
fn every_way_to_live_prefork() {
    scenario_within(Duration::from_secs(120), |w: &mut World| {
        every_way(w, Mpm::Prefork)
    });
}

/// A backend sends more than its answer: at once, or when the connection has been put aside. Nobody gets it.
fn stray_bytes(w: &mut World, mpm: Mpm) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine";
    const STRAY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers";
    let requests = AtomicUsize::new(0);
    let backend = RawBackend::start("127.0.0.2:9000", move |talk| {
        let late = requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        talk.send(ANSWER)?;
        if late {
            pause(0.05);
        }
        talk.send(STRAY)?;
        Ok(Next::Keep)
    });
    w.dns.set("app.test", answers(&[IP_A], 600));
    let httpd = start_following(
        w.httpd()
            .mpm(mpm)
            .children(1)
            .live(&format!("{FOLLOW} liveprobe=off")),
    );
    for n in 0..12 {
        let reply = httpd.get("/");
        assert_eq!((reply.status, reply.text().as_str()), (200, "mine"), "{n}");
        // when this returns all has been sent, and so has come
        assert_eq!(backend.take_heard().len(), 1, "it was asked once");
    }
}

#[test]
fn stray_bytes_event() {
    scenario(|w: &mut World| stray_bytes(w, Mpm::Event));
}

#[test]
fn stray_bytes_prefork() {
    scenario(|w: &mut World| stray_bytes(w, Mpm::Prefork));
}

/// Connections that their backend has closed while they were idle are found at the first look: no request is sent on
/// them, none is rescued.
#[test]
fn closed_while_idle() {
    scenario(|w: &mut World| {
        let a = backend("A", IP_A);
        w.dns.set("app.test", answers(&[IP_A], 600));
        let text = format!("{FOLLOW}\nHeader set X-Rescue \"[%{{LIVE_RESCUE}}e]\"");
        let httpd = start_following(w.httpd().children(1).live(&text));
        a.mode(Mode::CloseIdle);
        for _ in 0..10 {
            let reply = httpd.get("/");
            assert_eq!((reply.status, reply.header("X-Rescue")), (200, Some("[]")));
            eventually(PATIENCE, || a.open() == 0);
        }
        assert_eq!(a.seen().len(), 10);
    });
}

/// Files by FTP, an empty one too: the end of a data connection is no failure.
#[test]
fn ftp() {
    scenario(|w: &mut World| {
        let _server = ftp::Server::start("127.0.0.2:9021");
        w.dns.set("app.test", answers(&[IP_A], 600));
        let text = "ProxyPass /live/ ftp://app.test:9021/ live=on
            ProxyPass /alone/ ftp://127.0.0.2:9021/";
        let httpd = start_following(w.httpd().children(1).module("proxy_ftp").live(text));
        for (file, wanted) in [("full", "some text\n"), ("empty", "")] {
            for way in ["alone", "live"] {
                let started = Instant::now();
                let reply = httpd.get(&format!("/{way}/{file}"));
                assert_eq!(
                    (reply.status, reply.text().as_str()),
                    (200, wanted),
                    "{way} {file}"
                );
                assert!(started.elapsed() < Duration::from_secs(10));
            }
        }
    });
}

mod ftp {
    use std::io::{self, BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    /// Two files, `full` and `empty` (RFC 959, RFC 2428).
    pub struct Server;

    impl Server {
        pub fn start(addr: &str) -> Self {
            let listener = TcpListener::bind(addr).expect("a free port");
            std::thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    std::thread::spawn(move || serve(&client));
                }
            });
            Self
        }
    }

    fn serve(client: &TcpStream) -> io::Result<()> {
        let mut out = client;
        let ip = client.local_addr()?.ip();
        let mut data = None;
        out.write_all(b"220 hello\r\n")?;
        for line in BufReader::new(client).lines() {
            let line = line?;
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = match word {
                "USER" => "331 and the password\r\n".to_owned(),
                "PASS" => "230 welcome\r\n".to_owned(),
                "TYPE" => "200 yes\r\n".to_owned(),
                "SIZE" if rest.ends_with("empty") => "213 0\r\n".to_owned(),
                "SIZE" => "213 10\r\n".to_owned(),
                "EPSV" => {
                    let listener = TcpListener::bind((ip, 0))?;
                    let port = listener.local_addr()?.port();
                    data = Some(listener);
                    format!("229 passive (|||{port}|)\r\n")
                }
                "RETR" => {
                    out.write_all(b"150 here it comes\r\n")?;
                    let listener = data.take().ok_or(io::ErrorKind::NotConnected)?;
                    let (mut file, _) = listener.accept()?;
                    if !rest.ends_with("empty") {
                        file.write_all(b"some text\n")?;
                    }
                    drop(file);
                    "226 that is all\r\n".to_owned()
                }
                "QUIT" => "221 bye\r\n".to_owned(),
                _ => "502 no\r\n".to_owned(),
            };
            out.write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}
