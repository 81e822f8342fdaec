//! Addresses as the module passes them around.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A backend address without port: what a DNS record or a hosts entry says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Addr {
    pub ip: IpAddr,
    /// IPv6 scope (interface index), 0 for none; only a hosts file can give one.
    pub scope: u32,
}

impl Addr {
    pub const fn v4(ip: Ipv4Addr) -> Self {
        Self {
            ip: IpAddr::V4(ip),
            scope: 0,
        }
    }

    pub const fn v6(ip: Ipv6Addr, scope: u32) -> Self {
        Self {
            ip: IpAddr::V6(ip),
            scope,
        }
    }

    pub const fn family(&self) -> Family {
        match self.ip {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Address and port as text, as in a URL: `192.0.2.1:80`, `[2001:db8::1]:80`.
    pub fn with_port(&self, port: u16) -> String {
        match self.ip {
            IpAddr::V4(_) => format!("{self}:{port}"),
            IpAddr::V6(_) => format!("[{self}]:{port}"),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ip)?;
        if self.scope != 0 {
            write!(f, "%{}", self.scope)?;
        }
        Ok(())
    }
}

/// One address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The DNS record type that carries this family.
    pub const fn record(self) -> &'static str {
        match self {
            Self::V4 => "A",
            Self::V6 => "AAAA",
        }
    }
}

/// A set of address families: the value of `livefamily`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Families(u8);

impl Families {
    pub const NONE: Self = Self(0);
    pub const V4: Self = Self(1);
    pub const V6: Self = Self(2);
    pub const ANY: Self = Self(3);

    pub const fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self.0 & 1 != 0,
            Family::V6 => self.0 & 2 != 0,
        }
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Family> for Families {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }
}
