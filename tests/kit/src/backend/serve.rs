//! The conversation on one connection of a backend.

use super::answer::{Answer, Asked, Query};
use super::death::{Death, checksum};
use super::line::{Line, Wire};
use super::say::Say;
use super::{Mode, Seen, Shared, tls};
use crate::http::{Head, Inbox};
use crate::sockets::{reset, small_thread};
use rustls::ServerConfig;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How the User-Agent of the module's own requests begins.
const PROBE: &str = "mod_proxy_live";
/// A process that stands still looks so often whether it may go on.
const GLANCE: Duration = Duration::from_millis(10);
/// What a web server says in clear text to somebody who speaks TLS.
const PAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

pub(super) fn accept(stream: TcpStream, shared: &Arc<Shared>) {
    let number = shared.counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let mut state = shared.lock();
    if state.mode == Mode::Reset {
        shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
        reset(&stream);
        return;
    }
    let line = Arc::new(Line::new(stream));
    state.open.insert(number, Arc::clone(&line));
    drop(state);
    let shared = Arc::clone(shared);
    small_thread(move || {
        if line.wait_byte() {
            let _ = serve(&shared, number, &line);
        } else {
            shared.counters.probed.fetch_add(1, Ordering::Relaxed);
        }
        shared.lock().open.remove(&number);
    });
}

fn serve(shared: &Arc<Shared>, number: usize, line: &Arc<Line>) -> io::Result<()> {
    let mut talk = match &shared.tls {
        None => Talk::new(shared, line, number, Wire::plain(line)),
        Some(config) => match shake_hands(shared, number, line, config)? {
            None => return Ok(()),
            Some((wire, sni)) => Talk {
                sni,
                ..Talk::new(shared, line, number, wire)
            },
        },
    };
    let result = talk.run();
    talk.count(false);
    // On a connection that was broken off this writes nothing.
    talk.inbox.source_mut().goodbye();
    result
}

/// The TLS handshake; with it the name that the client sent. `None`: it ended here, as the mode wanted it.
fn shake_hands(
    shared: &Arc<Shared>,
    number: usize,
    line: &Arc<Line>,
    config: &Arc<ServerConfig>,
) -> io::Result<Option<(Wire, Option<String>)>> {
    shared.thaw(line)?;
    let hello = Wire::hello(line)?;
    let sni = hello.client_hello().server_name().map(str::to_owned);
    let seen = Seen {
        sni: sni.clone(),
        ..Seen::on(line, number)?
    };
    let mode = shared.lock().mode;
    match mode {
        Mode::BadTls => {
            shared.counters.died.fetch_add(1, Ordering::Relaxed);
            line.stream().write_all(tls::ALERT)?;
        }
        Mode::SilentTls => line.wait_end(),
        Mode::CloseTls => {}
        Mode::PlainTls => line.stream().write_all(PAGE)?,
        _ => {
            let wire = Wire::tls(line, hello, config);
            if wire.is_err() {
                shared.counters.probed.fetch_add(1, Ordering::Relaxed);
                shared.keep_probe(seen);
                return Err(ErrorKind::UnexpectedEof.into());
            }
            return wire.map(|wire| Some((wire, sni)));
        }
    }
    shared.keep_probe(seen);
    Ok(None)
}

impl Seen {
    /// Of this connection, which has said nothing.
    fn on(line: &Line, number: usize) -> io::Result<Seen> {
        Ok(Seen {
            at: Instant::now(),
            local: line.stream().local_addr()?.ip(),
            peer: line.peer(),
            sni: None,
            agent: String::new(),
            connection: number,
            method: String::new(),
            path: String::new(),
            host: String::new(),
            id: 0,
            length: 0,
            sum: 0,
        })
    }
}

impl Shared {
    /// Waits while the process stands still.
    fn thaw(&self, line: &Line) -> io::Result<()> {
        while self.lock().mode == Mode::Freeze {
            line.pause(GLANCE)?;
        }
        Ok(())
    }

    fn keep_probe(&self, probe: Seen) {
        if self.counters.recording.load(Ordering::Relaxed) {
            self.lock().probes.push(probe);
        }
    }
}

struct Talk<'a> {
    shared: &'a Arc<Shared>,
    line: &'a Line,
    number: usize,
    inbox: Inbox<Wire>,
    sni: Option<String>,
    /// Whether the connection is in the counters.
    counted: bool,
    /// Requests answered.
    served: usize,
}

