//! How the masked keys of a table differ from those that come, and what can be done.
//!
//! Promise: each difference has words for the user. It finds none: `masks.rs` does. It does not know whether
//! a change of a mask was intended.

/// A difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskChange {
    /// The table has values that are not masked.
    Added,
    /// Only the values in the table are masked.
    Removed,
    /// They are masked with another key.
    OtherKey,
}

impl MaskChange {
    /// What the key column of the table is, and what comes.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Added => "has values that are not masked, and the rows come masked",
            Self::Removed => "is masked, and the rows come without the mask",
            Self::OtherKey => "is masked with another `mask_key` than the rows that come",
        }
    }

    /// What can be done: build the table again, or undo the change.
    pub(crate) fn ways_out(self, refresh: &str) -> Vec<String> {
        let undo = match self {
            Self::Added => "or remove the `mask` of the column",
            Self::Removed => "or give the column its `mask` back",
            Self::OtherKey => "or set the earlier `mask_key` again",
        };
        vec![refresh.to_owned(), undo.to_owned()]
    }
}
