//! A tiny DNS client, as `dig` would be used: asks once, tells what came back.

use super::Type;
use super::wire::write_query;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The answer carries the query's id.
    pub same_id: bool,
    pub truncated: bool,
    pub rcode: u8,
    /// Number of answer records.
    pub answers: u16,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// Asks `server` once by UDP (`size`: the EDNS size announced) or TCP; `None`: no answer within `timeout`.
pub fn ask(
    server: SocketAddr,
    name: &str,
    kind: Type,
    size: Option<u16>,
    tcp: bool,
    timeout: Duration,
) -> Option<Asked> {
    const ID: u16 = 0x4b69;
    let query = write_query(ID, name, kind, size);
    let bytes = if tcp {
        by_tcp(server, &query, timeout)
    } else {
        by_udp(server, &query, timeout)
    }
    .ok()?;
    let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    if bytes.len() < 12 {
        return None;
    }
    let (id, flags, answers) = (word(0), word(2), word(6));
    Some(Asked {
        same_id: id == ID,
        truncated: flags & 0x200 != 0,
        rcode: (flags & 15) as u8,
        answers,
        bytes,
    })
}

fn by_udp(server: SocketAddr, query: &[u8], timeout: Duration) -> std::io::Result<Vec<u8>> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.send(query)?;
    let mut buf = vec![0; 65535];
    let n = socket.recv(&mut buf)?;
    buf.truncate(n);
    Ok(buf)
}

fn by_tcp(server: SocketAddr, query: &[u8], timeout: Duration) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}
