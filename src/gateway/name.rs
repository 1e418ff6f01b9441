//! Names of users, rooms, events: what may be one.

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameProblem {
    Empty,
    TooLong(usize),
    ControlCharacter,
}

impl NameProblem {
    /// A sentence about the field that has the name.
    pub(super) fn told(self, field: &str) -> String {
        match self {
            Self::Empty => format!("`{field}` must not be empty."),
            Self::TooLong(bytes_max) => format!("`{field}` may have {bytes_max} bytes at most."),
            Self::ControlCharacter => format!("`{field}` must not have control characters."),
        }
    }
}

/// Whether a name is one: not empty, not endless, without control characters.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_name(name: &str, bytes_max: usize) -> Result<(), NameProblem> {
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    if name.len() > bytes_max {
        return Err(NameProblem::TooLong(bytes_max));
    }
    if name.chars().any(char::is_control) {
        return Err(NameProblem::ControlCharacter);
    }
    Ok(())
}
