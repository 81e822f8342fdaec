//! What an administrator and machines see of the module: a page, JSON, OpenMetrics, and whether this httpd is ready.
//!
//! [`model`] is what there is to show, as plain data; the renderers are pure functions of it.

pub mod model;
