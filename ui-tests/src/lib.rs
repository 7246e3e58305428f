//! Programs that must not compile.
//!
//! `generated/markers.rs` tries what each type and operation promises of threads, as the manifest says it;
//! `cargo xtask codegen` writes it, and `tests/markers.rs` compares the compiler's errors with those that its lines
//! expect. `ui/` has the rules that are written by hand, one a program: lifetimes, buffers and closures. `tests/ui.rs`
//! compares the compiler's messages; `TRYBUILD=overwrite cargo test -p spdk-ui-tests` rewrites those.
#![deny(unsafe_code)]
