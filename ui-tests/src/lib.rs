//! Programs that must not compile, one rule each, in `ui/`. `tests/ui.rs` compiles them and compares
//! the compiler's messages; `TRYBUILD=overwrite cargo test -p spdk-ui-tests` rewrites those.
#![deny(unsafe_code)]
