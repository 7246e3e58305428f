//! A span of `tracing` for each operation, while somebody wants them.
//!
//! An operation that nobody watches costs one question, when it has begun: whether any subscriber of the
//! process takes spans of this level, which `tracing` keeps in a variable. All else is behind that; see also
//! `State::Watched` of the core. With the features `max_level_*` of `tracing` the compiler knows the answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use tracing::field::{Empty, display};
use tracing::{Level, Span, level_enabled, trace_span};

use crate::error::{At, Fault, Place, Range};

/// What the span of an operation is filled with when that has ended.
pub struct Watch {
    span: Span,
    began: Instant,
    retries: Cell<u64>,
}

/// The part of a device that an operation addresses, as fields.
#[derive(Default)]
struct Part {
    offset: Option<u64>,
    length: Option<u64>,
    offset_blocks: Option<u64>,
    num_blocks: Option<u64>,
    from_blocks: Option<u64>,
    opcode: Option<u8>,
}

impl Part {
    fn of(at: &At<'_>) -> Self {
        let blocks = |offset, count: Option<u64>| Part {
            offset: at.bytes_of(offset),
            length: count.and_then(|count| at.bytes_of(count)),
            offset_blocks: Some(offset),
            num_blocks: count,
            ..Part::default()
        };
        match at.range() {
            Some(Range::Bytes { offset, length }) => Part {
                offset: Some(offset),
                length: Some(length),
                ..Part::default()
            },
            Some(Range::Blocks { offset, count }) => blocks(offset, Some(count)),
            Some(Range::Block { offset }) => blocks(offset, None),
            Some(Range::Copy { from, to, count }) => Part {
                from_blocks: Some(from),
                ..blocks(to, Some(count))
            },
            Some(Range::Command { opcode, length }) => Part {
                length: Some(length),
                opcode: Some(opcode),
                ..Part::default()
            },
            None => Part::default(),
        }
    }
}

/// Whether any subscriber of the process takes spans of this level.
#[inline(always)]
pub(crate) fn are_wanted() -> bool {
    level_enabled!(Level::TRACE)
}

impl Watch {
    /// Opens the span of an operation that has begun at this place, inside the current span; `None` if
    /// nobody wants it.
    #[inline]
    pub(crate) fn open<'a>(place: &impl Place<'a>) -> Option<Rc<Watch>> {
        match are_wanted() {
            true => Watch::new(place.at()),
            false => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn new(at: At<'_>) -> Option<Rc<Self>> {
        let part = || Part::of(&at);
        let span = trace_span!(
            target: "spdk::io",
            "operation",
            operation = at.operation(),
            object = at.object().as_str(),
            offset = part().offset,
            length = part().length,
            offset_blocks = part().offset_blocks,
            num_blocks = part().num_blocks,
            from_blocks = part().from_blocks,
            opcode = part().opcode,
            outcome = Empty,
            error = Empty,
            latency_ns = Empty,
            retries = Empty,
            abandoned = Empty,
        );
        let watch = Watch {
            span,
            began: Instant::now(),
            retries: Cell::new(0),
        };
        (!watch.span.is_disabled()).then(|| Rc::new(watch))
    }

    /// The operation waits for a free `spdk_bdev_io`, to be submitted again.
    pub(crate) fn retried(&self) {
        self.retries.set(self.retries.get() + 1);
    }

    /// The operation has ended, or was refused.
    #[cold]
    pub(crate) fn end(&self, fault: Option<&Fault>) {
        match fault {
            None => self.span.record("outcome", "ok"),
            Some(fault) => {
                self.span.record("error", display(fault));
                self.span.record("outcome", "error")
            }
        };
        self.took();
    }

    /// It was to be submitted later, and nobody wants it any more.
    #[cold]
    pub(crate) fn end_unsubmitted(&self) {
        self.span.record("outcome", "not submitted");
        self.took();
    }

    /// Its future was dropped, and it goes on.
    #[cold]
    pub(crate) fn abandoned(&self) {
        self.span.record("abandoned", true);
    }

    fn took(&self) {
        if self.retries.get() > 0 {
            self.span.record("retries", self.retries.get());
        }
        let latency = self.began.elapsed().as_nanos();
        self.span
            .record("latency_ns", u64::try_from(latency).unwrap_or(u64::MAX));
    }
}
