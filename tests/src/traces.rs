//! What the `spdk` crate tells `tracing`, kept for a test to look at: its spans and its events.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The fields of a span or an event, as text.
pub type Fields = BTreeMap<&'static str, String>;

/// A span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name.
    pub name: &'static str,
    /// Its target.
    pub target: String,
    /// The name of the span that it is in.
    pub parent: Option<&'static str>,
    /// Those that were recorded by now.
    pub fields: Fields,
    /// Whether it has ended.
    pub is_closed: bool,
}

/// An event.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its target.
    pub target: String,
    /// Its level.
    pub level: Level,
    /// What it says, as `message`, and more.
    pub fields: Fields,
    /// Whether an spdk_thread was current.
    pub on_spdk_thread: bool,
}

impl Span {
    /// A field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl Line {
    /// A field; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// What it says.
    pub fn message(&self) -> &str {
        self.field("message")
    }
}

static SPANS: Mutex<Vec<Span>> = Mutex::new(Vec::new());
static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(|e| e.into_inner())
}

/// Keeps what passes the filter from now on.
///
/// # Panics
///
/// If this process has a subscriber already.
pub fn keep(filter: LevelFilter) {
    let subscriber = tracing_subscriber::registry().with(filter).with(Keep);
    tracing::subscriber::set_global_default(subscriber)
        .expect("the only subscriber of this process");
}

/// The spans of operations until now, in the order in which they began.
pub fn operations() -> Vec<Span> {
    let spans = lock(&SPANS);
    let of_io = spans.iter().filter(|span| span.target == "spdk::io");
    of_io.cloned().collect()
}

/// The events until now that have this target.
pub fn lines(target: &str) -> Vec<Line> {
    let lines = lock(&LINES);
    let of_target = lines.iter().filter(|line| line.target == target);
    of_target.cloned().collect()
}

/// Forgets all of it.
pub fn clear() {
    lock(&SPANS).clear();
    lock(&LINES).clear();
}

struct Keep;

/// Where the span is in the list.
struct Place(usize);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let mut fields = Visitor::default();
        attributes.record(&mut fields);
        let mut spans = lock(&SPANS);
        span.extensions_mut().insert(Place(spans.len()));
        spans.push(Span {
            name: span.name(),
            target: span.metadata().target().to_owned(),
            parent: span.parent().map(|parent| parent.name()),
            fields: fields.0,
            is_closed: false,
        });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Visitor::default();
        record.record(&mut fields);
        change(id, &context, |span| {
            assert!(!span.is_closed, "{span:?}");
            span.fields.extend(fields.0);
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        change(&id, &context, |span| span.is_closed = true);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Visitor::default();
        event.record(&mut fields);
        lock(&LINES).push(Line {
            target: event.metadata().target().to_owned(),
            level: *event.metadata().level(),
            fields: fields.0,
            on_spdk_thread: spdk::SpdkThread::get_current().is_some(),
        });
    }
}

/// Changes a span, unless the list was cleared.
fn change<S>(id: &Id, context: &Context<'_, S>, change: impl FnOnce(&mut Span))
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let place = context.span(id).and_then(|span| {
        let extensions = span.extensions();
        extensions.get::<Place>().map(|place| place.0)
    });
    let mut spans = lock(&SPANS);
    if let Some(span) = place.and_then(|place| spans.get_mut(place)) {
        change(span);
    }
}

#[derive(Default)]
struct Visitor(Fields);

impl Visit for Visitor {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}
