// @generated from api.ron by `cargo xtask codegen`. Do not edit.
//! What types promise of threads.

use crate::__private as rt;

rt::assert_not_send_sync!(crate::Poller);
rt::assert_send!(crate::DmaBuf);
rt::assert_not_sync!(crate::DmaBuf);
#[cfg(feature = "config")]
rt::assert_send!(crate::IoDevice<std::rc::Rc<u8>>);
#[cfg(feature = "config")]
rt::assert_sync!(crate::IoDevice<std::rc::Rc<u8>>);
