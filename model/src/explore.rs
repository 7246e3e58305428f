//! Every execution of a program that asks what to do next.

/// The answers that one execution gets.
#[derive(Debug, Default)]
pub struct Choices {
    /// Which answer was given, of how many.
    path: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    /// Those of the first execution.
    pub const fn new() -> Self {
        Choices {
            path: Vec::new(),
            next: 0,
        }
    }

    /// A number below `of`: each in some execution that has been the same up to here.
    pub fn pick(&mut self, of: usize) -> usize {
        assert!(of > 0, "a choice among nothing");
        if self.next == self.path.len() {
            self.path.push((0, of));
        }
        let (picked, was) = self.path[self.next];
        assert_eq!(
            was, of,
            "an execution that is not determined by its choices"
        );
        self.next += 1;
        picked
    }

    /// Goes on to the next execution; `false` after the last one.
    fn advance(&mut self) -> bool {
        self.path.truncate(self.next);
        self.next = 0;
        while let Some((picked, of)) = self.path.pop() {
            if picked + 1 < of {
                self.path.push((picked + 1, of));
                return true;
            }
        }
        false
    }
}

/// Runs `execution` with every sequence of answers, depth first; returns how many there were.
///
/// It has to end, and to depend on nothing but its answers.
pub fn explore(mut execution: impl FnMut(Choices) -> Choices) -> u64 {
    let mut choices = Choices::new();
    let mut count = 0;
    loop {
        choices = execution(choices);
        count += 1;
        if !choices.advance() {
            return count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_runs_once() {
        let mut seen = Vec::new();
        let count = explore(|mut choices| {
            // The second question depends on the first answer.
            let first = choices.pick(3);
            let second = if first == 1 { choices.pick(2) } else { 9 };
            seen.push((first, second));
            choices
        });
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (2, 9)]);
        assert_eq!(count, 4);
    }
}
