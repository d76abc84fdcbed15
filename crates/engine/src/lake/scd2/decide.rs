//! What becomes of one key: which of the versions that come are new, and which one they close.
//!
//! Promise: pure, no files. Versions of a key come in the order of their times. One equal to that before it
//! makes none, and neither does one that the history has already. A key that was gone and comes back is
//! current again. Nothing else is put into the past, but a version that is current may begin earlier. Read
//! next: `../scd2.rs`, which takes the outcome over.

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
    /// A closed version of its key with the same values was valid at its time, or its row had its time.
    pub(super) is_known: bool,
}

impl Version {
    pub(super) fn new(entry: usize, row: u64, from: i64) -> Self {
        Self {
            entry,
            row,
            from,
            print: 0,
            is_delete: false,
            is_known: false,
        }
    }
}

/// The current version of a key in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) file: usize,
    pub(super) row: usize,
    pub(super) from: i64,
    /// The time that its row had: before `from` where the key was gone and came back, after it where a late
    /// row let it begin earlier.
    pub(super) said: i64,
    pub(super) print: u128,
}

/// What the table has of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyState {
    pub(super) current: Option<Current>,
    /// The end of its last closed version, where that was looked for.
    pub(super) last_end: Option<i64>,
}

/// An incoming row that becomes a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) row: u64,
    /// It is valid from another time than its row says.
    pub(super) from: Option<i64>,
    /// The next version of the same load ends it.
    pub(super) until: Option<i64>,
}

/// What becomes of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) opened: Vec<Opened>,
    /// The table's current version ends.
    pub(super) closed_at: Option<i64>,
    /// The table's current version begins earlier than was known.
    pub(super) begins_at: Option<i64>,
    /// It ends without a next one.
    pub(super) ends: bool,
}

/// A version that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VersionConflict {
    pub(super) row: u64,
    pub(super) from: i64,
    pub(super) why: Why,
}

/// Why a version does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Another row of its key has its time and other values.
    Twice,
    /// It would have to be after this time.
    Late(i64),
    /// The load is not after this time, at which the key was last seen.
    Clock(i64),
    /// Its key is gone before its version has begun.
    Future,
}

/// Decides about one key, in a load at this time; `versions` are in the order of their times.
pub(super) fn judge(
    known: KeyState,
    versions: &[Version],
    at: i64,
) -> Result<Outcome, VersionConflict> {
    let mut key = Key {
        known,
        at,
        before: known
            .current
            .map(|known| Before::new((known.from, known.said), known.print)),
        outcome: Outcome::default(),
    };
    let mut previous: Option<&Version> = None;
    for (place, version) in versions.iter().enumerate() {
        match previous.filter(|previous| previous.from == version.from) {
            Some(previous) if previous.print == version.print => continue,
            Some(_) => return Err(misfit(version, Why::Twice)),
            None => previous = Some(version),
        }
        let rest = versions.get(place..).unwrap_or_default();
        let is_last = rest.iter().all(|later| later.from == version.from);
        key.step(version, is_last)?;
    }
    Ok(key.outcome)
}

fn misfit(version: &Version, why: Why) -> VersionConflict {
    VersionConflict {
        row: version.row,
        from: version.from,
        why,
    }
}

/// A key on the way through its versions.
struct Key {
    known: KeyState,
    at: i64,
    before: Option<Before>,
    outcome: Outcome,
}

/// The version before the next one.
#[derive(Clone, Copy)]
struct Before {
    /// Between these times it was seen.
    first: i64,
    last: i64,
    /// The time that its row had.
    said: i64,
    print: u128,
}

impl Before {
    fn new((from, said): (i64, i64), print: u128) -> Self {
        Self {
            first: from.min(said),
            last: from.max(said),
            said,
            print,
        }
    }
}

impl Key {
    fn step(&mut self, version: &Version, is_last: bool) -> Result<(), VersionConflict> {
        if version.is_delete {
            self.outcome.closed_at = self.known.current.map(|_| version.from);
            self.outcome.ends = self.known.current.is_some();
            return Ok(());
        }
        let (since, is_newer) = match self.before {
            Some(before) if version.print == before.print && version.from >= before.first => {
                return Ok(());
            }
            Some(before) if version.from > before.last => {
                self.open(version, None);
                return Ok(());
            }
            Some(_) if version.is_known => return Ok(()),
            Some(before) if version.print == before.print => return self.begin_earlier(version),
            Some(before) => (before.last, version.from > before.said),
            None => match self.known.last_end.filter(|end| version.from < *end) {
                None => {
                    self.open(version, None);
                    return Ok(());
                }
                Some(_) if version.is_known && !is_last => return Ok(()),
                Some(end) => (end, true),
            },
        };
        // The key is there, though the history has another end of it: it is, as of this load.
        match is_newer && is_last {
            false => Err(misfit(version, Why::Late(since))),
            true if self.at <= since => Err(misfit(version, Why::Clock(since))),
            true => {
                self.open(version, Some(self.at));
                Ok(())
            }
        }
    }

