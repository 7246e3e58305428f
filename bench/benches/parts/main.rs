//! The parts of what an I/O costs: `cargo bench --package spdk-bench`.
//!
//! criterion runs on the main OS thread. SPDK runs on another one, on whose reactors everything is measured.
#![deny(unsafe_code)]

mod app;
mod part;

use criterion::Criterion;

use crate::app::App;
use crate::part::Part;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let app = App::start();
    for part in Part::ALL {
        if part == Part::MessageOtherCore && app.cores() < 2 {
            eprintln!("{}: left out, it takes two cores", part.name());
            continue;
        }
        criterion.bench_function(part.name(), |bencher| {
            bencher.iter_custom(|iterations| app.measure(part, iterations));
        });
    }
    app.stop();
    criterion.final_summary();
}
