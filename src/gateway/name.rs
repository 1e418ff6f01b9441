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
            Self::TooLong(chars_max) => {
                format!("`{field}` may have {chars_max} characters at most.")
            }
            Self::ControlCharacter => format!("`{field}` must not have control characters."),
        }
    }
}

/// Whether a name is one: not empty, not endless, without control characters.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_name(name: &str, chars_max: usize) -> Result<(), NameProblem> {
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    // Characters as JSON Schema counts them; hardly a name is so long in bytes that they have to be counted.
    if name.len() > chars_max && name.chars().count() > chars_max {
        return Err(NameProblem::TooLong(chars_max));
    }
    if name.chars().any(char::is_control) {
        return Err(NameProblem::ControlCharacter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_long_as_its_characters_are_many() {
        for name in ["1234", "üüüü", "水水水水", "🌊🌊🌊🌊"] {
            assert_eq!(check_name(name, 4), Ok(()), "{name}");
            assert_eq!(check_name(name, 3), Err(NameProblem::TooLong(3)), "{name}");
        }
    }

    #[test]
    fn a_name_has_something_in_it_that_can_be_seen() {
        assert_eq!(check_name("", 4), Err(NameProblem::Empty));
        for name in ["a\nb", "\0", "\u{7f}", "\u{85}"] {
            assert_eq!(check_name(name, 4), Err(NameProblem::ControlCharacter));
        }
    }
}
