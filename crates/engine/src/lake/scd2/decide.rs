//! What becomes of one key: which of the versions that come are new, and which one they close.
//!
//! Promise: pure, no files. Versions of a key come in the order of their times; a version equal to the one
//! before it makes none; one that is older than the current version is refused unless the history has it
//! already. Read next: `../scd2.rs`, which takes the outcome over.

/// One incoming row as a version of its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// The place of its key in the set of keys.
    pub(super) entry: usize,
    /// Its place among the incoming rows.
    pub(super) row: u64,
    /// From when on it is valid, in microseconds since 1970 UTC.
    pub(super) from: i64,
    /// A hash of what it holds.
    pub(super) print: u128,
    /// It says that its key is gone.
    pub(super) is_delete: bool,
    /// The hash of a closed version of this key and time that the table has.
    pub(super) recorded: Option<u128>,
}

impl Version {
    pub(super) fn new(entry: usize, row: u64, from: i64) -> Self {
        Self {
            entry,
            row,
            from,
            print: 0,
            is_delete: false,
            recorded: None,
        }
    }
}

/// The current version of a key in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) file: usize,
    pub(super) row: usize,
    pub(super) from: i64,
    pub(super) print: u128,
}

/// What the table has of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) current: Option<Current>,
    /// The end of its last closed version, where that was looked for.
    pub(super) last_end: Option<i64>,
}

/// An incoming row that becomes a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) row: u64,
    /// The next version of the same load ends it.
    pub(super) until: Option<i64>,
}

/// What becomes of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) opened: Vec<Opened>,
    /// The table's current version ends.
    pub(super) closed_at: Option<i64>,
    /// It ends without a next one.
    pub(super) ends: bool,
}

/// A version that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) row: u64,
    pub(super) from: i64,
    /// The time that it would have to be after; `None` when two rows of one key have one time.
    pub(super) since: Option<i64>,
}

/// Decides about one key; `versions` are in the order of their times.
pub(super) fn judge(held: Held, versions: &[Version]) -> Result<Outcome, Sighting> {
    let mut outcome = Outcome::default();
    let mut before: Option<(i64, u128)> = held.current.map(|held| (held.from, held.print));
    let repeated = versions.windows(2).find_map(|pair| match pair {
        [one, next] if one.from == next.from => Some(*next),
        _ => None,
    });
    if let Some(Version { row, from, .. }) = repeated {
        let since = None;
        return Err(Sighting { row, from, since });
    }
    for version in versions {
        let (row, from) = (version.row, version.from);
        if version.is_delete {
            outcome.closed_at = held.current.map(|_| from);
            outcome.ends = held.current.is_some();
            continue;
        }
        if before.is_some_and(|(_, print)| print == version.print) {
            continue;
        }
        let since = match before {
            Some((since, _)) if from <= since => Some(since),
            None => held.last_end.filter(|end| from < *end),
            _ => None,
        };
        if since.is_some() {
            if version.recorded == Some(version.print) {
                continue;
            }
            return Err(Sighting { row, from, since });
        }
        match outcome.opened.last_mut() {
            Some(last) => last.until = Some(from),
            None => outcome.closed_at = held.current.map(|_| from),
        }
        outcome.opened.push(Opened { row, until: None });
        before = Some((from, version.print));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn version(row: u64, from: i64, print: u128) -> Version {
        Version {
            print,
            ..Version::new(0, row, from)
        }
    }

    fn held(from: i64, print: u128) -> Held {
        let current = Current {
            file: 0,
            row: 0,
            from,
            print,
        };
        Held {
            current: Some(current),
            last_end: None,
        }
    }

    fn opened(list: &[(u64, Option<i64>)]) -> Vec<Opened> {
        let list = list.iter();
        list.map(|(row, until)| Opened {
            row: *row,
            until: *until,
        })
        .collect()
    }

    #[test]
    fn equal_versions_make_none_and_others_follow_each_other() {
        let same = judge(held(1, 7), &[version(0, 5, 7)]).unwrap();
        assert_eq!(same, Outcome::default());
        let changed = [version(0, 5, 8), version(1, 6, 8), version(2, 9, 7)];
        let changed = judge(held(1, 7), &changed).unwrap();
        assert_eq!(changed.opened, opened(&[(0, Some(9)), (2, None)]));
        assert_eq!((changed.closed_at, changed.ends), (Some(5), false));
        let new = judge(Held::default(), &[version(3, 5, 8)]).unwrap();
        assert_eq!(new.opened, opened(&[(3, None)]));
        assert_eq!(new.closed_at, None);
    }

    #[test]
    fn late_versions_are_refused_unless_they_are_known() {
        let late = judge(held(5, 7), &[version(4, 5, 8)]).unwrap_err();
        assert_eq!((late.row, late.since), (4, Some(5)));
        let again = Version {
            recorded: Some(8),
            ..version(4, 3, 8)
        };
        assert_eq!(judge(held(5, 7), &[again]).unwrap(), Outcome::default());
        let other = Version { print: 9, ..again };
        assert!(judge(held(5, 7), &[other]).is_err());
        let gone = Held {
            current: None,
            last_end: Some(5),
        };
        assert!(judge(gone, &[version(0, 4, 1)]).is_err());
        assert_eq!(judge(gone, &[version(0, 5, 1)]).unwrap().opened.len(), 1);
        let twice = judge(Held::default(), &[version(0, 4, 1), version(1, 4, 1)]);
        assert_eq!(twice.unwrap_err().since, None);
    }

    #[test]
    fn a_delete_ends_what_is_current() {
        let delete = Version {
            is_delete: true,
            ..version(0, 9, 0)
        };
        let ended = judge(held(5, 7), &[delete]).unwrap();
        assert_eq!((ended.closed_at, ended.ends), (Some(9), true));
        assert_eq!(
            judge(Held::default(), &[delete]).unwrap(),
            Outcome::default()
        );
    }
}
