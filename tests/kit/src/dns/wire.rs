//! DNS messages (RFC 1035 section 4, RFC 6891 for EDNS): reads a query, writes an answer. Written apart from
//! the resolver under test, so that both cannot share a mistake.

use std::net::IpAddr;

/// Record types of the kit; others are answered as "no data".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    A,
    Aaaa,
    Other(u16),
}

impl Type {
    pub(super) fn code(self) -> u16 {
        match self {
            Type::A => 1,
            Type::Aaaa => 28,
            Type::Other(code) => code,
        }
    }

    fn from_code(code: u16) -> Type {
        match code {
            1 => Type::A,
            28 => Type::Aaaa,
            other => Type::Other(other),
        }
    }
}

/// A question as read from the wire.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub id: u16,
    /// Lower case, without the trailing dot.
    pub name: String,
    pub kind: Type,
    /// The query's flags (only "recursion desired" is copied into the answer).
    pub flags: u16,
    /// UDP size the client takes: from its OPT record, 512 without.
    pub size: usize,
    pub edns: bool,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Address {
        name: String,
        ip: IpAddr,
        ttl: u32,
    },
    Cname {
        name: String,
        target: String,
        ttl: u32,
    },
}

pub(super) const NOERROR: u16 = 0;
pub(super) const SERVFAIL: u16 = 2;
pub(super) const NXDOMAIN: u16 = 3;
pub(super) const REFUSED: u16 = 5;

const OPT: u16 = 41;
const SOA: u16 = 6;
const CNAME: u16 = 5;
const TRUNCATED: u16 = 0x0200;

/// Reads a query with one question; `None` for anything else.
pub(super) fn read_query(bytes: &[u8]) -> Option<Question> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (id, flags) = (word(0)?, word(2)?);
    if flags & 0x8000 != 0 || word(4)? != 1 {
        return None;
    }
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if length > 63 {
            return None;
        }
        let label = bytes.get(at..at + length)?;
        labels.push(
            label
                .iter()
                .map(|&b| char::from(b.to_ascii_lowercase()))
                .collect::<String>(),
        );
        at += length;
    }
    let kind = Type::from_code(word(at)?);
    at += 4;
    // The only additional record a query carries is OPT: root name, type, class = UDP size.
    let edns = word(10)? > 0 && bytes.get(at) == Some(&0) && word(at + 1) == Some(OPT);
    let size = if edns {
        usize::from(word(at + 3)?).max(512)
    } else {
        512
    };
    Some(Question {
        id,
        name: labels.join("."),
        kind,
        flags,
        size,
        edns,
    })
}

/// Writes an answer. A negative one (no records) carries a SOA of the parent domain with 60 s, as servers do.
/// `limit`: bytes that fit; a longer answer is cut to its question with the truncation bit.
pub(super) fn write_answer(
    question: &Question,
    rcode: u16,
    records: &[Record],
    limit: usize,
) -> Vec<u8> {
    let whole = message(question, rcode, records, false);
    if whole.len() <= limit {
        whole
    } else {
        message(question, rcode, &[], true)
    }
}

/// The question alone, with the truncation bit: "ask by TCP".
pub(super) fn write_truncated(question: &Question) -> Vec<u8> {
    message(question, NOERROR, &[], true)
}

fn message(question: &Question, rcode: u16, records: &[Record], truncated: bool) -> Vec<u8> {
    let negative = records.is_empty() && !truncated && matches!(rcode, NOERROR | NXDOMAIN);
    // response, recursion available, and "recursion desired" as asked
    let flags = 0x8080 | (question.flags & 0x0100) | rcode | if truncated { TRUNCATED } else { 0 };
    let counts = [
        1,
        records.len() as u16,
        u16::from(negative),
        u16::from(question.edns),
    ];
    let mut out = Vec::new();
    for word in [question.id, flags].into_iter().chain(counts) {
        put(&mut out, word);
    }
    put_name(&mut out, &question.name);
    put(&mut out, question.kind.code());
    put(&mut out, 1);
    for record in records {
        put_record(&mut out, record);
    }
    if negative {
        put_soa(&mut out, &question.name);
    }
    if question.edns {
        out.push(0);
        put(&mut out, OPT);
        put(&mut out, 1232);
        out.extend([0; 6]);
    }
    out
}

