use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, TcpListener};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn listener(ip: &str) -> TcpListener {
    TcpListener::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap()
}

/// A listener that takes no more connections: packets to it are dropped. All of it must be kept.
async fn silent() -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..16 {
        let connecting = TcpStream::connect(addr);
        match tokio::time::timeout(Duration::from_millis(200), connecting).await {
            Ok(stream) => queue.push(stream.unwrap()),
            Err(_) => return (listener, queue),
        }
    }
    panic!("the queue of connections has no end");
}

#[test]
fn error_numbers() {
    use When::{AtOnce, Later};
    let always = [
        (libc::ECONNREFUSED, Reason::Refused),
        (libc::ECONNRESET, Reason::Reset),
        (libc::ECONNABORTED, Reason::Reset),
        (libc::ETIMEDOUT, Reason::Timeout),
        (libc::EHOSTUNREACH, Reason::Unreachable(113)),
        (libc::EHOSTDOWN, Reason::Unreachable(112)),
        (libc::EPROTO, Reason::Unreachable(71)),
        (libc::ENOPROTOOPT, Reason::Unreachable(92)),
        (libc::EMFILE, Reason::Local(24)),
        (libc::ENFILE, Reason::Local(23)),
        (libc::ENOBUFS, Reason::Local(105)),
        (libc::ENOMEM, Reason::Local(12)),
        (libc::EADDRNOTAVAIL, Reason::Local(99)),
        (libc::EAFNOSUPPORT, Reason::Local(97)),
        (libc::EPERM, Reason::Local(1)),
        (libc::EACCES, Reason::Local(13)),
        (libc::EINVAL, Reason::Local(22)),
    ];
    for (errno, reason) in always {
        for when in [AtOnce, Later] {
            assert_eq!(classify(errno, when), reason, "{errno} {when:?}");
        }
    }
    for errno in [libc::ENETUNREACH, libc::ENETDOWN] {
        let number = errno as u16;
        assert_eq!(classify(errno, AtOnce), Reason::Local(number));
        assert_eq!(classify(errno, Later), Reason::Unreachable(number));
    }
    assert_eq!(classify(-1, Later), Reason::Unreachable(u16::MAX));
}

#[tokio::test]
async fn an_open_port_answers_and_a_closed_one_refuses() {
    for ip in ["127.0.0.1", "127.0.0.9", "::1"] {
        let open = listener(ip);
        let addr = open.local_addr().unwrap();
        assert_eq!(connect(addr, SECOND).await, Ok(()), "{ip}");
        drop(open);
        assert_eq!(connect(addr, SECOND).await, Err(Reason::Refused), "{ip}");
    }
}

#[tokio::test]
async fn a_probe_ends_with_a_reset() {
    let open = listener("127.0.0.1");
    connect(open.local_addr().unwrap(), SECOND).await.unwrap();
    let (mut stream, _) = open.accept().unwrap();
    let error = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn no_answer_is_a_time_out() {
    let (silent, _queue) = silent().await;
    let addr = silent.local_addr().unwrap();
    let start = Instant::now();
    let result = connect(addr, Duration::from_millis(150)).await;
    assert_eq!(result, Err(Reason::Timeout));
    assert!(start.elapsed() >= Duration::from_millis(150));
}

/// The scope is part of the address: without one there is no way to a link-local address.
#[tokio::test]
async fn without_a_way_there_is_no_verdict() {
    let nowhere = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let addr = SocketAddr::from((nowhere, 80));
    assert_eq!(
        connect(addr, SECOND).await,
        Err(Reason::Local(libc::EINVAL as u16))
    );
}

/// The thread of the runtime does not run for a while, as on an overloaded machine.
fn stall(time: Duration) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        std::thread::sleep(time);
    })
}

#[tokio::test]
async fn a_late_look_finds_the_connection() {
    let open = listener("127.0.0.1");
    let addr = open.local_addr().unwrap();
    // The connection is there at once, but nobody looks until long after its time.
    let probe = tokio::spawn(connect(addr, Duration::from_millis(1)));
    tokio::task::yield_now().await;
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(probe.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_clock_that_stood_still_is_no_verdict() {
    let (silent, _queue) = silent().await;
    let addr = silent.local_addr().unwrap();
    let stalled = stall(Duration::from_millis(600));
    let result = connect(addr, Duration::from_millis(150)).await;
    assert_eq!(result, Err(Reason::Local(libc::ETIME as u16)));
    stalled.await.unwrap();
}
