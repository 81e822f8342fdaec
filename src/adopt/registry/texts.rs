//! Addresses as text, for the environment of requests, which outlive connections: kept for ever, so that requests
//! need no copy. Few backends have many addresses; those beyond [`MOST`] are copied.

use std::collections::HashMap;
use std::ffi::{CStr, CString};

use parking_lot::Mutex;

use crate::logic::addr::Addr;

/// Some 64 bytes each.
const MOST: usize = 4_096;

type Known = HashMap<(Addr, u16), &'static CStr>;

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// `address:port`.
#[derive(Debug)]
pub enum Text {
    /// For ever.
    Kept(&'static CStr),
    Own(CString),
}

impl Text {
    pub fn of(peer: Addr, port: u16) -> Self {
        Self::known(KNOWN.lock().get_or_insert_default(), peer, port)
    }

    fn known(known: &mut Known, peer: Addr, port: u16) -> Self {
        if let Some(text) = known.get(&(peer, port)) {
            return Self::Kept(text);
        }
        let text = CString::new(peer.with_port(port)).unwrap_or_default();
        if known.len() >= MOST {
            return Self::Own(text);
        }
        let text: &'static CStr = Box::leak(text.into_boxed_c_str());
        known.insert((peer, port), text);
        Self::Kept(text)
    }
}

impl AsRef<CStr> for Text {
    fn as_ref(&self) -> &CStr {
        match self {
            Self::Kept(text) => text,
            Self::Own(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_same_is_kept_once_and_not_without_end() {
        let mut all = Known::default();
        let addr = Addr::v4(Ipv4Addr::new(192, 0, 2, 1));
        let at = Text::known(&mut all, addr, 80).as_ref().as_ptr();
        let again = Text::known(&mut all, addr, 80);
        assert_eq!(again.as_ref().as_ptr(), at);
        assert_eq!(again.as_ref().to_str(), Ok("192.0.2.1:80"));
        for port in 1..=u16::MAX {
            let text = Text::known(&mut all, addr, port);
            assert!(!text.as_ref().is_empty());
        }
        assert_eq!(all.len(), MOST);
        let more = Text::known(&mut all, addr, 60_000);
        assert!(matches!(more, Text::Own(_)));
    }
}
