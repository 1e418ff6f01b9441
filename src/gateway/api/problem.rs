//! Refusals of the HTTP API: problem details (RFC 9457).

use std::borrow::Cow;

use serde_json::json;

use crate::http::response::reason;

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Problem {
    /// Status code.
    pub(in crate::gateway) status: u16,
    /// A sentence for people.
    pub(in crate::gateway) detail: Cow<'static, str>,
    /// Headers that belong to the status.
    pub(in crate::gateway) headers: &'static [(&'static str, &'static str)],
}

impl Problem {
    pub(in crate::gateway) fn new(status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: detail.into(),
            headers: &[],
        }
    }

    pub(in crate::gateway) fn with_headers(
        mut self,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.headers = headers;
        self
    }

    /// A body that is no JSON (400), or not what the call wants (422).
    pub(super) fn of_body(error: &serde_json::Error) -> Self {
        let status = match error.classify() {
            serde_json::error::Category::Data => 422,
            _ => 400,
        };
        Self::new(status, format!("The body is refused: {error}."))
    }

    /// The body of the answer.
    pub(in crate::gateway) fn body(&self) -> Vec<u8> {
        let problem = json!({
            "type": "about:blank",
            "title": reason(self.status),
            "status": self.status,
            "detail": self.detail,
        });
        problem.to_string().into_bytes()
    }
}
