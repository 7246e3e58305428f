//! A second spdk_thread on the OS thread of the first: an application with one core has one reactor,
//! which polls them all.

use spdk::{SpdkApp, ThreadHandle};

/// Makes an spdk_thread on the main core of the running application.
///
/// # Panics
///
/// When there is none.
pub async fn spdk_thread(name: &str) -> ThreadHandle {
    let cores = SpdkApp::cores().expect("an application runs");
    let made = ThreadHandle::on_core(name, cores[0]).await;
    made.expect("an spdk_thread")
}
