//! What each column of a file is read as, and the exact values behind the bytes the library gives.
//!
//! Promise: a value that its type cannot hold is reported by row and never bent: digits below a
//! microsecond, a time outside the day, a decimal with too many digits. Encodings and widths of
//! containers are undone: text is `Utf8`, bytes `Binary`, lists `List`, moments microseconds.
//! It knows no declared type (`shape.rs`) and no file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::extension::EXTENSION_TYPE_NAME_KEY;
use arrow_schema::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit, UnionFields};

/// What a leaf of the file holds, where its Arrow type does not say it.
#[derive(Clone, Copy, Debug)]
pub(in crate::files) enum Leaf {
    /// As its type says.
    Other,
    /// Nanoseconds of a day and a Julian day.
    Int96,
    /// Months, days and milliseconds, unsigned but where Arrow's own writer wrote them.
    Interval { signed: bool },
    /// 16 bytes that people write as text.
    Uuid,
}

/// How a column is read.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// The type its values have in the end.
    pub(crate) to: DataType,
    pub(super) how: How,
}

/// From the library's values to those of `Form::to`.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// They are the same, or in another encoding.
    Same,
    Int96,
    Interval {
        signed: bool,
    },
    Uuid,
    /// A timestamp of another unit.
    Moment(TimeUnit),
    /// Milliseconds that are whole days.
    Days,
    /// A time of day; units in a day.
    Time(i64),
    /// A decimal of at most so many digits.
    Digits(u8),
    /// A value of one of several types, as a struct with a member for each of them.
    Union(Vec<Form>),
    List(Box<Form>),
    Struct(Vec<Form>),
    Map(Box<[Form; 2]>),
}

impl Form {
    /// The form of a column and its members; takes a leaf for each one below it.
    pub(in crate::files) fn of(from: &DataType, leaves: &mut impl Iterator<Item = Leaf>) -> Self {
        use DataType as T;
        match from {
            T::Dictionary(_, values) => Self::of(values, leaves),
            T::RunEndEncoded(_, values) => Self::of(values.data_type(), leaves),
            T::Union(branches, _) => Self::of_union(branches, leaves),
            T::List(item)
            | T::LargeList(item)
            | T::FixedSizeList(item, _)
            | T::ListView(item)
            | T::LargeListView(item) => {
                let form = Self::of(item.data_type(), leaves);
                Self {
                    to: T::List(retyped(item, &form)),
                    how: How::List(Box::new(form)),
                }
            }
            T::Struct(fields) => {
                let forms: Vec<Self> = fields
                    .iter()
                    .map(|field| Self::of(field.data_type(), leaves))
                    .collect();
                let members = fields.iter().zip(&forms);
                Self {
                    to: T::Struct(members.map(|(field, form)| retyped(field, form)).collect()),
                    how: How::Struct(forms),
                }
            }
            T::Map(entries, _) => match entries.data_type() {
                T::Struct(pair) => Self::of_map(entries, pair, leaves),
                _ => Self::same(from),
            },
            _ => leaves
                .next()
                .map_or_else(|| Self::same(from), |leaf| Self::of_leaf(from, leaf)),
        }
    }

    fn of_map(entries: &FieldRef, pair: &Fields, leaves: &mut impl Iterator<Item = Leaf>) -> Self {
        let [key, value] = pair.as_ref() else {
            return Self::same(&DataType::Map(Arc::clone(entries), false));
        };
        let forms = [
            Self::of(key.data_type(), leaves),
            Self::of(value.data_type(), leaves),
        ];
        let [key_form, value_form] = &forms;
        let pair: Fields = [retyped(key, key_form), retyped(value, value_form)]
            .into_iter()
            .collect();
        let entries = Field::new(entries.name(), DataType::Struct(pair), false);
        Self {
            to: DataType::Map(Arc::new(entries), false),
            how: How::Map(Box::new(forms)),
        }
    }

    /// The form of a column that says itself what its leaves are.
    pub(crate) fn of_field(field: &Field) -> Self {
        let mut leaves = Vec::new();
        leaves_of(field, field.data_type(), &mut leaves);
        Self::of(field.data_type(), &mut leaves.into_iter())
    }

