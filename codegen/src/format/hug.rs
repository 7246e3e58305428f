//! Puts the arguments of `rt::begin(at, || { .. })` on the line of the call, as rustfmt does.

/// The text with each such call in its short form.
pub(super) fn hug(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    // How deep the closures are that have been moved to the left, by the indent of their end.
    let mut ends: Vec<String> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let shift = 4 * ends.len();
        let mut put = |line: &str| {
            out.push_str(
                line.get(shift..)
                    .filter(|_| !line.is_empty())
                    .unwrap_or(line),
            );
            out.push('\n');
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let opens = line.ends_with("rt::begin(")
            && lines.get(at + 1).is_some_and(|next| next.trim() == "at,")
            && lines.get(at + 2).is_some_and(|next| next.trim() == "|| {");
        if opens {
            put(&format!("{line}at, || {{"));
            ends.push(format!("{indent}    }},"));
            at += 3;
        } else if ends.last().is_some_and(|end| end == line) {
            let after = lines.get(at + 1).map_or("", |next| next.trim_start());
            let outer = &indent[..indent.len().saturating_sub(4)];
            ends.pop();
            let shift = 4 * ends.len();
            let whole = format!("{outer}}}{after}");
            out.push_str(whole.get(shift..).unwrap_or(&whole));
            out.push('\n');
            at += 2;
        } else {
            put(line);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_call_is_set_on_one_line() {
        let long = "    let op = rt::begin(\n        at,\n        || {\n            f();\n\n            g()\n        },\n    )?;\n    h()\n";
        let short =
            "    let op = rt::begin(at, || {\n        f();\n\n        g()\n    })?;\n    h()\n";
        assert_eq!(super::hug(long), short);
    }
}