impl<'a> Talk<'a> {
    fn new(shared: &'a Arc<Shared>, line: &'a Line, number: usize, wire: Wire) -> Talk<'a> {
        Talk {
            shared,
            line,
            number,
            inbox: Inbox::new(wire),
            sni: None,
            counted: false,
            served: 0,
        }
    }

    /// Serves the connection until its end.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.wait_request()?;
            self.shared.thaw(self.line)?;
            self.line.busy.store(true, Ordering::Relaxed);
            let head = self.inbox.head()?;
            let agent = head.get("user-agent").unwrap_or_default();
            let probe = agent.starts_with(PROBE);
            self.count(probe);
            if probe {
                self.line.busy.store(false, Ordering::Relaxed);
            } else if let Some(end) = self.arrives() {
                return end;
            }
            if !self.request(&head, probe)? {
                return Ok(());
            }
            self.served += 1;
            self.line.busy.store(false, Ordering::Relaxed);
        }
    }

    /// The end of a connection whose request is not even looked at.
    fn arrives(&mut self) -> Option<io::Result<()>> {
        let mode = self.shared.lock().mode;
        match mode {
            Mode::Die(Death::Arrival) => Some(self.die(Death::Arrival, false)),
            Mode::CloseReused if self.served > 0 => Some(self.die(Death::Arrival, false)),
            Mode::Kill(Death::Arrival) => Some(self.die(Death::Arrival, true)),
            _ => None,
        }
    }

    /// Counts the connection by what came, once.
    fn count(&mut self, probe: bool) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        let counters = &self.shared.counters;
        let counter = match probe {
            true => &counters.probed,
            false => &counters.accepted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.line.spoke.store(!probe, Ordering::Relaxed);
    }

    fn wait_request(&mut self) -> io::Result<()> {
        let here = !self.inbox.is_empty() || self.inbox.source_mut().holds();
        match here || self.line.wait_byte() {
            true => Ok(()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The connection ends as this death wants it; `all`: the process is killed.
    fn die(&mut self, death: Death, all: bool) -> io::Result<()> {
        self.shared.counters.died.fetch_add(1, Ordering::Relaxed);
        if all {
            return self.shared.die();
        }
        if death.is_orderly() {
            self.inbox.source_mut().end();
        } else {
            self.line.break_off();
        }
        Ok(())
    }

    /// One request; whether the connection goes on.
    fn request(&mut self, head: &Head, probe: bool) -> io::Result<bool> {
        let mut words = head.start.split(' ');
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let query = Query::of(target, &self.shared.name);
        let body = self.body(head, &query)?;
        let asked = Asked {
            head,
            method,
            target,
            length: body.len(),
            sum: checksum(&body),
        };
        let (mode, say) = self.note(&asked, probe)?;
        if let Some(say) = &say {
            return self.says(say, &query, &asked);
        }
        match mode {
            Mode::ResetRequest => {
                self.line.break_off();
                return Ok(false);
            }
            // Waits for the proxy to give up.
            Mode::Hang => return self.inbox.exact(usize::MAX).map(|_| false),
            Mode::Slow(pause) => self.line.pause(pause)?,
            _ => {}
        }
        if let Some(delay) = query.delay {
            self.line.pause(delay)?;
        }
        self.shared.thaw(self.line)?;
        if head.has_token("upgrade", "websocket") {
            return self.echo().map(|()| false);
        }
        let mode = match mode {
            Mode::Die(_) | Mode::Kill(_) if probe => Mode::Ok,
            mode => mode,
        };
        self.answer(mode, &query, &asked)
    }

    /// The answer to a path that has one of its own; whether the connection goes on.
    fn says(&mut self, say: &Say, query: &Query, asked: &Asked<'_>) -> io::Result<bool> {
        let answer = match say {
            Say::Status(status) => {
                Answer::new(&self.shared.name, Mode::Status(*status), query, asked)
            }
            Say::Drip(pause) => {
                Answer::new(&self.shared.name, Mode::Ok, query, asked).dripping(*pause)
            }
            other => {
                let wire = self.inbox.source_mut();
                return other.send(wire, self.line, self.shared).map(|()| false);
            }
        };
        answer.send(self.inbox.source_mut(), self.line)?;
        Ok(!answer.close)
    }

    fn body(&mut self, head: &Head, query: &Query) -> io::Result<Vec<u8>> {
        // Nobody waits for an empty body: servers save the 100.
        if head.has_token("expect", "100-continue") && head.length() != Some(0) {
            let wire = self.inbox.source_mut();
            wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            wire.flush()?;
        }
        if let Some(hold) = query.hold {
            self.line.pause(hold)?;
        }
        self.inbox.body(head, false)
    }

    /// Records the request; the mode that holds for it, and the answer to its path.
    fn note(&self, asked: &Asked<'_>, probe: bool) -> io::Result<(Mode, Option<Say>)> {
        let field = |name| asked.head.get(name).unwrap_or_default().to_owned();
        let seen = Seen {
            sni: self.sni.clone(),
            agent: field("user-agent"),
            method: asked.method.to_owned(),
            path: asked.target.to_owned(),
            host: field("host"),
            id: field("x-id").parse().unwrap_or(0),
            length: asked.length,
            sum: asked.sum,
            ..Seen::on(self.line, self.number)?
        };
        let path = asked.target.split('?').next().unwrap_or_default();
        let counters = &self.shared.counters;
        if probe {
            self.shared.keep_probe(seen);
            let state = self.shared.lock();
            return Ok((state.mode, state.says.get(path).cloned()));
        }
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let mut state = self.shared.lock();
        if counters.recording.load(Ordering::Relaxed) {
            state.seen.push(seen);
        }
        Ok((state.mode, state.says.get(path).cloned()))
    }

    fn answer(&mut self, mode: Mode, query: &Query, asked: &Asked<'_>) -> io::Result<bool> {
        let now = match self.shared.lock().mode {
            Mode::Leave => Mode::Leave,
            _ => mode,
        };
        let answer = Answer::new(&self.shared.name, now, query, asked);
        let (death, all) = match (query.die, mode) {
            (Some(death), _) => (death, false),
            (None, Mode::Die(death)) => (death, false),
            (None, Mode::Kill(death)) => (death, true),
            _ => {
                answer.send(self.inbox.source_mut(), self.line)?;
                return Ok(!answer.close && mode != Mode::CloseIdle);
            }
        };
        answer.send_part(self.inbox.source_mut(), self.line, death)?;
        self.die(death, all).map(|()| false)
    }

    fn echo(&mut self) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Backend: {}\r\n\r\n",
            self.shared.name
        );
        self.inbox.source_mut().write_all(head.as_bytes())?;
        let mut bytes = self.inbox.take_rest();
        loop {
            let wire = self.inbox.source_mut();
            wire.write_all(&bytes)?;
            wire.flush()?;
            bytes = self.inbox.exact(1)?;
            bytes.extend(self.inbox.take_rest());
        }
    }
}
