//! Which elements of a file are its records, where no option says it.
//!
//! Promise: the elements of the one name that repeats directly in the root; for a table that has columns already,
//! those of the one name that has such columns, however often they are there. It guesses no more: where that is
//! not clear, all candidates are told. Read next: `scan.rs`.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;

use super::options::RecordPath;
use super::scan::{Document, Found, Token, of, token};
use crate::exact::xml::{TEXT, parse};
use crate::files::chunk::open_text;
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// What the elements of one file show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordElements {
    /// Those of this name in the root; others are beside them or not.
    Found {
        root: String,
        name: String,
        is_only: bool,
    },
    /// Any of these could be.
    Unclear(Vec<String>),
    /// The root has no element in it.
    None,
}

/// Names that are counted.
const MOST_NAMES: usize = 1_000;
/// What is looked at at once.
const PIECE: usize = 256 << 10;
/// A tag that is longer is no tag.
const LONGEST_TAG: usize = 16 << 20;

/// Names and how often they were there, in the order of their first one.
#[derive(Default)]
struct Counts {
    names: Vec<(String, u64)>,
    places: HashMap<String, usize>,
    /// There are more names than are counted.
    has_more: bool,
}

impl Counts {
    fn add(&mut self, name: String) {
        match self.places.get(&name).copied() {
            Some(at) => {
                if let Some((_, count)) = self.names.get_mut(at) {
                    *count += 1;
                }
            }
            None if self.names.len() >= MOST_NAMES => self.has_more = true,
            None => {
                self.places.insert(name.clone(), self.names.len());
                self.names.push((name, 1));
            }
        }
    }

    fn repeated(&self) -> impl Iterator<Item = &str> {
        let repeated = self.names.iter().filter(|(_, count)| *count > 1);
        repeated.map(|(name, _)| name.as_str())
    }
}

/// The columns that a table has before its files are looked at, by their names in the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownColumns {
    pub(crate) names: HashSet<String>,
    pub(crate) keeps_prefix: bool,
}

/// What is in the elements of one name.
#[derive(Default)]
struct Members {
    /// Columns of the table.
    known: HashSet<String>,
    others: HashSet<String>,
}

impl Members {
    fn add(&mut self, name: String, known: &KnownColumns) {
        if known.names.contains(&name) {
            self.known.insert(name);
        } else if self.others.len() < MOST_NAMES {
            self.others.insert(name);
        }
    }

    /// Whether these are records of the table: new members may come, but most have to be known. What never had a
    /// value is not among the known ones.
    fn fits(&self) -> bool {
        self.known.len() * 2 > self.others.len()
    }
}

/// Elements of the two levels below the root.
#[derive(Default)]
struct Tally {
    known: KnownColumns,
    /// By the name of the element that has them; only where there are known columns.
    members: HashMap<String, Members>,
    /// The element of the root that began last.
    child: String,
    root: String,
    children: Counts,
    /// What is in the first element of the root.
    grandchildren: Counts,
}

/// Looks at all elements of a file.
pub(crate) fn find_records(
    file: &InputFile,
    known: &KnownColumns,
) -> Result<RecordElements, FilesError> {
    let (mut input, _) = open_text(file)?;
    let read_error = |source| FilesError::Read {
        path: file.object.clone(),
        source,
    };
    let mut document = Document::default();
    let mut tally = Tally {
        known: known.clone(),
        ..Tally::default()
    };
    let mut bytes: Vec<u8> = Vec::new();
    let is_whole = loop {
        let before = bytes.len();
        let read = input.by_ref().take(PIECE as u64).read_to_end(&mut bytes);
        read.map_err(read_error)?;
        let has_ended = bytes.len() == before;
        let taken = take(&bytes, &mut document, &mut tally);
        let Some(taken) = taken.filter(|taken| bytes.len() - taken < LONGEST_TAG) else {
            break false;
        };
        bytes.drain(..taken);
        if has_ended {
            break bytes.is_empty() && document.lacks().is_none();
        }
    };
    // What is damaged, the read says with its place.
    Ok(match is_whole {
        true => tally.records(),
        false => RecordElements::None,
    })
}

/// Takes what is whole; `None` where the document is damaged.
fn take(bytes: &[u8], document: &mut Document, tally: &mut Tally) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        match token(bytes, at, &mut document.inside) {
            Found::Token(token, end) => {
                let depth = document.names.depth();
                match token {
                    Token::Start { name, is_empty } => {
                        let tag = (of(bytes, (at, end)), is_empty);
                        tally.start(of(bytes, name), tag, depth);
                    }
                    Token::Text { is_blank: false } if depth == 2 => tally.member(TEXT.to_owned()),
                    _ => {}
                }
                document.take(bytes, &token).ok()?;
                at = end;
            }
            Found::More => break,
            Found::Wrong(_) => return None,
        }
    }
    Some(at)
}

impl Tally {
    fn start(&mut self, name: &[u8], (tag, is_empty): (&[u8], bool), depth: usize) {
        let text = || String::from_utf8_lossy(name).into_owned();
        match depth {
            0 => self.root = text(),
            1 => {
                self.children.add(text());
                self.attributes(text(), tag, is_empty);
            }
            2 => {
                if self.children.names.len() == 1 {
                    self.grandchildren.add(text());
                }
                // An empty one may be a column that never had a value.
                let name = text();
                let local = name.split_once(':').map_or(&*name, |(_, local)| local);
                let shown = if self.known.keeps_prefix {
                    &name
                } else {
                    local
                };
                if !is_empty || self.known.names.contains(shown) {
                    self.member(shown.to_owned());
                }
            }
            _ => {}
        }
    }

