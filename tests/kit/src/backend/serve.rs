//! The conversation on one connection of a backend.

use super::answer::{Answer, Asked, Query};
use super::death::{Death, checksum};
use super::line::{Line, Wire};
use super::{Mode, Seen, Shared, tls};
use crate::http::{Head, Inbox};
use crate::sockets::{reset, small_thread};
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

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
        if speaks(&shared, &line) {
            let _ = serve(&shared, number, &line);
        }
        shared.lock().open.remove(&number);
    });
}

/// Waits for the first byte, and counts the connection by what came.
fn speaks(shared: &Shared, line: &Line) -> bool {
    let spoke = line.wait_byte();
    let counters = &shared.counters;
    let counter = match spoke {
        true => &counters.accepted,
        false => &counters.probed,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    line.spoke.store(spoke, Ordering::Relaxed);
    spoke
}

fn serve(shared: &Arc<Shared>, number: usize, line: &Arc<Line>) -> io::Result<()> {
    let wire = match &shared.tls {
        None => Wire::plain(line),
        Some(_) if shared.lock().mode == Mode::BadTls => {
            // the hello is taken out first: bytes unread would make a reset of the end
            let mut inbox = Inbox::new(line.stream());
            inbox.exact(1)?;
            shared.counters.died.fetch_add(1, Ordering::Relaxed);
            return line.stream().write_all(tls::ALERT);
        }
        Some(config) => Wire::tls(line, config)?,
    };
    let mut talk = Talk {
        shared,
        line,
        number,
        inbox: Inbox::new(wire),
        served: 0,
    };
    let result = talk.run();
    // On a connection that was broken off this writes nothing.
    talk.inbox.source_mut().goodbye();
    result
}

struct Talk<'a> {
    shared: &'a Arc<Shared>,
    line: &'a Line,
    number: usize,
    inbox: Inbox<Wire>,
    /// Requests answered.
    served: usize,
}

impl Talk<'_> {
    /// Serves the connection until its end.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.wait_request()?;
            self.line.busy.store(true, Ordering::Relaxed);
            let mode = self.shared.lock().mode;
            match mode {
                Mode::Die(Death::Arrival) => return self.die(Death::Arrival, false),
                Mode::CloseReused if self.served > 0 => return self.die(Death::Arrival, false),
                Mode::Kill(Death::Arrival) => return self.die(Death::Arrival, true),
                _ => {}
            }
            if !self.request()? {
                return Ok(());
            }
            self.served += 1;
            self.line.busy.store(false, Ordering::Relaxed);
        }
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
    fn request(&mut self) -> io::Result<bool> {
        let head = self.inbox.head()?;
        let mut words = head.start.split(' ');
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let query = Query::of(target, &self.shared.name);
        let body = self.body(&head, &query)?;
        let asked = Asked {
            head: &head,
            method,
            target,
            length: body.len(),
            sum: checksum(&body),
        };
        let mode = self.note(&asked)?;
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
        if head.has_token("upgrade", "websocket") {
            return self.echo().map(|()| false);
        }
        self.answer(mode, &query, &asked)
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

    /// Records the request; the mode that holds for it.
    fn note(&self, asked: &Asked<'_>) -> io::Result<Mode> {
        let head = asked.head;
        let seen = Seen {
            at: Instant::now(),
            local: self.line.stream().local_addr()?.ip(),
            connection: self.number,
            method: asked.method.to_owned(),
            path: asked.target.to_owned(),
            host: head.get("host").unwrap_or_default().to_owned(),
            id: head.get("x-id").and_then(|id| id.parse().ok()).unwrap_or(0),
            length: asked.length,
            sum: asked.sum,
        };
        let counters = &self.shared.counters;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let mut state = self.shared.lock();
        if counters.recording.load(Ordering::Relaxed) {
            state.seen.push(seen);
        }
        Ok(state.mode)
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
