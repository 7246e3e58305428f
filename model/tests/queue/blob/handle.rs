//! The handle of a blob.

use std::rc::Rc;

use super::requests::Requests;
use crate::channel::IoChannel;
use crate::error::{Describe, Fault};
use crate::handle::{Handle, Object, Shared, Subject};
use crate::local::Caller;
use crate::sys;

pub(crate) struct BlobObject;

impl Object for BlobObject {
    type C = sys::spdk_blob;
    type Extra = ();
    const EXTRA: () = ();
}

pub(crate) struct Blob {
    handle: Handle<BlobObject>,
    requests: Rc<Requests>,
}

/// What an operation has of its channel.
pub(crate) struct Channel(Rc<Requests>);

impl Channel {
    pub(crate) fn requests(&self) -> &Rc<Requests> {
        &self.0
    }
}

impl Blob {
    pub(crate) fn new(shared: &Rc<Shared>, requests: &Rc<Requests>) -> Self {
        Blob {
            handle: Handle::new(shared),
            requests: requests.clone(),
        }
    }

    pub(crate) fn channel(&self, _: &IoChannel, _: Caller<'_>) -> Result<Channel, Fault> {
        Ok(Channel(self.requests.clone()))
    }

    pub(super) fn share(&self) -> Self {
        Blob {
            handle: self.handle.clone(),
            requests: self.requests.clone(),
        }
    }

    #[allow(clippy::unused_self, reason = "all have the same")]
    pub(crate) fn io_unit_size(&self) -> u32 {
        1
    }

    #[allow(clippy::unused_self, reason = "all have the same")]
    pub(crate) fn units_per_cluster(&self) -> u64 {
        1
    }
}

impl Subject for Blob {
    type O = BlobObject;
    fn handle(&self) -> &Handle<BlobObject> {
        &self.handle
    }
}

impl Describe for Blob {}
