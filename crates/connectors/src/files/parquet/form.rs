//! What each column of a file is read as, and the exact values behind the bytes the library gives.
//!
//! Promise: a value that its type cannot hold is reported by row and never bent: digits below a
//! microsecond, a time outside the day, a decimal with too many digits. Encodings and widths of
//! containers are undone: text is `Utf8`, bytes `Binary`, lists `List`, moments microseconds.
//! It knows no declared type (`shape.rs`) and no file (`footer.rs`).

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

/// What a leaf of the file holds, where its Arrow type does not say it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaf {
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
pub(super) struct Form {
    /// The type its values have in the end.
    pub(super) to: DataType,
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
    List(Box<Form>),
    Struct(Vec<Form>),
    Map(Box<[Form; 2]>),
}

impl Form {
    /// The form of a column and its members; takes a leaf for each one below it.
    pub(super) fn of(from: &DataType, leaves: &mut impl Iterator<Item = Leaf>) -> Self {
        use DataType as T;
        match from {
            T::Dictionary(_, values) => Self::of(values, leaves),
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
            (
                _,
                T::Decimal32(precision, _)
                | T::Decimal64(precision, _)
                | T::Decimal128(precision, _)
                | T::Decimal256(precision, _),
            ) => (from.clone(), How::Digits(*precision)),
            _ => (from.clone(), How::Same),
        };
        Self { to, how }
    }

    /// Whether it is a timestamp.
    pub(super) fn is_moment(&self) -> bool {
        matches!(self.how, How::Int96 | How::Moment(_))
    }

    /// Whether its values may have digits below a microsecond.
    pub(super) fn is_fine(&self) -> bool {
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

/// Units in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
