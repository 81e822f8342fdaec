//! What is wrong with an HTTP answer. Imports nothing but std: the fuzz targets include this file as it is.

use std::fmt;

/// What is wrong with an HTTP answer (RFC 9112).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flaw {
    /// The connection was closed before the end of the header.
    Closed,
    /// It was reset before the end of the header.
    Reset,
    /// No status line.
    NotHttp,
    /// A status line with a version other than HTTP/1.x.
    Version,
    /// HTTP/2 without asking.
    Http2,
    /// A TLS record: the port speaks TLS.
    IsTls,
    /// A status that is no number from 100 to 599.
    StatusLine,
    /// A line of the header that is none.
    HeaderLine,
    /// A header that is too long.
    TooLong,
    /// Too many interim answers (1xx).
    Interim,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed before the end of the header",
            Self::Reset => "reset before the end of the header",
            Self::NotHttp => "no status line",
            Self::Version => "not HTTP/1",
            Self::Http2 => "HTTP/2 only, probes speak HTTP/1.1",
            Self::IsTls => "TLS on a port without TLS",
            Self::StatusLine => "a status that is no number from 100 to 599",
            Self::HeaderLine => "a line that is no header field",
            Self::TooLong => "the header is too long",
            Self::Interim => "too many interim answers",
        })
    }
}
