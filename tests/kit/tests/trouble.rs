//! The kit on itself: lost and refused connections, full queues, probes, balancer-manager.

use live_kit::{Backend, Client, MANAGER, Mode, Request, World, eventually, pause, scenario};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const A: &str = "127.0.0.2:9000";
const LONG: Duration = Duration::from_secs(5);

fn connect(addr: &str, limit: Duration) -> Result<Duration, ErrorKind> {
    let addr: SocketAddr = addr.parse().expect("an address");
    let start = Instant::now();
    TcpStream::connect_timeout(&addr, limit)
        .map(|_| start.elapsed())
        .map_err(|e| e.kind())
}

/// A connection without a byte is a probe, one with bytes is not.
#[test]
fn probes_are_counted_apart() {
    scenario(|_: &mut World| {
        let a = Backend::start("A", A);
        for _ in 0..3 {
            connect(A, LONG).expect("a connection");
        }
        eventually(LONG, || a.probed() == 3);
        let mut client = Client::new(a.addr(), LONG);
        for _ in 0..2 {
            client.send(&Request::get("/")).expect("an answer");
        }
        assert_eq!((a.accepted(), a.open(), a.probed()), (1, 1, 3));
        client.close();
        eventually(LONG, || a.open() == 0);
        assert_eq!((a.accepted(), a.probed()), (1, 3));
    });
}

/// SYNs are lost while connections that exist go on; then everybody is let in, also those who waited.
#[test]
fn a_full_queue() {
    scenario(|_: &mut World| {
        let a = Backend::start("A", A);
        let mut kept = Client::new(a.addr(), LONG);
        kept.send(&Request::get("/")).expect("an answer");
        let addr = a.addr();
        let slow =
            std::thread::spawn(move || Client::new(addr, LONG).send(&Request::get("/?delay=800")));
        eventually(LONG, || a.requests() == 2);
        for _ in 0..2 {
            a.mode(Mode::Full);
            let limit = Duration::from_millis(300);
            assert_eq!(connect(A, limit), Err(ErrorKind::TimedOut));
            kept.send(&Request::get("/")).expect("an answer");
            let waits = std::thread::spawn(|| connect(A, LONG));
            pause(0.3);
            a.revive();
            // The SYN is repeated after a second.
            waits.join().expect("a thread").expect("a connection");
            let took = connect(A, LONG).expect("a connection");
            assert!(took < Duration::from_millis(800), "{took:?}");
            let mut client = Client::new(a.addr(), LONG);
            client.send(&Request::get("/")).expect("an answer");
        }
        slow.join().expect("a thread").expect("an answer");
        a.mode(Mode::Full);
        a.mode(Mode::Refuse);
        assert_eq!(connect(A, LONG), Err(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn lost_and_refused_syns() {
    scenario(|w: &mut World| {
        let _backends = [Backend::start("A", A), Backend::start("B", "[::1]:9000")];
        for (ip, addr) in [("127.0.0.2", A), ("::1", "[::1]:9000")] {
            let quick = |took: Duration| took < Duration::from_millis(800);
            assert!(quick(connect(addr, LONG).expect("a connection")));
            w.drop_first_syn(ip, 9000, 1);
            // The kernel repeats it after a second.
            let took = connect(addr, LONG).expect("a connection");
            assert!(took >= Duration::from_millis(900), "{addr}: {took:?}");
            assert!(quick(connect(addr, LONG).expect("a connection")));
            w.refuse_next(ip, 9000, 2);
            for _ in 0..2 {
                assert_eq!(connect(addr, LONG), Err(ErrorKind::ConnectionRefused));
            }
            assert!(quick(connect(addr, LONG).expect("a connection")));
        }
    });
}

#[test]
fn one_of_two_appears() {
    scenario(|w: &mut World| {
        let _backends = [
            Backend::start("A", A),
            Backend::start("B", "127.0.0.3:9000"),
        ];
        let short = Duration::from_millis(200);
        w.vanish("127.0.0.2");
        w.vanish("127.0.0.3");
        assert_eq!(connect(A, short), Err(ErrorKind::TimedOut));
        w.appear("127.0.0.2");
        connect(A, LONG).expect("a connection");
        assert_eq!(connect("127.0.0.3:9000", short), Err(ErrorKind::TimedOut));
        w.appear_all();
        connect("127.0.0.3:9000", LONG).expect("a connection");
    });
}

/// Sockets outlive the link: a request under way, the server, and the DNS server go on.
#[test]
fn the_link_goes_and_comes() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", A);
        w.dns.set("app.test", live_kit::answers(&["127.0.0.2"], 1));
        let text = "ProxyPass / http://app.test:9000/ retry=0";
        let httpd = w.httpd().config(text).start();
        let mut kept = httpd.client();
        kept.send(&Request::get("/")).expect("an answer");
        for _ in 0..2 {
            w.link(false);
            assert_eq!(connect(A, LONG), Err(ErrorKind::NetworkUnreachable));
            pause(0.5);
            w.link(true);
            connect(A, LONG).expect("a connection");
            kept.send(&Request::get("/")).expect("an answer");
            assert_eq!(httpd.get("/").backend, "A");
        }
        let server = "127.0.0.1:53".parse().expect("an address");
        let asked = live_kit::ask(server, "app.test", live_kit::Type::A, None, false, LONG);
        assert!(asked.is_some_and(|a| a.answers == 1));
    });
}

#[test]
fn edits_in_balancer_manager() {
    scenario(|w: &mut World| {
        let (a, _b) = (
            Backend::start("A", A),
            Backend::start("B", "127.0.0.3:9000"),
        );
        let text = format!(
            "{MANAGER}
             <Proxy balancer://other>
                 BalancerMember http://127.0.0.2:9000
             </Proxy>
             <Proxy balancer://pool>
                 BalancerMember http://127.0.0.2:9000
                 BalancerMember http://127.0.0.3:9000
             </Proxy>
             ProxyPass /other balancer://other/
             ProxyPass / balancer://pool/"
        );
        let httpd = w.httpd().config(&text).start();
        let manager = httpd.manager("pool");
        let (one, two) = ("http://127.0.0.2:9000", "http://127.0.0.3:9000");
        assert_eq!(manager.flags(one), ["Init", "Ok"]);
        for (letter, flag) in [("D", "Dis"), ("N", "Drn"), ("H", "Stby"), ("C", "HcFl")] {
            manager.edit(one, &format!("w_status_{letter}=1"));
            assert!(manager.has(one, flag), "{:?}", manager.flags(one));
            assert!(!manager.has(two, flag), "{:?}", manager.flags(two));
            a.forget();
            (0..4).for_each(|_| assert_eq!(httpd.get("/").backend, "B"));
            manager.edit(one, &format!("w_status_{letter}=0"));
            assert_eq!(manager.flags(one), ["Init", "Ok"]);
        }
        assert_eq!(httpd.manager("other").flags(one), ["Init", "Ok"]);
        assert!((0..4).any(|_| httpd.get("/").backend == "A"));
    });
}
