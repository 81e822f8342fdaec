//! What an administrator and machines see of the module: a page, JSON, OpenMetrics, and whether this httpd is ready.
//!
//! [`model`] is what there is to show, as plain data; [`collect`] fills it in a child; the renderers are pure
//! functions of it. [`ready`] decides, without a lock, what the readiness URL says.

pub mod collect;
pub mod here;
pub mod html;
pub mod json;
pub mod model;
pub mod openmetrics;
pub mod pages;
pub mod pools;
pub mod query;
pub mod ready;
#[doc(hidden)] // for tests and for looking at the page; nothing of it gets into the module
pub mod sample;
mod summary;
mod workers;
