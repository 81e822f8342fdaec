//! The server's sockets and threads.

use super::wire::{self, Question};
use super::{Fault, Query, Shared, Verdict, lock};
use crate::sockets::{Acceptor, small_thread};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// UDP and TCP socket on one address; closed on drop.
pub(super) struct Listener {
    stop: Arc<AtomicBool>,
    udp: Option<JoinHandle<()>>,
    _tcp: Acceptor,
}

impl Listener {
    pub(super) fn start(addr: SocketAddr, zone: &Shared) -> Listener {
        let socket =
            UdpSocket::bind(addr).unwrap_or_else(|e| panic!("cannot listen on {addr}: {e}"));
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("socket option");
        let stop = Arc::new(AtomicBool::new(false));
        let (zone_udp, zone_tcp) = (Arc::clone(zone), Arc::clone(zone));
        let stopped = Arc::clone(&stop);
        let udp =
            std::thread::spawn(move || serve_udp(&Arc::new(socket), addr, &zone_udp, &stopped));
        let tcp = Acceptor::start(addr, move |stream| {
            let zone = Arc::clone(&zone_tcp);
            small_thread(move || serve_tcp(stream, addr, &zone));
        });
        Listener {
            stop,
            udp: Some(udp),
            _tcp: tcp,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.udp.take() {
            let _ = thread.join();
        }
    }
}

fn serve_udp(socket: &Arc<UdpSocket>, addr: SocketAddr, zone: &Shared, stop: &AtomicBool) {
    let mut buf = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let Ok((n, from)) = socket.recv_from(&mut buf) else {
            continue;
        };
        let Some(question) = wire::read_query(&buf[..n]) else {
            continue;
        };
        let verdict = note(zone, &question, addr, false);
        let Some(bytes) = udp_answer(&question, &verdict) else {
            continue;
        };
        if verdict.delay.is_zero() {
            let _ = socket.send_to(&bytes, from);
            continue;
        }
        let socket = Arc::clone(socket);
        small_thread(move || {
            std::thread::sleep(verdict.delay);
            let _ = socket.send_to(&bytes, from);
        });
    }
}

fn note(zone: &Shared, question: &Question, server: SocketAddr, tcp: bool) -> Verdict {
    let (name, kind) = (question.name.clone(), question.kind);
    let mut zone = lock(zone);
    zone.queries.push(Query {
        at: Instant::now(),
        name,
        kind,
        tcp,
        server,
    });
    zone.verdict(question)
}

/// `None`: no answer.
fn udp_answer(question: &Question, verdict: &Verdict) -> Option<Vec<u8>> {
    match verdict.fault {
        Some(Fault::Truncated | Fault::TruncatedNoTcp) => Some(wire::write_truncated(question)),
        _ => answer(question, verdict, question.size),
    }
}

fn answer(question: &Question, verdict: &Verdict, limit: usize) -> Option<Vec<u8>> {
    let error = |rcode| Some(wire::write_answer(question, rcode, &[], limit));
    match verdict.fault {
        Some(Fault::Silent | Fault::TruncatedNoTcp) => None,
        Some(Fault::ServFail) => error(wire::SERVFAIL),
        Some(Fault::NxDomain) => error(wire::NXDOMAIN),
        Some(Fault::Refused) => error(wire::REFUSED),
        Some(Fault::Empty) => error(wire::NOERROR),
        Some(Fault::Garbage) => {
            let mut bytes = question.id.to_be_bytes().to_vec();
            bytes.extend([0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0, 0xff, 0xfe, 0xc0]);
            Some(bytes)
        }
        Some(Fault::WrongId) => {
            let other = Question {
                id: question.id.wrapping_add(1),
                ..question.clone()
            };
            Some(wire::write_answer(
                &other,
                verdict.rcode,
                &verdict.records,
                limit,
            ))
        }
        Some(Fault::Truncated | Fault::Late(_)) | None => Some(wire::write_answer(
            question,
            verdict.rcode,
            &verdict.records,
            limit,
        )),
    }
}

/// RFC 1035 section 4.2.2: each message behind its length in two bytes.
fn serve_tcp(mut stream: TcpStream, addr: SocketAddr, zone: &Shared) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        let Some(question) = wire::read_query(&message) else {
            return;
        };
        let verdict = note(zone, &question, addr, true);
        std::thread::sleep(verdict.delay);
        match answer(&question, &verdict, 65535) {
            Some(bytes) => {
                let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
                framed.extend(bytes);
                if stream.write_all(&framed).is_err() {
                    return;
                }
            }
            // A silent server keeps the connection; the client's time-out ends it.
            None if verdict.fault == Some(Fault::Silent) => {}
            None => return,
        }
    }
}
