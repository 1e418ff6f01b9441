//! Names and lists in messages, never longer than allowed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::AdapterError;
use super::msgpack::{Reader, Token};
use crate::limits::{ADAPTER_LIST_MAX, ADAPTER_NAME_BYTES_MAX};

/// A name that is not too long.
pub(super) fn check_name(name: String) -> Result<String, AdapterError> {
    if name.len() > ADAPTER_NAME_BYTES_MAX {
        return Err(AdapterError::Name);
    }
    Ok(name)
}

/// A list of names in MessagePack; none where there is none.
pub(super) fn read_names(reader: &mut Reader<'_>) -> Result<Vec<String>, AdapterError> {
    match reader.next()? {
        Token::Nil => Ok(Vec::new()),
        Token::Array(count) if count as usize > ADAPTER_LIST_MAX => Err(AdapterError::TooMany),
        Token::Array(count) => (0..count).map(|_| reader.name().map(Into::into)).collect(),
        _ => Err(AdapterError::Field),
    }
}

/// A name in JSON: a text, or a whole number, which then is its digits.
pub(super) struct Name(String);

impl Name {
    pub(super) fn checked(self) -> Result<String, AdapterError> {
        check_name(self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
        Ok(Name(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Name, E> {
        Ok(Name(text))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Name, E> {
        Ok(Name(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Name, E> {
        Ok(Name(number.to_string()))
    }
}

/// A list in JSON, as far as it may be long.
pub(super) struct List<T> {
    items: Vec<T>,
    /// There is more, and it was passed over.
    is_cut: bool,
}

impl<T> List<T> {
    pub(super) fn whole(self) -> Result<Vec<T>, AdapterError> {
        if self.is_cut {
            return Err(AdapterError::TooMany);
        }
        Ok(self.items)
    }
}

impl List<Name> {
    pub(super) fn names(self) -> Result<Vec<String>, AdapterError> {
        self.whole()?.into_iter().map(Name::checked).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while items.len() < ADAPTER_LIST_MAX {
            match sequence.next_element()? {
                Some(item) => items.push(item),
                None => {
                    return Ok(List {
                        items,
                        is_cut: false,
                    });
                }
            }
        }
        let mut is_cut = false;
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            is_cut = true;
        }
        Ok(List { items, is_cut })
    }
}
