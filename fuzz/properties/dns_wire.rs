//! A name server in memory: its answers are written before the questions are. It carries hickory's messages in place
//! of the network, by UDP and by TCP.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use hickory_resolver::proto::op::DnsResponse;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A question and what came back.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub question: Vec<u8>,
    pub tcp: bool,
    pub answers: Vec<Vec<u8>>,
}

/// The wires to one name server.
#[derive(Clone)]
pub struct Wire {
    runtime: TokioRuntimeProvider,
    state: Arc<Mutex<State>>,
}

struct State {
    left: VecDeque<Vec<u8>>,
    seen: Vec<Exchange>,
}

impl Wire {
    /// `stream` has the answers one after the other as on TCP: each behind its length.
    pub fn new(stream: &[u8]) -> Self {
        let mut left = VecDeque::new();
        let mut rest = stream;
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
            left.push_back(behind[..length].to_vec());
            rest = &behind[length..];
        }
        let seen = Vec::new();
        Self {
            runtime: TokioRuntimeProvider::new(),
            state: Arc::new(Mutex::new(State { left, seen })),
        }
    }

    /// Whether nothing is left to answer with.
    pub fn is_done(&self) -> bool {
        self.state.lock().left.is_empty()
    }

    /// What there was since the last call.
    pub fn take_seen(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.state.lock().seen)
    }

    fn ask(&self, question: &[u8], tcp: bool) -> usize {
        let seen = &mut self.state.lock().seen;
        seen.push(Exchange {
            question: question.to_vec(),
            tcp,
            answers: Vec::new(),
        });
        seen.len() - 1
    }

    /// The next answer to a question, with its identifier unless that of the answer is 0x8000 or more.
    fn answer(&self, at: usize) -> Option<Vec<u8>> {
        let state = &mut *self.state.lock();
        // a question of an earlier look-up gets no more
        let exchange = state.seen.get_mut(at)?;
        let mut answer = state.left.pop_front()?;
        if answer.len() >= 2 && answer[0] < 0x80 {
            answer[..2].copy_from_slice(&exchange.question[..2]);
        }
        exchange.answers.push(answer.clone());
        Some(answer)
    }
}

impl RuntimeProvider for Wire {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Packets;
    type Tcp = AsyncIoTokioAsStd<Stream>;

    fn create_handle(&self) -> TokioHandle {
        self.runtime.create_handle()
    }

    fn connect_tcp(
        &self,
        _server: SocketAddr,
        _local: Option<SocketAddr>,
        _timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        let stream = Stream {
            wire: self.clone(),
            written: Vec::new(),
            to_read: VecDeque::new(),
            open: None,
            waker: None,
        };
        Box::pin(async { Ok(AsyncIoTokioAsStd(stream)) })
    }

    fn bind_udp(
        &self,
        _local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Packets>>>> {
        let wire = self.clone();
        let asked = Mutex::default();
        Box::pin(async move {
            Ok(Packets {
                wire,
                server,
                asked,
            })
        })
    }
}

/// A UDP socket for one question.
pub struct Packets {
    wire: Wire,
    server: SocketAddr,
    asked: Mutex<usize>,
}

impl DnsUdpSocket for Packets {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let answer = self.wire.answer(*self.asked.lock());
        Poll::Ready(match answer {
            Some(answer) => {
                let length = answer.len().min(buf.len());
                buf[..length].copy_from_slice(&answer[..length]);
                Ok((length, self.server))
            }
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        })
    }

    fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        buf: &[u8],
        _: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        *self.asked.lock() = self.wire.ask(buf, false);
        Poll::Ready(Ok(buf.len()))
    }
}

/// A TCP connection. It ends when there is no answer to a question.
pub struct Stream {
    wire: Wire,
    written: Vec<u8>,
    to_read: VecDeque<u8>,
    /// The question that is not answered yet.
    open: Option<usize>,
    waker: Option<Waker>,
}

impl Stream {
    /// Makes something to read; false at the end.
    fn answer(&mut self, at: usize) -> bool {
        let Some(answer) = self.wire.answer(at) else {
            return false;
        };
        let seen = self.wire.state.lock().seen[at].question.clone();
        // on all others hickory waits for more
        let fits =
            answer.get(..2) == seen.get(..2) && DnsResponse::from_buffer(answer.clone()).is_ok();
        if fits {
            self.open = None;
        }
        let length = u16::try_from(answer.len()).expect("it had such a length");
        self.to_read.extend(length.to_be_bytes());
        self.to_read.extend(answer);
        true
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.to_read.is_empty() {
            let Some(at) = self.open else {
                self.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            if !self.answer(at) {
                return Poll::Ready(Ok(()));
            }
        }
        let length = buf.remaining().min(self.to_read.len());
        let bytes: Vec<u8> = self.to_read.drain(..length).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(buf);
        if let Some((length, question)) = self.written.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            if question.len() >= length {
                let at = self.wire.ask(&question[..length], true);
                self.written.drain(..2 + length);
                self.open = Some(at);
                self.waker.take().inspect(Waker::wake_by_ref);
            }
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
