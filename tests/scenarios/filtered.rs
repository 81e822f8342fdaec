//! Uploads whose bodies a filter changes on their way to the backend: what is a body to the client stays one.

use crate::common::pool::*;
use crate::common::uploads::*;
use crate::common::*;
use live_kit::{Backend, Httpd, Request, Seen, World, checksum, payload, scenario_within};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);

/// The pool behind a filter that unpacks bodies and takes their Content-Length away.
fn unpacking(w: &mut World, parameters: &str) -> (Httpd, Backend, Backend) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("SetInputFilter DEFLATE\n{FRESH}\n{}", pool(parameters));
    let builder = w.httpd().children(2).module("deflate").live(&text);
    let httpd = unwhole(troubled(builder)).start();
    wait_known(&httpd, "one.test");
    wait_known(&httpd, "two.test");
    (httpd, a, b)
}

fn every_form(httpd: &Httpd, backends: &[&Backend], query: &str, allowed: &[u16]) {
    for method in ["PUT", "DELETE", "POST"] {
        for length in [1, 8192, 30_000] {
            let upload = Request::upload(method, ONCE, 0);
            unpacked_once(httpd, backends, &asking(&upload, query), length, allowed);
        }
    }
}

/// They are bodies all the same: not sent to a second backend, and above all not without what was sent already.
#[test]
fn bodies_that_a_filter_unpacks() {
    scenario_within(LIMIT, |w: &mut World| {
        let (httpd, a, b) = unpacking(w, "");
        let before = a.died();
        for query in ["die=reset&at=A", "die=close&at=A", "die=header&at=A"] {
            every_form(&httpd, &[&a, &b], query, &[200, 502]);
        }
        let died = a.died() - before;
        assert!(died >= 27, "{died} died");
    });
}

/// After a connect that failed they go on to the other member whole.
#[test]
fn unconnected() {
    scenario_within(LIMIT, |w: &mut World| {
        let (httpd, a, b) = unpacking(w, "liveprobe=off retry=0");
        a.kill();
        every_form(&httpd, &[&a, &b], "n=1", &[200]);
        let tried = attempts(&httpd, IP_A);
        assert!(tried >= 9, "{tried} tried A");
    });
}

/// Sends the same four times, with and without `Expect`; each time at most one backend gets it, unpacked and whole.
#[track_caller]
fn unpacked_once(
    httpd: &Httpd,
    backends: &[&Backend],
    upload: &Request,
    length: usize,
    allowed: &[u16],
) {
    let body = payload(7, length);
    let mut request = upload.clone().header("Content-Encoding", "gzip");
    request.body = gzip(&body);
    for n in 0..4 {
        // members take turns, and each has a success in between
        httpd.get(AGAIN);
        httpd.get(AGAIN);
        backends.iter().for_each(|b| b.forget());
        request.expect = n >= 2;
        let answer = httpd.send(&request).expect("an answer");
        assert!(allowed.contains(&answer.status), "{answer:?}");
        let seen: Vec<_> = backends.iter().flat_map(|b| b.seen()).collect();
        let whole = |s: &Seen| (s.length, s.sum) == (length, checksum(&body));
        let once = seen.len() <= 1 && seen.iter().all(whole);
        assert!(once, "{upload:?} {length}, {n}: {seen:?}");
        assert!(
            answer.status != 200 || seen.len() == 1,
            "answered by none: {answer:?}"
        );
    }
}

/// RFC 1952, with one stored block (RFC 1951).
fn gzip(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("one block");
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(body);
    packed.extend(crc32(body).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
    let byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), bit);
    !bytes.iter().fold(!0, byte)
}