    /// Branches without values are what a NULL is.
    fn of_union(branches: &UnionFields, leaves: &mut impl Iterator<Item = Leaf>) -> Self {
        let (mut names, mut members, mut forms) = (HashSet::new(), Vec::new(), Vec::new());
        for (_, branch) in branches.iter() {
            let form = Self::of(branch.data_type(), leaves);
            if form.to != DataType::Null {
                let name = (1..)
                    .map(|count| match count {
                        1 => branch.name().clone(),
                        _ => format!("{}_{count}", branch.name()),
                    })
                    .find(|name| names.insert(name.clone()));
                let name = name.unwrap_or_default();
                members.push(Arc::new(Field::new(name, form.to.clone(), true)));
            }
            forms.push(form);
        }
        Self {
            to: DataType::Struct(members.into()),
            how: How::Union(forms),
        }
    }

    fn same(from: &DataType) -> Self {
        Self {
            to: from.clone(),
            how: How::Same,
        }
    }

    fn of_leaf(from: &DataType, leaf: Leaf) -> Self {
        use DataType as T;
        let (to, how) = match (leaf, from) {
            (Leaf::Int96, T::FixedSizeBinary(12)) => {
                (T::Timestamp(TimeUnit::Microsecond, None), How::Int96)
            }
            (Leaf::Interval { signed }, T::FixedSizeBinary(12)) => (
                T::Interval(IntervalUnit::MonthDayNano),
                How::Interval { signed },
            ),
            (Leaf::Uuid, T::FixedSizeBinary(16)) => (T::Utf8, How::Uuid),
            (_, T::LargeUtf8 | T::Utf8View) => (T::Utf8, How::Same),
            (_, T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_)) => (T::Binary, How::Same),
            (_, T::Timestamp(unit, zone)) => {
                // An instant is one and the same in every zone.
                let zone = zone.as_ref().map(|_| "UTC".into());
                (
                    T::Timestamp(TimeUnit::Microsecond, zone),
                    How::Moment(*unit),
                )
            }
            (_, T::Date64) => (T::Date32, How::Days),
            (_, T::Time32(unit) | T::Time64(unit)) => {
                (from.clone(), How::Time(86_400 * per_second(*unit)))
            }
            (_, T::Decimal32(precision, scale) | T::Decimal64(precision, scale)) => {
                (T::Decimal128(*precision, *scale), How::Digits(*precision))
            }
            (_, T::Decimal128(precision, _) | T::Decimal256(precision, _)) => {
                (from.clone(), How::Digits(*precision))
            }
            _ => (from.clone(), How::Same),
        };
        Self { to, how }
    }

    /// Whether it is a timestamp.
    pub(super) fn is_moment(&self) -> bool {
        matches!(self.how, How::Int96 | How::Moment(_))
    }

    /// Whether its values may have digits below a microsecond.
    pub(in crate::files) fn is_fine(&self) -> bool {
        matches!(self.how, How::Int96 | How::Moment(TimeUnit::Nanosecond))
    }
}

fn retyped(field: &FieldRef, form: &Form) -> FieldRef {
    Arc::new(Field::new(
        field.name(),
        form.to.clone(),
        field.is_nullable(),
    ))
}

/// Field metadata: the 12 bytes of the column are an interval, its parts unsigned.
pub(in crate::files) const UNSIGNED_INTERVAL: &str = "towpath.unsigned_interval";

/// Field metadata: the 16 bytes of the column are a UUID.
pub(in crate::files) const UUID: &str = "towpath.uuid";

/// What the leaves of a column hold, in the order in which `Form::of` takes them.
fn leaves_of(field: &Field, data_type: &DataType, to: &mut Vec<Leaf>) {
    use DataType as T;
    match data_type {
        T::Dictionary(_, values) => leaves_of(field, values, to),
        T::RunEndEncoded(_, values) => leaves_of(values, values.data_type(), to),
        T::Union(branches, _) => {
            for (_, branch) in branches.iter() {
                leaves_of(branch, branch.data_type(), to);
            }
        }
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item) => leaves_of(item, item.data_type(), to),
        T::Struct(fields) => {
            for member in fields {
                leaves_of(member, member.data_type(), to);
            }
        }
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) if pair.len() == 2 => {
                for member in pair {
                    leaves_of(member, member.data_type(), to);
                }
            }
            _ => {}
        },
        _ => {
            let extension = field.metadata().get(EXTENSION_TYPE_NAME_KEY);
            let is_uuid = extension.is_some_and(|name| name == "arrow.uuid")
                || field.metadata().contains_key(UUID);
            to.push(match is_uuid {
                true => Leaf::Uuid,
                false if field.metadata().contains_key(UNSIGNED_INTERVAL) => {
                    Leaf::Interval { signed: false }
                }
                false => Leaf::Other,
            });
        }
    }
}

/// Units in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
