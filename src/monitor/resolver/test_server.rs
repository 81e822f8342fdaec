//! A DNS server for tests, on UDP and TCP of one loopback port, that can misbehave.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Fully qualified, lower case.
    pub name: String,
    pub v6: bool,
    pub tcp: bool,
    pub edns: bool,
}

/// What the server does about it.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Addresses of the asked name with a TTL; those of the other family are left out.
    Addresses(u32, Vec<IpAddr>),
    /// Any records: owner, TTL, and a target or an address.
    Records(Vec<(&'static str, u32, &'static str)>),
    Code(ResponseCode),
    /// Truncated over UDP, the inner one over TCP.
    Truncated(Box<Reply>),
    WrongId,
    /// The identifier of the question, then bytes that are no message.
    Garbage,
    Silence,
    /// The inner one after a while.
    Late(Duration, Box<Reply>),
}

/// Addresses with a TTL of five seconds.
pub fn ips(ips: &[&str]) -> Reply {
    Reply::Addresses(5, ips.iter().map(|ip| ip.parse().unwrap()).collect())
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

struct Shared {
    answer: Mutex<Arc<Answer>>,
    asked: Mutex<Vec<Asked>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    stop: AtomicBool,
}

/// A running server; stops when dropped.
pub struct DnsServer {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl DnsServer {
    pub fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), answer)
    }

    pub fn at(ip: IpAddr, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = sockets(ip);
        let shared = Arc::new(Shared {
            answer: Mutex::new(Arc::new(answer)),
            asked: Mutex::default(),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let (by_udp, by_tcp) = (shared.clone(), shared.clone());
        Self {
            addr: udp.local_addr().unwrap(),
            shared,
            threads: vec![
                thread::spawn(move || serve_udp(&Arc::new(udp), &by_udp)),
                thread::spawn(move || serve_tcp(&tcp, &by_tcp)),
            ],
        }
    }

    /// Answers differently from now on.
    pub fn set(&self, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap() = Arc::new(answer);
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// The most late answers that were waiting at the same time.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes both threads.
        let any = SocketAddr::new(self.addr.ip(), 0);
        let woken = UdpSocket::bind(any).and_then(|socket| socket.send_to(&[], self.addr));
        let _ = (woken, TcpStream::connect(self.addr));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn sockets(ip: IpAddr) -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((ip, 0)).unwrap();
        // The same port may be taken for UDP.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &Arc<UdpSocket>, shared: &Arc<Shared>) {
    let mut bytes = [0; 4096];
    while let Ok((len, from)) = socket.recv_from(&mut bytes) {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let socket = socket.clone();
        handle(&bytes[..len], false, shared, move |answer| {
            let _ = socket.send_to(answer, from);
        });
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let shared = shared.clone();
        thread::spawn(move || while serve_tcp_question(&stream, &shared).is_ok() {});
    }
}

fn serve_tcp_question(mut stream: &TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut bytes = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut bytes)?;
    let mut out = stream.try_clone()?;
    handle(&bytes, true, shared, move |answer| {
        let len = u16::try_from(answer.len()).unwrap();
        let _ = out.write_all(&[&len.to_be_bytes(), answer].concat());
    });
    Ok(())
}

fn handle(
    bytes: &[u8],
    tcp: bool,
    shared: &Arc<Shared>,
    mut send: impl FnMut(&[u8]) + Send + 'static,
) {
    let Ok(question) = Message::from_vec(bytes) else {
        return;
    };
    let query = &question.queries[0];
    let asked = Asked {
        name: query.name().to_ascii().to_lowercase(),
        v6: query.query_type() == RecordType::AAAA,
        tcp,
        edns: question.edns.is_some(),
    };
    shared.asked.lock().unwrap().push(asked.clone());
    let answer = shared.answer.lock().unwrap().clone();
    let reply = answer(&asked);
    let Reply::Late(time, reply) = reply else {
        return send(&encode(&question, &asked, &reply));
    };
    let shared = shared.clone();
    let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most_open.fetch_max(open, Ordering::SeqCst);
    thread::spawn(move || {
        thread::sleep(time);
        shared.open.fetch_sub(1, Ordering::SeqCst);
        send(&encode(&question, &asked, &reply));
    });
}

/// The bytes of a reply. No bytes at all are ignored by the asker, so they are silence.
fn encode(question: &Message, asked: &Asked, reply: &Reply) -> Vec<u8> {
    let id = question.id;
    let mut message = Message::response(id, question.op_code);
    message.add_query(question.queries[0].clone());
    match reply {
        Reply::Addresses(ttl, ips) => {
            let name = question.queries[0].name();
            let data = ips.iter().filter(|ip| ip.is_ipv6() == asked.v6);
            message.add_answers(data.map(|ip| record(name.clone(), *ttl, &ip.to_string())));
        }
        Reply::Records(records) => {
            let records = records.iter();
            message
                .add_answers(records.map(|(owner, ttl, data)| {
                    record(Name::from_ascii(owner).unwrap(), *ttl, data)
                }));
        }
        Reply::Code(code) => message.metadata.response_code = *code,
        Reply::Truncated(inner) if asked.tcp => return encode(question, asked, inner),
        Reply::Truncated(_) => message.metadata.truncation = true,
        Reply::WrongId => message.metadata.id = id.wrapping_add(1),
        Reply::Garbage => return [&id.to_be_bytes()[..], &[0xff; 30]].concat(),
        Reply::Silence => return Vec::new(),
        Reply::Late(..) => unreachable!("late answers do not nest"),
    }
    message.to_vec().unwrap()
}

fn record(owner: Name, ttl: u32, data: &str) -> Record {
    let data = match data.parse() {
        Ok(IpAddr::V4(ip)) => RData::A(A(ip)),
        Ok(IpAddr::V6(ip)) => RData::AAAA(AAAA(ip)),
        Err(_) => RData::CNAME(CNAME(Name::from_ascii(data).unwrap())),
    };
    Record::from_rdata(owner, ttl, data)
}
