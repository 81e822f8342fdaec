//! Where answers come from in a child of httpd.

use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::OnceCell;

use super::collect;
use super::model::Status;
use super::pages::Sight;
use super::pools::Look;
use super::ready::{self, Ready};
use crate::adopt::child;
use crate::ffi::log::Level;
use crate::ffi::proxy::Server;
use crate::log;

/// What a child knows of the whole server.
struct Known {
    main: Server,
    drain_file: Option<String>,
}

static KNOWN: OnceCell<Known> = OnceCell::new();

/// A child begins. Before its first request, so that none needs a lock for it.
pub fn begin(main: Server, drain_file: Option<&str>) {
    let drain_file = drain_file.map(str::to_owned);
    // With one process (-X) it may begin again; what was there stays.
    let _ = KNOWN.set(Known { main, drain_file });
}

/// This child.
#[derive(Clone, Copy, Debug)]
pub struct Here;

impl Sight for Here {
    fn status(&self, filter: Option<String>) -> Status {
        let main = KNOWN.get().map(|known| known.main);
        collect::status(main, self.ready(), filter)
    }

    fn ready(&self) -> Ready {
        let look = child::current().map(Look::new);
        let ready = ready::ready(drained(), look.iter().flat_map(Look::pools));
        if let (Some(child), true) = (child::current(), ready.ready) {
            child.board.set_ready();
        }
        ready
    }

    fn balancer(&self, name: &str) -> Result<Ready, Vec<&str>> {
        let look = child::current().map(Look::new);
        let look = look.as_ref().ok_or_else(Vec::new)?;
        let pools: Vec<_> = look.balancers(Some(name)).collect();
        if pools.is_empty() {
            return Err(look.balancers(None).map(|pool| pool.name).collect());
        }
        Ok(ready::ready(drained(), pools.into_iter()))
    }
}

/// The file of `ProxyLiveDrainFile`, if it exists now.
fn drained() -> Option<&'static str> {
    static SAID: AtomicBool = AtomicBool::new(false);
    let file = KNOWN.get()?.drain_file.as_deref()?;
    match fs::symlink_metadata(file) {
        Ok(_) => Some(file),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(e) => {
            if !SAID.swap(true, Ordering::Relaxed) {
                log!(
                    Level::Error,
                    "ProxyLiveDrainFile: cannot see whether {file} exists: {e}; it counts as absent: let the user \
                     that httpd's children run as look into its directory"
                );
            }
            None
        }
    }
}
