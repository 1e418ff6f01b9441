//! Data of events and answers: JSON with attachments here, MessagePack with binary values in it between nodes.

mod to_json;
mod to_msgpack;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::AdapterError;
use super::msgpack::Reader;
use crate::limits::SOCKETIO_ATTACHMENTS_MAX;
use crate::socketio::json::{self, Shape};
use crate::socketio::packet::{self, Event};
use to_json::Translation;
use to_msgpack::Writer;

/// Any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<'a> {
    /// Checked: JSON, each placeholder refers to an attachment, and no two to the same.
    text: Cow<'a, str>,
    attachments: Vec<&'a [u8]>,
}

impl<'a> Value<'a> {
    /// JSON, with the attachments that the placeholders in it refer to. Without any, placeholders are data.
    ///
    /// # Errors
    /// Where it is no JSON, or the attachments do not fit.
    pub fn new(text: &'a str, attachments: Vec<&'a [u8]>) -> Result<Self, AdapterError> {
        json::check(text, count(&attachments)?)?;
        Ok(Self {
            text: text.into(),
            attachments,
        })
    }

    /// The first of the arguments of an answer, `null` where there is none: nodes tell each other no more of it. `args` is as in
    /// [`packet::Ack`], `attachments` are all of the answer.
    ///
    /// # Errors
    /// As [`Value::new`].
    pub fn first_of(args: &str, attachments: Vec<&'a [u8]>) -> Result<Self, AdapterError> {
        let all = format!("[{args}]");
        let Shape::Array(elements) = json::check(&all, count(&attachments)?)? else {
            return Err(AdapterError::Field);
        };
        let text = match &all[elements.first] {
            "" => "null".into(),
            first => first.to_owned().into(),
        };
        Ok(Self { text, attachments })
    }

    /// The next value.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, AdapterError> {
        let (text, attachments) = Translation::of_next(reader)?;
        if !attachments.is_empty() {
            // A map may look like a placeholder.
            json::check(&text, count(&attachments)?)?;
        }
        Ok(Self {
            text: text.into(),
            attachments,
        })
    }

    /// Appends it as MessagePack.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        Writer::new(&self.text, &self.attachments, out).value();
    }

    /// The JSON. It has a placeholder for each attachment, but for those that belong to arguments behind the first.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The attachments, by the numbers of the placeholders.
    pub fn attachments(&self) -> &[&'a [u8]] {
        &self.attachments
    }
}

/// Name and arguments of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventData<'a>(Value<'a>);

impl<'a> EventData<'a> {
    /// A JSON array that begins with a name that an event may have, as in [`Event::data`], and the attachments to it.
    ///
    /// # Errors
    /// As [`Value::new`], and where it is no such array.
    pub fn new(text: &'a str, attachments: Vec<&'a [u8]>) -> Result<Self, AdapterError> {
        let count = count(&attachments)?;
        packet::event(None, text, count)?;
        Ok(Self(Value {
            text: text.into(),
            attachments,
        }))
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, AdapterError> {
        let (text, attachments) = Translation::of_next(reader)?;
        packet::event(None, &text, count(&attachments)?)?;
        Ok(Self(Value {
            text: text.into(),
            attachments,
        }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    /// The event, as clients are sent it.
    pub fn event(&self) -> Event<'_> {
        let count = count(&self.0.attachments);
        let event = count.and_then(|count| Ok(packet::event(None, &self.0.text, count)?));
        event.expect("was one when this was made")
    }

    /// Its attachments, by the numbers of the placeholders.
    pub fn attachments(&self) -> &[&'a [u8]] {
        &self.0.attachments
    }
}

/// JSON without attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// `text`, if it is JSON.
    ///
    /// # Errors
    /// Where it is none, or nested too deep.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, AdapterError> {
        let text = text.into();
        json::check(&text, None)?;
        Ok(Self(text))
    }

    /// What was read as part of a document that was checked.
    pub(super) fn part(raw: &'a RawValue) -> Self {
        Self(raw.get().into())
    }

    pub(super) fn constant(text: &'static str) -> Self {
        Self(text.into())
    }

    /// To be written as it is.
    pub(super) fn raw(&self) -> &RawValue {
        serde_json::from_str(&self.0).expect("JSON that was checked")
    }

    /// The JSON.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Name and arguments of an event for the programs that nodes are, a JSON array. It may have any name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent<'a>(Json<'a>);

impl<'a> ServerEvent<'a> {
    /// A JSON array that begins with a text.
    ///
    /// # Errors
    /// Where it is none.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, AdapterError> {
        let text = text.into();
        match json::check(&text, None)? {
            Shape::Array(elements) if text[elements.first.clone()].starts_with('"') => {
                Ok(Self(Json(text)))
            }
            _ => Err(AdapterError::Field),
        }
    }

    /// The array.
    pub fn data(&self) -> &Json<'a> {
        &self.0
    }
}

/// How many attachments a packet with these has; `None` where it is of the kind that has none.
fn count(attachments: &[&[u8]]) -> Result<Option<u8>, AdapterError> {
    match attachments.len() {
        0 => Ok(None),
        count if count <= usize::from(SOCKETIO_ATTACHMENTS_MAX) => Ok(Some(count as u8)),
        _ => Err(AdapterError::TooManyAttachments),
    }
}

#[cfg(test)]
mod tests;
