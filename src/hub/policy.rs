//! What becomes of a room's messages that wait for a member who reads too slowly.

/// What becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// All of them wait, until a limit of the send queue ends the connection.
    #[default]
    Disconnect,
    /// Beyond the soft limit of the send queue the oldest are dropped.
    DropOldest,
    /// The newest alone waits.
    Latest,
}

impl Overflow {
    const ALL: [Self; 3] = [Self::Disconnect, Self::DropOldest, Self::Latest];

    /// The name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::DropOldest => "drop-oldest",
            Self::Latest => "latest",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// A name, or the beginning of names.
    text: String,
    is_beginning: bool,
    overflow: Overflow,
}

/// Which rooms have which policy. The first rule that fits counts; where none does, it is [`Overflow::Disconnect`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomPolicies {
    rules: Vec<Rule>,
}

impl RoomPolicies {
    /// The rules of `room=policy` entries, in their order. A room that ends in `*` is every room that begins so.
    ///
    /// # Errors
    /// The entry that is none, and why.
    pub fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, String> {
        let rules = entries.into_iter().map(Self::parse_one);
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    fn parse_one(entry: &str) -> Result<Rule, String> {
        let parts = entry.rsplit_once('=');
        let parts = parts.map(|(room, policy)| (room.trim(), policy.trim()));
        let Some((room, policy)) = parts.filter(|(room, _)| !room.is_empty()) else {
            return Err(format!("\"{entry}\" must be room=policy"));
        };
        let overflow = Overflow::ALL.into_iter().find(|one| one.name() == policy);
        let Some(overflow) = overflow else {
            return Err(format!(
                "the policy \"{policy}\" of \"{room}\" must be disconnect, drop-oldest or latest"
            ));
        };
        let beginning = room.strip_suffix('*');
        Ok(Rule {
            text: beginning.unwrap_or(room).to_owned(),
            is_beginning: beginning.is_some(),
            overflow,
        })
    }

    /// The policy of a room.
    pub fn of(&self, room: &str) -> Overflow {
        let fits = |rule: &&Rule| {
            rule.text == room || (rule.is_beginning && room.starts_with(rule.text.as_str()))
        };
        let rule = self.rules.iter().find(fits);
        rule.map_or(Overflow::default(), |rule| rule.overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let entries = [
            "ticker.gold=disconnect",
            "ticker.*=latest",
            "a=b = drop-oldest",
        ];
        let policies = RoomPolicies::parse(entries).expect("rules");
        for (room, overflow) in [
            ("ticker.gold", Overflow::Disconnect),
            ("ticker.goldfish", Overflow::Latest),
            ("ticker.", Overflow::Latest),
            ("ticker", Overflow::Disconnect),
            ("a=b", Overflow::DropOldest),
            ("a=bc", Overflow::Disconnect),
        ] {
            assert_eq!(policies.of(room), overflow, "{room}");
        }
        let all = RoomPolicies::parse(["*=drop-oldest"]).expect("a rule");
        assert_eq!(all.of("any"), Overflow::DropOldest);
    }

    #[test]
    fn refusals_say_which_entry_and_why() {
        for (entry, problem) in [
            ("news", "\"news\" must be room=policy"),
            ("=latest", "\"=latest\" must be room=policy"),
            (
                "news=oldest",
                "the policy \"oldest\" of \"news\" must be disconnect, drop-oldest or latest",
            ),
        ] {
            assert_eq!(RoomPolicies::parse([entry]), Err(problem.to_owned()));
        }
    }
}
