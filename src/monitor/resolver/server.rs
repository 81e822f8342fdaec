//! One name server, spoken to by hickory's resolver.
//!
//! hickory does the messages: identifiers, EDNS, TCP after a truncated answer, aliases
//! whose target is not in the answer. Which server is asked, how often, and what
//! becomes of an error is decided by the module above.

use std::future::Future;
use std::io::{self, ErrorKind::WouldBlock};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioRuntimeProvider, TokioTime,
};
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::{DnsRequest, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{ConnectionProvider, PoolContext, Resolver};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::logic::addr::Family;
use crate::logic::answer::{Data, Failure, Outcome, Record, follow};

/// Questions that may wait for their answers on one TCP connection.
const MAX_ACTIVE: usize = 128;

tokio::task_local! {
    /// Questions sent by the look-up that is running.
    static SENT: AtomicU32;
}

/// A name server; `R` carries its messages, in tests and under the fuzzer another one than the network.
pub struct Server<R: RuntimeProvider = Runtime> {
    pub addr: SocketAddr,
    timeout: Duration,
    resolver: Resolver<Transport<R>>,
    /// For servers that know no EDNS.
    plain: Resolver<Transport<R>>,
}

impl Server {
    /// `timeout` is for one try; `tcp_only` skips UDP.
    ///
    /// # Errors
    /// When hickory refuses the configuration.
    pub fn new(addr: SocketAddr, timeout: Duration, tcp_only: bool) -> Result<Self, NetError> {
        Self::over(Runtime::default(), addr, timeout, tcp_only)
    }
}

impl<R: RuntimeProvider> Server<R> {
    /// The same with messages that `runtime` carries.
    ///
    /// # Errors
    /// When hickory refuses the configuration.
    pub fn over(
        runtime: R,
        addr: SocketAddr,
        timeout: Duration,
        tcp_only: bool,
    ) -> Result<Self, NetError> {
        let transport = Transport { addr, runtime };
        Ok(Self {
            addr,
            timeout,
            resolver: build(transport.clone(), timeout, tcp_only, true)?,
            plain: build(transport, timeout, tcp_only, false)?,
        })
    }

    /// Asks once for one family of a fully qualified name. Also returns the number of
    /// questions that were sent for it.
    pub async fn ask(&self, name: &Name, family: Family) -> (Outcome, u32) {
        let (outcome, queries) = self.ask_by(&self.resolver, name, family).await;
        if !knows_no_edns(&outcome) {
            return (outcome, queries);
        }
        // RFC 6891 section 6.2.2: such a server is asked without EDNS.
        let (outcome, more) = self.ask_by(&self.plain, name, family).await;
        (outcome, queries + more)
    }

    async fn ask_by(
        &self,
        by: &Resolver<Transport<R>>,
        name: &Name,
        family: Family,
    ) -> (Outcome, u32) {
        let record = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let ask = async {
            // The try over UDP has its own limit; a truncated answer gets as much again.
            let limit = self.timeout * 2;
            let outcome = match tokio::time::timeout(limit, by.lookup(name.clone(), record)).await {
                Ok(Ok(lookup)) => answer(name, family, &lookup),
                Ok(Err(error)) => outcome_of(&error),
                Err(_) => Outcome::Failed(Failure::Timeout),
            };
            (outcome, SENT.with(|sent| sent.load(Ordering::Relaxed)))
        };
        SENT.scope(AtomicU32::new(0), ask).await
    }
}

fn build<R: RuntimeProvider>(
    transport: Transport<R>,
    timeout: Duration,
    tcp_only: bool,
    edns: bool,
) -> Result<Resolver<Transport<R>>, NetError> {
    let addr = transport.addr;
    let with_port = |protocol| {
        let mut config = ConnectionConfig::new(protocol);
        config.port = addr.port();
        config
    };
    let mut connections = vec![with_port(ProtocolConfig::Tcp)];
    if !tcp_only {
        connections.insert(0, with_port(ProtocolConfig::Udp));
    }
    let server = NameServerConfig::new(addr.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(config, transport);
    let options = builder.options_mut();
    options.timeout = timeout;
    options.attempts = 0;
    options.edns0 = edns;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.num_concurrent_reqs = 1;
    options.max_active_requests = MAX_ACTIVE;
    options.preserve_intermediates = true;
    // The bounds of TTLs are ours.
    options.positive_max_ttl = Some(Duration::from_secs(u32::MAX.into()));
    builder.build()
}

/// What an answer gives; the code of a response that is no answer is an error.
fn answer(name: &Name, family: Family, lookup: &Lookup) -> Outcome {
    let code = lookup.message().response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return by_code(code);
    }
    let records: Vec<Record> = lookup.answers().iter().filter_map(record).collect();
    match follow(&name.to_ascii(), family, &records) {
        Outcome::Empty => by_code(code),
        found => found,
    }
}

fn record(record: &hickory_resolver::proto::rr::Record) -> Option<Record> {
    let data = match &record.data {
        RData::A(ip) => Data::Address(IpAddr::V4(ip.0)),
        RData::AAAA(ip) => Data::Address(IpAddr::V6(ip.0)),
        RData::CNAME(target) => Data::Alias(target.0.to_ascii()),
        _ => return None,
    };
    Some(Record {
        owner: record.name.to_ascii(),
        ttl: record.ttl,
        data,
    })
}

fn outcome_of(error: &NetError) -> Outcome {
    Outcome::Failed(match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
            return by_code(*response_code);
        }
        NetError::Dns(DnsError::ResponseCode(code)) => return by_code(*code),
        NetError::Timeout => Failure::Timeout,
        NetError::Io(_) | NetError::Busy | NetError::NoConnections => Failure::Network,
        _ => Failure::Garbage,
    })
}

