//! Who asks for the module's pages all the time, and who notices that this machine is too busy.

use crate::action::At;
use crate::users::{GIVE_UP, NUMBER};
use live_kit::{Client, Failure, Reply, Request};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Of questions; those of requests are far below.
static NUMBERS: AtomicU64 = AtomicU64::new(1 << 50);

/// Asks for a page again and again; what was said goes to `tell` with the time of the question.
pub struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    said: Arc<Mutex<Vec<Said>>>,
}

/// An answer to an [`Asker`].
pub struct Said {
    pub from: At,
    pub to: At,
    pub reply: Result<Reply, Failure>,
}

impl Asker {
    pub fn start(addr: SocketAddr, path: &str, begin: Instant, pause: Duration) -> Asker {
        let stop = Arc::<AtomicBool>::default();
        let said = Arc::<Mutex<Vec<Said>>>::default();
        let (ended, list) = (Arc::clone(&stop), Arc::clone(&said));
        let path = path.to_owned();
        let now = move || begin.elapsed().as_millis() as At;
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
                let request = Request::get(&path).header(NUMBER, &number.to_string());
                let from = now();
                let reply = Client::new(addr, GIVE_UP).send(&request);
                let one = Said {
                    from,
                    to: now(),
                    reply,
                };
                list.lock().expect("no thread panicked").push(one);
                std::thread::sleep(pause);
            }
        });
        Asker { stop, thread, said }
    }

    pub fn take(&self) -> Vec<Said> {
        std::mem::take(&mut self.said.lock().expect("no thread panicked"))
    }

    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// Notices when this machine does not run a thread that wants to.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    stalls: Arc<Mutex<Vec<(At, At)>>>,
}

/// Between two beats, and what is late.
const BEAT: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_millis(100);

impl Pulse {
    pub fn start(begin: Instant) -> Pulse {
        let stop = Arc::<AtomicBool>::default();
        let stalls = Arc::<Mutex<Vec<(At, At)>>>::default();
        let (ended, list) = (Arc::clone(&stop), Arc::clone(&stalls));
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let from = Instant::now();
                std::thread::sleep(BEAT);
                let late = from.elapsed() - BEAT;
                if late > LATE {
                    let at = begin.elapsed().as_millis() as At;
                    let mut list = list.lock().expect("no thread panicked");
                    list.push((at, late.as_millis() as At));
                }
            }
        });
        Pulse { stop, stalls }
    }

    /// When it was late, and by how much.
    pub fn take(&self) -> Vec<(At, At)> {
        std::mem::take(&mut self.stalls.lock().expect("no thread panicked"))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
