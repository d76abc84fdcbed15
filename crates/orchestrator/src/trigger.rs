//! Decides when a task may start, as a pure function of how its parents ended.
//!
//! Promise: the verdict depends only on the trigger rule and the counts. Once it is not `Wait`, no later
//! end of a parent changes it. A task is skipped early only because of a failure above it, so the reason of
//! a skip does not depend on which parent ended first. The tests below contain the truth table.

use towpath_vocab::TriggerRule;

/// How many parents of a task have ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ParentCounts {
    /// All parents.
    pub(crate) total: usize,
    /// Succeeded, or unchanged.
    pub(crate) succeeded: usize,
    /// Failed, without another retry.
    pub(crate) failed: usize,
    /// Skipped because a task above them failed.
    pub(crate) blocked: usize,
    /// Skipped for another reason.
    pub(crate) skipped: usize,
    /// Stopped by the user.
    pub(crate) cancelled: usize,
}

impl ParentCounts {
    /// Parents that have ended in any way.
    pub(crate) fn done(&self) -> usize {
        self.succeeded + self.failed + self.blocked + self.skipped + self.cancelled
    }

    /// True if a parent or a task above it failed.
    pub(crate) fn any_failed(&self) -> bool {
        self.failed + self.blocked > 0
    }
}

/// The result of a trigger rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TriggerDecision {
    /// Not known yet.
    Wait,
    /// It may start.
    Run,
    /// It will never start.
    Skip,
}

/// Evaluates a rule. A task without parents may always start.
pub(crate) fn verdict(rule: TriggerRule, counts: &ParentCounts) -> TriggerDecision {
    let all_done = counts.done() == counts.total;
    let at_end = |verdict| {
        if all_done {
            verdict
        } else {
            TriggerDecision::Wait
        }
    };
    if counts.total == 0 {
        return TriggerDecision::Run;
    }
    match rule {
        TriggerRule::AllSuccess if counts.any_failed() => TriggerDecision::Skip,
        TriggerRule::AllSuccess if counts.done() > counts.succeeded => {
            at_end(TriggerDecision::Skip)
        }
        TriggerRule::AllSuccess | TriggerRule::AllDone => at_end(TriggerDecision::Run),
        TriggerRule::OneFailed if counts.any_failed() => TriggerDecision::Run,
        TriggerRule::OneSuccess if counts.succeeded > 0 => TriggerDecision::Run,
        TriggerRule::OneFailed | TriggerRule::OneSuccess => at_end(TriggerDecision::Skip),
        TriggerRule::NoneFailed if counts.any_failed() => TriggerDecision::Skip,
        TriggerRule::NoneFailed => at_end(TriggerDecision::Run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TriggerDecision::{Run, Skip, Wait};

    /// Parents as letters: s succeeded, f failed, b blocked, k skipped, c cancelled, - still open.
    fn counts(parents: &str) -> ParentCounts {
        let count = |letter| parents.chars().filter(|c| *c == letter).count();
        ParentCounts {
            total: parents.len(),
            succeeded: count('s'),
            failed: count('f'),
            blocked: count('b'),
            skipped: count('k'),
            cancelled: count('c'),
        }
    }

    const RULES: [TriggerRule; 5] = [
        TriggerRule::AllSuccess,
        TriggerRule::AllDone,
        TriggerRule::OneFailed,
        TriggerRule::OneSuccess,
        TriggerRule::NoneFailed,
    ];

    #[test]
    fn the_truth_table() {
        //           parents  AllSuccess AllDone OneFailed OneSuccess NoneFailed
        let table = [
            ("", [Run, Run, Run, Run, Run]),
            ("-", [Wait, Wait, Wait, Wait, Wait]),
            ("s", [Run, Run, Skip, Run, Run]),
            ("f", [Skip, Run, Run, Skip, Skip]),
            ("b", [Skip, Run, Run, Skip, Skip]),
            ("k", [Skip, Run, Skip, Skip, Run]),
            ("c", [Skip, Run, Skip, Skip, Run]),
            ("s-", [Wait, Wait, Wait, Run, Wait]),
            ("f-", [Skip, Wait, Run, Wait, Skip]),
            ("b-", [Skip, Wait, Run, Wait, Skip]),
            ("k-", [Wait, Wait, Wait, Wait, Wait]),
            ("c-", [Wait, Wait, Wait, Wait, Wait]),
            ("ss", [Run, Run, Skip, Run, Run]),
            ("sf", [Skip, Run, Run, Run, Skip]),
            ("sb", [Skip, Run, Run, Run, Skip]),
            ("sk", [Skip, Run, Skip, Run, Run]),
            ("ff", [Skip, Run, Run, Skip, Skip]),
            ("fk", [Skip, Run, Run, Skip, Skip]),
            ("kk", [Skip, Run, Skip, Skip, Run]),
            ("sfk-", [Skip, Wait, Run, Run, Skip]),
        ];
        for (parents, expected) in table {
            let found = RULES.map(|rule| verdict(rule, &counts(parents)));
            assert_eq!(found, expected, "parents `{parents}`");
        }
    }

    #[test]
    fn a_verdict_is_never_taken_back() {
        let ends = ["s", "f", "b", "k", "c"];
        for rule in RULES {
            for a in ends {
                for b in ends {
                    for open in ["-", "--"] {
                        let early = verdict(rule, &counts(&format!("{a}{open}")));
                        let tail = if open == "-" {
                            b.to_owned()
                        } else {
                            format!("{b}-")
                        };
                        let later = verdict(rule, &counts(&format!("{a}{tail}")));
                        assert!(
                            early == Wait || early == later,
                            "{rule:?} {a}{open} then {a}{tail}"
                        );
                    }
                }
            }
        }
    }
}
