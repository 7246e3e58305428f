//! What the integration tests share.
#![deny(unsafe_code)]
