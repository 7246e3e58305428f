//! The channel of a queue's device.

use std::rc::Rc;

use crate::bdev::BdevDescObject;
use crate::blob::Requests;
use crate::error::Describe;
use crate::handle::{Handle, Object, Shared, Subject};
use crate::sys;

pub(crate) struct IoChannelObject;

pub(crate) struct Extra {
    #[allow(dead_code, reason = "operations use it, and there are none")]
    pub(crate) requests: Option<Rc<Requests>>,
}

impl Object for IoChannelObject {
    type C = sys::spdk_io_channel;
    type Extra = Extra;
    const EXTRA: Extra = Extra { requests: None };
}

pub(crate) struct IoChannel {
    handle: Handle<IoChannelObject>,
    desc: Handle<BdevDescObject>,
}

impl IoChannel {
    pub(crate) fn new(shared: &Rc<Shared>, desc: &Rc<Shared>) -> Self {
        IoChannel {
            handle: Handle::new(shared),
            desc: Handle::new(desc),
        }
    }

    pub(crate) fn bdev_desc(&self) -> Option<&Handle<BdevDescObject>> {
        Some(&self.desc)
    }
}

impl Subject for IoChannel {
    type O = IoChannelObject;
    fn handle(&self) -> &Handle<IoChannelObject> {
        &self.handle
    }
}

impl Describe for IoChannel {}
