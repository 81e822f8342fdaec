//! What an administrator and machines see of the module: a page, JSON, OpenMetrics, and whether this httpd is ready.
//!
//! [`model`] is what there is to show, as plain data; the renderers are pure functions of it.

pub mod html;
pub mod json;
pub mod model;
pub mod openmetrics;
pub mod query;
#[doc(hidden)] // for tests and for looking at the page; nothing of it gets into the module
pub mod sample;
