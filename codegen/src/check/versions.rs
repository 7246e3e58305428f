//! Versions agree with each other and with the table of what changed.

use crate::diag::Diagnostics;
use crate::drift;
use crate::manifest::{Function, Version};
use crate::rules;
use crate::world::World;

pub(super) fn function(entry: &Function, world: &World<'_>, errors: &mut Diagnostics) {
    let c = entry.c.as_str();
    let mut wrong = |word: &str, message: String| {
        errors.push(&rules::VERSIONS, world.source.within(c, word), message);
    };
    if let (Some(since), Some(until)) = (entry.since, entry.until)
        && since >= until
    {
        let message = format!("`{c}` exists since {since} and no more since {until}: never");
        return wrong(&until.to_string(), message);
    }
    let life = drift::life(c);
    if life.is_some_and(|life| life.is_downstream) {
        let message = format!("no SPDK release has `{c}`; only some distributions do");
        return wrong(c, message);
    }
    let (since, until) = life.map_or((None, None), |life| (life.since, life.until));
    if let Some(message) = disagreement(c, "since", entry.since, since) {
        wrong(
            &entry.since.map_or(String::new(), |v| v.to_string()),
            message,
        );
    }
    if let Some(message) = disagreement(c, "until", entry.until, until) {
        wrong(
            &entry.until.map_or(String::new(), |v| v.to_string()),
            message,
        );
    }
    match (drift::changed(c), entry.sig.is_empty()) {
        (true, true) => wrong(
            c,
            format!(
                "the parameters of `{c}` differ between SPDK releases; say which some lack in `sig`"
            ),
        ),
        (false, false) => wrong(
            c,
            format!("`{c}` has the same parameters in every supported SPDK; remove `sig`"),
        ),
        _ => {}
    }
}

fn disagreement(
    c: &str,
    field: &str,
    says: Option<Version>,
    is: Option<Version>,
) -> Option<String> {
    if says == is {
        return None;
    }
    let is = match is {
        Some(version) => format!("`{field}: \"{version}\"` is true"),
        None => format!("`{field}` is not: every supported SPDK has it"),
    };
    let says = match says {
        Some(version) => format!("says `{field}: \"{version}\"`"),
        None => format!("says no `{field}`"),
    };
    Some(format!("`{c}` {says}, but {is}"))
}