    /// Notes the attributes of an element of the root.
    fn attributes(&mut self, name: String, tag: &[u8], is_empty: bool) {
        if self.known.names.is_empty() {
            return;
        }
        self.child = name;
        let mut alone = String::from_utf8_lossy(tag).into_owned();
        if !is_empty {
            alone.pop();
            alone.push_str("/>");
        }
        // A tag that is not valid rejects its record, if it is one.
        if let Ok(element) = parse(&alone, self.known.keeps_prefix) {
            for (name, _) in element.parts() {
                self.member(name);
            }
        }
    }

    /// Notes what is in the element of the root that began last.
    fn member(&mut self, name: String) {
        if self.known.names.is_empty() {
            return;
        }
        if !self.members.contains_key(&self.child) && self.members.len() < MOST_NAMES {
            self.members.insert(self.child.clone(), Members::default());
        }
        if let Some(members) = self.members.get_mut(&self.child) {
            members.add(name, &self.known);
        }
    }

    /// The elements that have columns of the table.
    fn known_records(&self) -> RecordElements {
        let names = self.children.names.iter().map(|(name, _)| name.as_str());
        let fits = |name: &&str| self.members.get(*name).is_some_and(Members::fits);
        let fitting: Vec<&str> = names.clone().filter(fits).collect();
        match (self.children.names.len(), fitting.as_slice()) {
            (0, _) => RecordElements::None,
            (all, [one]) if !self.children.has_more => RecordElements::Found {
                root: self.root.clone(),
                name: (*one).to_owned(),
                is_only: all == 1,
            },
            (_, []) => RecordElements::Unclear(self.places(names)),
            (_, several) => RecordElements::Unclear(self.places(several.iter().copied())),
        }
    }

    fn places<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<String> {
        names.map(|name| format!("/{}/{name}", self.root)).collect()
    }

    fn records(&self) -> RecordElements {
        if !self.known.names.is_empty() {
            return self.known_records();
        }
        if self.children.has_more {
            let names = self.children.names.iter().map(|(name, _)| name.as_str());
            return RecordElements::Unclear(self.places(names));
        }
        let place = |name: &str| format!("/{}/{name}", self.root);
        let found = |name: &str, is_only| RecordElements::Found {
            root: self.root.clone(),
            name: name.to_owned(),
            is_only,
        };
        let repeated: Vec<&str> = self.children.repeated().collect();
        match (self.children.names.as_slice(), repeated.as_slice()) {
            ([], _) => RecordElements::None,
            (all, [one]) => found(one, all.len() == 1),
            ([(one, _)], _) => {
                let mut inner = self.grandchildren.repeated().peekable();
                match inner.peek() {
                    None if self.grandchildren.has_more => {
                        RecordElements::Unclear(vec![place(one), format!("/{}", self.root)])
                    }
                    None if !self.grandchildren.names.is_empty() => found(one, true),
                    None => RecordElements::Unclear(vec![place(one), format!("/{}", self.root)]),
                    Some(_) => {
                        let inner = inner.map(|name| format!("{}/{name}", place(one)));
                        RecordElements::Unclear(std::iter::once(place(one)).chain(inner).collect())
                    }
                }
            }
            (all, []) => {
                let root = std::iter::once(format!("/{}", self.root));
                RecordElements::Unclear(
                    root.chain(all.iter().map(|(name, _)| place(name)))
                        .collect(),
                )
            }
            (_, repeated) => {
                RecordElements::Unclear(repeated.iter().map(|name| place(name)).collect())
            }
        }
    }
}

/// The records of all files of a table, and what is said about them.
pub(crate) fn of_all(
    looked: &[(InputFile, RecordElements)],
) -> Result<(Option<RecordPath>, Option<String>), FilesError> {
    let mut path: Option<(String, Vec<String>)> = None;
    let mut note = None;
    for (file, elements) in looked {
        let RecordElements::Found {
            root,
            name,
            is_only,
        } = elements
        else {
            continue;
        };
        let shown = format!("/{root}/{name}");
        match &path {
            Some((first, _)) if *first != shown => {
                return Err(FilesError::UnclearElements {
                    path: file.object.clone(),
                    places: vec![first.clone(), shown],
                });
            }
            _ => {}
        }
        if !is_only && note.is_none() {
            let object = &file.object;
            note = Some(format!(
                "the records of `{object}` are its elements `{shown}`; `record: {shown}` sets this"
            ));
        }
        path = Some((shown, vec![root.clone(), name.clone()]));
    }
    for (file, elements) in looked {
        if let RecordElements::Unclear(places) = elements
            && !path
                .as_ref()
                .is_some_and(|(shown, _)| places.contains(shown))
        {
            return Err(FilesError::UnclearElements {
                path: file.object.clone(),
                places: places.clone(),
            });
        }
    }
    Ok((path.map(|(_, names)| RecordPath::absolute(names)), note))
}