fn put(out: &mut Vec<u8>, word: u16) {
    out.extend(word.to_be_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    // A name equal to the question's (always at offset 12) is written as a pointer to it.
    let mut own = Vec::new();
    for label in name.split('.').filter(|l| !l.is_empty()) {
        own.push(label.len() as u8);
        own.extend(label.chars().map(|c| c as u8));
    }
    own.push(0);
    if out.len() > 12 && out[12..].starts_with(&own) {
        put(out, 0xc00c);
    } else {
        out.extend(own);
    }
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    let (name, kind, ttl, data) = match record {
        Record::Address {
            name,
            ip: IpAddr::V4(ip),
            ttl,
        } => (name, 1, ttl, ip.octets().to_vec()),
        Record::Address {
            name,
            ip: IpAddr::V6(ip),
            ttl,
        } => (name, 28, ttl, ip.octets().to_vec()),
        Record::Cname { name, target, ttl } => {
            let mut data = Vec::new();
            put_name(&mut data, target);
            (name, CNAME, ttl, data)
        }
    };
    put_name(out, name);
    put(out, kind);
    put_data(out, *ttl, &data);
}

fn put_soa(out: &mut Vec<u8>, name: &str) {
    let parent = name.split_once('.').map_or("", |(_, parent)| parent);
    let mut data = Vec::new();
    put_name(&mut data, "ns.test");
    put_name(&mut data, "admin.test");
    for n in [1_u32, 3600, 600, 86400, 60] {
        data.extend(n.to_be_bytes());
    }
    put_name(out, parent);
    put(out, SOA);
    put_data(out, 60, &data);
}

fn put_data(out: &mut Vec<u8>, ttl: u32, data: &[u8]) {
    put(out, 1);
    out.extend(ttl.to_be_bytes());
    put(out, data.len() as u16);
    out.extend(data);
}

/// A query, with EDNS when `size` is given.
pub(super) fn write_query(id: u16, name: &str, kind: Type, size: Option<u16>) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [id, 0x0100, 1, 0, 0, u16::from(size.is_some())] {
        put(&mut out, word);
    }
    put_name(&mut out, name);
    put(&mut out, kind.code());
    put(&mut out, 1);
    if let Some(size) = size {
        out.push(0);
        put(&mut out, OPT);
        put(&mut out, size);
        out.extend([0; 6]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(size: Option<u16>) -> Question {
        read_query(&write_query(7, "App.Test", Type::A, size)).expect("a valid query")
    }

    #[test]
    fn queries_are_read() {
        let q = question(None);
        assert_eq!(
            (q.id, q.name.as_str(), q.kind, q.size, q.edns),
            (7, "app.test", Type::A, 512, false)
        );
        assert_eq!(question(Some(1232)).size, 1232);
        assert!(read_query(&[1, 2, 3]).is_none());
    }

    #[test]
    fn answers_are_written() {
        let record = Record::Address {
            name: "app.test".into(),
            ip: "127.0.0.2".parse().expect("ip"),
            ttl: 5,
        };
        let bytes = write_answer(&question(Some(1232)), NOERROR, &[record], 1232);
        assert_eq!(&bytes[..12], &[0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
        let data = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 127, 0, 0, 2];
        assert!(bytes.windows(data.len()).any(|w| w == data), "{bytes:?}");
    }

    #[test]
    fn long_answers_are_cut() {
        let ip = "127.0.0.2".parse().expect("ip");
        let records = vec![
            Record::Address {
                name: "app.test".into(),
                ip,
                ttl: 5
            };
            60
        ];
        let cut = write_answer(&question(None), NOERROR, &records, 512);
        assert_eq!((cut[2] & 2, cut[7]), (2, 0), "truncation bit, no records");
        assert_eq!(
            write_answer(&question(None), NOERROR, &records, 65535)[7],
            60
        );
    }
}