    fn open(&mut self, version: &Version, other: Option<i64>) {
        let from = other.unwrap_or(version.from);
        match self.outcome.opened.last_mut() {
            Some(last) => last.until = Some(from),
            None => self.outcome.closed_at = self.known.current.map(|_| from),
        }
        self.outcome.opened.push(Opened {
            row: version.row,
            from: other,
            until: None,
        });
        self.before = Some(Before::new((from, version.from), version.print));
    }

    /// What is current was so before it was seen, unless another version says something else.
    fn begin_earlier(&mut self, version: &Version) -> Result<(), VersionConflict> {
        if let Some(end) = self.known.last_end.filter(|end| version.from < *end) {
            return Err(misfit(version, Why::Late(end)));
        }
        // The versions come in the order of their times.
        self.outcome.begins_at.get_or_insert(version.from);
        Ok(())
    }
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

    fn known(from: i64, print: u128) -> KeyState {
        let current = Current {
            file: 0,
            row: 0,
            from,
            said: from,
            print,
        };
        KeyState {
            current: Some(current),
            last_end: None,
        }
    }

    fn opened(list: &[(u64, Option<i64>)]) -> Vec<Opened> {
        let list = list.iter();
        list.map(|(row, until)| Opened {
            row: *row,
            from: None,
            until: *until,
        })
        .collect()
    }

    #[test]
    fn equal_versions_make_none_and_others_follow_each_other() {
        let same = judge(known(1, 7), &[version(0, 5, 7)], 100).unwrap();
        assert_eq!(same, Outcome::default());
        let changed = [version(0, 5, 8), version(1, 6, 8), version(2, 9, 7)];
        let changed = judge(known(1, 7), &changed, 100).unwrap();
        assert_eq!(changed.opened, opened(&[(0, Some(9)), (2, None)]));
        assert_eq!((changed.closed_at, changed.ends), (Some(5), false));
        let new = judge(KeyState::default(), &[version(3, 5, 8)], 100).unwrap();
        assert_eq!(new.opened, opened(&[(3, None)]));
        assert_eq!(new.closed_at, None);
    }

    #[test]
    fn late_versions_are_refused_unless_they_are_known() {
        let late = judge(known(5, 7), &[version(4, 5, 8)], 100).unwrap_err();
        assert_eq!((late.row, late.why), (4, Why::Late(5)));
        let again = Version {
            is_known: true,
            ..version(4, 3, 8)
        };
        assert_eq!(
            judge(known(5, 7), &[again], 100).unwrap(),
            Outcome::default()
        );
        let other = Version {
            is_known: false,
            ..again
        };
        assert!(judge(known(5, 7), &[other], 100).is_err());
        let gone = KeyState {
            current: None,
            last_end: Some(5),
        };
        assert_eq!(
            judge(gone, &[version(0, 5, 1)], 100).unwrap().opened.len(),
            1
        );
        let twice = [version(0, 4, 1), version(1, 4, 1)];
        assert_eq!(
            judge(KeyState::default(), &twice, 100)
                .unwrap()
                .opened
                .len(),
            1
        );
        let twice = judge(
            KeyState::default(),
            &[version(0, 4, 1), version(1, 4, 2)],
            100,
        );
        assert_eq!(twice.unwrap_err().why, Why::Twice);
    }

    #[test]
    fn what_was_gone_is_back_as_of_the_load() {
        let gone = KeyState {
            current: None,
            last_end: Some(50),
        };
        let known = Version {
            is_known: true,
            ..version(0, 4, 1)
        };
        for row in [known, version(0, 4, 1)] {
            let back = judge(gone, &[row], 100).unwrap();
            let from = Some(100);
            let until = None;
            assert_eq!(
                back.opened,
                [Opened {
                    row: 0,
                    from,
                    until
                }]
            );
            assert_eq!(judge(gone, &[row], 50).unwrap_err().why, Why::Clock(50));
        }
        let both = judge(gone, &[known, version(1, 60, 2)], 100).unwrap();
        assert_eq!(both.opened, opened(&[(1, None)]));
    }

    #[test]
    fn what_is_current_may_begin_earlier() {
        let first = [version(0, 3, 7), version(1, 4, 7), version(2, 9, 8)];
        let outcome = judge(known(5, 7), &first, 100).unwrap();
        assert_eq!((outcome.begins_at, outcome.closed_at), (Some(3), Some(9)));
        let follows = KeyState {
            last_end: Some(5),
            ..known(5, 7)
        };
        let late = judge(follows, &first, 100).unwrap_err();
        assert_eq!(late.why, Why::Late(5));
        let between = [version(0, 3, 7), version(1, 4, 6)];
        assert!(judge(known(5, 7), &between, 100).is_err());
    }

    #[test]
    fn a_delete_ends_what_is_current() {
        let delete = Version {
            is_delete: true,
            ..version(0, 9, 0)
        };
        let ended = judge(known(5, 7), &[delete], 100).unwrap();
        assert_eq!((ended.closed_at, ended.ends), (Some(9), true));
        assert_eq!(
            judge(KeyState::default(), &[delete], 100).unwrap(),
            Outcome::default()
        );
    }
}
