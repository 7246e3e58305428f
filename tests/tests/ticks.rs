//! SPDK's clock.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use spdk::{ErrorKind, ticks, ticks_hz};
use spdk_tests::{kind, own_thread};

const WHILE: Duration = Duration::from_millis(20);

/// Fails if the length of a tick is told before it is known, or not any more after the end.
#[spdk::test(no_app)]
fn a_tick_has_a_length_once_it_is_measured() -> spdk::Result<()> {
    let before = ticks();
    let early = ticks_hz();
    assert!(
        matches!(kind(&early), Some(ErrorKind::NotInitialised { .. })),
        "{early:?}"
    );
    let env = own_thread::env()?;
    let hz = ticks_hz()?;
    drop(env);
    assert_eq!(ticks_hz()?, hz);
    assert!(before < ticks());
    Ok(())
}

/// Fails if the ticks are not the time, by comparison with the system's clock.
#[spdk::test]
async fn ticks_are_time() -> spdk::Result<()> {
    let hz = ticks_hz()? as f64;
    // One interval contains the other: whatever interrupts this, one is at least as long.
    let (outer, inner) = (ticks(), Instant::now());
    while inner.elapsed() < WHILE {}
    let inner = inner.elapsed();
    let outer = (ticks() - outer) as f64 / hz;
    assert!(outer > inner.as_secs_f64() * 0.99, "{outer} s, {inner:?}");

    let (outer, inner) = (Instant::now(), ticks());
    while outer.elapsed() < WHILE {}
    let inner = (ticks() - inner) as f64 / hz;
    let outer = outer.elapsed();
    assert!(inner < outer.as_secs_f64() * 1.01, "{inner} s, {outer:?}");
    Ok(())
}
