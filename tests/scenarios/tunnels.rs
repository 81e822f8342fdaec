//! WebSockets: tunnels to a machine that vanishes are closed, others stay.

use crate::common::noted::*;
use crate::common::pool::*;
use crate::common::*;
use live_kit::{Httpd, Mode, World, answers, eventually, pause, scenario};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// mod_proxy_http's tunnel, and mod_proxy_wstunnel's own.
const UPGRADE: &str = "ProxyPass / http://app.test:9000/ live=on upgrade=websocket";
const WSTUNNEL: &str =
    "ProxyWebsocketFallbackToProxyHttp Off\nProxyPass / ws://app.test:9000/ live=on";

fn tunnel(httpd: &Httpd) -> TcpStream {
    let socket = httpd.client().upgrade("/").expect("an upgrade");
    let short = Some(Duration::from_millis(200));
    socket.set_read_timeout(short).expect("a time-out");
    socket
}

/// The backend echoes.
#[track_caller]
fn echoes(mut socket: &TcpStream) {
    socket.write_all(b"ping").expect("sent");
    let (mut back, mut got) = ([0; 4], 0);
    let start = Instant::now();
    while got < 4 {
        match socket.read(&mut back[got..]) {
            Ok(0) => panic!("the tunnel has ended"),
            Ok(n) => got += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => panic!("{e}"),
        }
        assert!(start.elapsed() < SOON, "no echo");
    }
    assert_eq!(&back, b"ping");
}

/// The tunnel ends, with data being sent into it or without; how long it took.
#[track_caller]
fn ends(mut socket: &TcpStream, busy: bool) -> Duration {
    let start = Instant::now();
    let mut buffer = [0; 1024];
    loop {
        if busy && socket.write_all(b"data").is_err() {
            return start.elapsed();
        }
        match socket.read(&mut buffer) {
            Ok(0) => return start.elapsed(),
            Err(e) if e.kind() != ErrorKind::WouldBlock => return start.elapsed(),
            _ => {}
        }
        assert!(start.elapsed() < SOON, "the tunnel to nowhere is open");
    }
}

/// An idle and a busy tunnel to a machine that vanishes are closed; others stay.
fn to_a_vanished_machine(w: &mut World, text: &str) {
    let (a, _b) = backends();
    w.dns.set("app.test", answers(&[IP_A], 600));
    let builder = w
        .httpd()
        .module("proxy_wstunnel")
        .expect("[proxy_wstunnel:");
    let text = format!("ProxyPass /b ws://{IP_B}:9000/ live=on\n{text}");
    let httpd = start_following(troubled(builder.live(&text)));
    if !text.contains("liveprobe=off") {
        wait_probed(&[&a]);
    }
    let (idle, busy) = (tunnel(&httpd), tunnel(&httpd));
    let other = httpd.client().upgrade("/b").expect("an upgrade");
    let short = Some(Duration::from_millis(200));
    other.set_read_timeout(short).expect("a time-out");
    [&idle, &busy, &other].into_iter().for_each(echoes);
    w.vanish(IP_A);
    let first = std::thread::spawn(move || ends(&idle, false));
    let busy = ends(&busy, true);
    let idle = first.join().expect("the idle tunnel");
    println!("figure: idle tunnel closed after {idle:?}, busy one after {busy:?}");
    echoes(&other);
}

#[test]
fn upgraded_to_a_vanished_machine() {
    scenario(|w: &mut World| to_a_vanished_machine(w, UPGRADE));
}

#[test]
fn wstunnel_to_a_vanished_machine() {
    scenario(|w: &mut World| to_a_vanished_machine(w, WSTUNNEL));
}

/// Without probes the kernel closes them.
#[test]
fn unprobed_to_a_vanished_machine() {
    scenario(|w: &mut World| to_a_vanished_machine(w, &format!("{UPGRADE} liveprobe=off")));
}

/// A tunnel without a word for half a minute stays as it is.
fn a_quiet_one_stays(w: &mut World, text: &str) {
    let (a, _b) = backends();
    w.dns.set("app.test", answers(&[IP_A], 600));
    let httpd = start_following(w.httpd().module("proxy_wstunnel").live(text));
    wait_probed(&[&a]);
    let sockets = [tunnel(&httpd), tunnel(&httpd)];
    sockets.iter().for_each(echoes);
    pause(30.0);
    sockets.iter().for_each(echoes);
    assert_eq!(a.open(), 2);
    drop(sockets);
    eventually(Duration::from_secs(5), || a.open() == 0);
    assert_eq!(httpd.logged("requests ended"), 0);
}

#[test]
fn a_quiet_upgraded_one_stays() {
    scenario(|w: &mut World| a_quiet_one_stays(w, UPGRADE));
}

#[test]
fn a_quiet_wstunnel_stays() {
    scenario(|w: &mut World| a_quiet_one_stays(w, WSTUNNEL));
}

/// The machine vanishes before it has answered the request to upgrade: a GET like any other.
#[test]
fn a_vanished_machine_and_a_new_tunnel() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let pool = pool("upgrade=websocket");
        let text = format!("{FRESH}\n{pool}").replace("ProxyPass / ", "ProxyPass /x ");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        a.mode(Mode::Hang);
        let first = httpd.client();
        let pending = std::thread::spawn(move || first.upgrade("/x"));
        let second = httpd.client();
        let other = std::thread::spawn(move || second.upgrade("/x"));
        wait_requests(&a, 1);
        w.vanish(IP_A);
        let start = Instant::now();
        let opened = [pending, other].map(|one| one.join().expect("a client").is_ok());
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert!(opened.contains(&true), "the other member has tunnels");
    });
}