/// The outcome of a response without records.
fn by_code(code: ResponseCode) -> Outcome {
    match code {
        ResponseCode::NoError => Outcome::Empty,
        ResponseCode::NXDomain => Outcome::NoName,
        ResponseCode::ServFail => Outcome::Failed(Failure::ServFail),
        ResponseCode::Refused => Outcome::Failed(Failure::Refused),
        other => {
            let code = u8::try_from(u16::from(other)).unwrap_or(u8::MAX);
            Outcome::Failed(Failure::Code(code))
        }
    }
}

/// Whether a server answers like one that does not know EDNS: FORMERR or NOTIMP.
const fn knows_no_edns(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(Failure::Code(1 | 4)))
}

/// Makes hickory's connections to one server. Differs from hickory's own in three ways:
/// the address keeps its IPv6 scope, UDP questions are not repeated behind our back, and
/// each question is counted.
#[derive(Clone)]
struct Transport<R> {
    addr: SocketAddr,
    runtime: R,
}

impl<R: RuntimeProvider> ConnectionProvider for Transport<R> {
    type Conn = Counted<R>;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Counted<R>, NetError>> + Send>>;
    type RuntimeProvider = R;

    fn new_connection(
        &self,
        _ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let (addr, runtime) = (self.addr, self.runtime.clone());
        let timeout = context.options.timeout;
        let tcp = config.protocol == ProtocolConfig::Tcp;
        Ok(Box::pin(async move {
            let exchange = if tcp {
                TcpClientStream::exchange(addr, None, timeout, Some(MAX_ACTIVE), runtime).await?
            } else {
                UdpClientStream::builder(addr, runtime)
                    .with_timeout(Some(timeout))
                    .with_max_retries(0)
                    .exchange()
            };
            Ok(Counted(exchange))
        }))
    }

    fn runtime_provider(&self) -> &R {
        &self.runtime
    }
}

/// A connection that counts its questions in [`SENT`].
#[derive(Clone)]
struct Counted<R: RuntimeProvider>(DnsExchange<R>);

impl<R: RuntimeProvider> DnsHandle for Counted<R> {
    type Response = <DnsExchange<R> as DnsHandle>::Response;
    type Runtime = R;

    fn send(&self, request: DnsRequest) -> Self::Response {
        // Outside of a look-up there is nobody to count for.
        let _ = SENT.try_with(|sent| sent.fetch_add(1, Ordering::Relaxed));
        self.0.send(request)
    }
}

/// hickory's tokio runtime with UDP sockets of our own.
#[derive(Clone, Default)]
pub struct Runtime(TokioRuntimeProvider);

impl RuntimeProvider for Runtime {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = <TokioRuntimeProvider as RuntimeProvider>::Timer;
    type Udp = Socket;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        self.0.connect_tcp(server, local, timeout)
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        let bound = self.0.bind_udp(local, server);
        Box::pin(async move {
            let socket = bound.await?;
            socket.connect(server).await?;
            Ok(Socket(socket))
        })
    }
}

/// A UDP socket that is connected to the server: the kernel reports a closed port at
/// once, and drops what others send.
pub struct Socket(UdpSocket);

impl Socket {
    async fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let ready = self.0.ready(Interest::READABLE | Interest::ERROR).await?;
            if ready.is_error() {
                // tokio does not wake a reader for an error alone.
                let error = || self.0.take_error()?.map_or(Err(WouldBlock.into()), Err);
                match self.0.try_io::<()>(Interest::ERROR, error) {
                    Err(error) if error.kind() != WouldBlock => return Err(error),
                    _ => {}
                }
            }
            match self.0.try_recv_from(buf) {
                Err(error) if error.kind() == WouldBlock => {}
                received => return received,
            }
        }
    }
}

impl DnsUdpSocket for Socket {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        DnsUdpSocket::poll_recv_from(&self.0, context, buf)
    }

    // What `async fn` stands for in a trait of the async-trait crate.
    fn recv_from<'life0, 'life1, 'async_trait>(
        &'life0 self,
        buf: &'life1 mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.receive(buf))
    }

    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        DnsUdpSocket::poll_send_to(&self.0, context, buf, target)
    }
}

#[cfg(test)]
mod tests;
