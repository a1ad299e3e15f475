//! TLS that the stand-alone listener ends itself.

mod support;
