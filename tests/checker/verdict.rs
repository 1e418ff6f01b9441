//! What a history must be like. Nothing here touches a server: a history goes in, and what is wrong with it comes out.
//!
//! A *receiver* of a message is a connection that was among those that its target means: for certain where it had been told so
//! before the message was sent, and stayed until the end of the round; perhaps where it came or went meanwhile.
//!
//! 1. Nothing arrives twice at one connection.
//! 2. What one connection sent arrives at another in the order in which it was sent, whatever the targets were.
//! 3. Nothing arrives that nobody sent, or at who never asked for its target before it came.
//! 4. Who sent a message over a connection that stood at the end of the round was answered.
//! 5. `delivered` is no more than those that got it and those that came or went meanwhile; and where nothing is said of
//!    `unanswered` or `unsent`, no fewer than those certain receivers that got it.
//! 6. A certain receiver that did not get a message that was answered was told: a `gap` came to it after the message was sent, after
//!    the last message before it from the same sender, and before the end of the round. But
//!    - at the node of the sender nothing is lost at all, and
//!    - a node that was killed after the message was sent, in the same round, can tell nobody. Then its answer must have told who
//!      sent it: of `unsent`, or of `unanswered`, or by fewer than were certain to be there.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::history::{Answer, Connection, Heard, History, Moment, Sent, Stamp, Stay, Target};

/// Lines of an excerpt before and behind what it shows.
const EXCERPT_LINES: usize = 6;

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Duplicate,
    Reorder,
    Stray,
    NotAnswered,
    Count,
    Loss,
    LocalLoss,
    Oddity,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) stamp: Option<Stamp>,
    /// The connection that shows it.
    pub(crate) receiver: Option<usize>,
    pub(crate) what: String,
}

/// What there was to judge.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) messages: usize,
    pub(crate) deliveries: usize,
    /// Messages that were not answered, because the sender's connection broke.
    pub(crate) unanswered_sends: usize,
    /// Losses that a gap covers, each of one message at one receiver, and of them those where the next message of the sender came
    /// before the gap.
    pub(crate) by_gap: usize,
    pub(crate) by_later_gap: usize,
    /// Losses that only the answer tells of, because the sender's node was killed.
    pub(crate) by_count: usize,
}

impl Stay {
    fn is_certain(&self, sent: Moment, end: Moment) -> bool {
        let is_there = self.ready.is_some_and(|ready| ready <= sent);
        is_there && self.leaving.is_none_or(|leaving| leaving > end)
    }

    fn is_possible(&self, sent: Moment, until: Moment) -> bool {
        self.asked <= until && self.left.is_none_or(|left| left >= sent)
    }
}

/// The receivers of a message.
struct Receivers {
    certain: Vec<usize>,
    /// How many more it may have had.
    possible: usize,
}

/// Where each message stands in what a connection heard.
type Places = HashMap<Stamp, usize>;

struct Judge<'h> {
    history: &'h History,
    places: Vec<Places>,
    by_stamp: HashMap<Stamp, &'h Sent>,
    violations: Vec<Violation>,
    summary: Summary,
}

/// What is to be said of a run.
pub(crate) fn judge(history: &History) -> (Summary, Vec<Violation>) {
    let mut judge = Judge {
        history,
        places: Vec::new(),
        by_stamp: history.sent.iter().map(|sent| (sent.stamp, sent)).collect(),
        violations: Vec::new(),
        summary: Summary::default(),
    };
    for (number, connection) in history.connections.iter().enumerate() {
        let places = judge.listen(number, connection);
        judge.places.push(places);
    }
    for sent in &history.sent {
        judge.look_at(sent);
    }
    for oddity in &history.oddities {
        judge.violations.push(Violation {
            rule: Rule::Oddity,
            stamp: None,
            receiver: None,
            what: oddity.clone(),
        });
    }
    (judge.summary, judge.violations)
}

/// Whether everybody who was there for certain got each of the messages that were sent since, and the count says so.
pub(crate) fn all_arrived(history: &History, since: usize) -> bool {
    let now = Moment::MAX;
    history.sent[since..].iter().all(|sent| {
        let Some(answer) = sent.answer.filter(Answer::is_whole) else {
            return false;
        };
        let receivers = receivers(history, sent, now, answer.at);
        let has_it = |number: &usize| {
            let mut heard = history.connections[*number].heard.iter().rev();
            heard.any(|(_, heard)| *heard == Heard::Message(sent.stamp))
        };
        answer.delivered == receivers.certain.len() as u64 && receivers.certain.iter().all(has_it)
    })
}

fn receivers(history: &History, sent: &Sent, end: Moment, counted: Moment) -> Receivers {
    let mut receivers = Receivers {
        certain: Vec::new(),
        possible: 0,
    };
    for (number, connection) in history.connections.iter().enumerate() {
        if sent.spares_sender && number == sent.stamp.sender {
            continue;
        }
        let stays = || {
            connection
                .stays
                .iter()
                .filter(|it| it.target == sent.target)
        };
        if stays().any(|stay| stay.is_certain(sent.at, end)) {
            receivers.certain.push(number);
        } else if stays().any(|stay| stay.is_possible(sent.at, counted)) {
            receivers.possible += 1;
        }
    }
    receivers
}

impl Judge<'_> {
    fn blame(&mut self, rule: Rule, stamp: Stamp, receiver: Option<usize>, what: String) {
        self.violations.push(Violation {
            rule,
            stamp: Some(stamp),
            receiver,
            what,
        });
    }

    /// Rules 1 to 3, of what one connection heard.
    fn listen(&mut self, number: usize, connection: &Connection) -> Places {
        let mut places = Places::new();
        let mut last = HashMap::<usize, usize>::new();
        for (place, (at, heard)) in connection.heard.iter().enumerate() {
            let Heard::Message(stamp) = *heard else {
                continue;
            };
            self.summary.deliveries += 1;
            if places.insert(stamp, place).is_some() {
                let what = format!("{stamp} came twice to #{number}");
                self.blame(Rule::Duplicate, stamp, Some(number), what);
                continue;
            }
            let before = last.insert(stamp.sender, stamp.sequence);
            if let Some(before) = before.filter(|before| *before > stamp.sequence) {
                let what = format!("{stamp} came to #{number} behind /{before}");
                self.blame(Rule::Reorder, stamp, Some(number), what);
            }
            let is_meant = |target: &Target| {
                let mut stays = connection.stays.iter();
                stays.any(|stay| stay.target == *target && stay.asked <= *at)
            };
            if !self
                .by_stamp
                .get(&stamp)
                .is_some_and(|sent| is_meant(&sent.target))
            {
                let what = format!("{stamp} came to #{number}, which it was not for");
                self.blame(Rule::Stray, stamp, Some(number), what);
            }
        }
        places
    }

    /// Rules 4 to 6, of one message.
    fn look_at(&mut self, sent: &Sent) {
        self.summary.messages += 1;
        let end = self.end_of_round(sent.at);
        let Some(answer) = sent.answer else {
            self.summary.unanswered_sends += 1;
            let ended = self.history.connections[sent.stamp.sender].ended;
            if ended.is_none_or(|ended| ended > end) {
                let what = format!("{} was never answered", sent.stamp);
                self.blame(Rule::NotAnswered, sent.stamp, None, what);
            }
            return;
        };
        let receivers = receivers(self.history, sent, end, answer.at);
        let has_it = |number: &usize| self.places[*number].contains_key(&sent.stamp);
        let (got, missed): (Vec<usize>, Vec<usize>) =
            receivers.certain.iter().partition(|it| has_it(it));
        self.check_count(sent, answer, got.len(), receivers.possible);
        for receiver in missed {
            let told = answer.delivered < receivers.certain.len() as u64;
            self.check_loss(sent, receiver, end, told || !answer.is_whole());
        }
    }

    fn end_of_round(&self, at: Moment) -> Moment {
        let ends = &self.history.rounds;
        let next = ends.partition_point(|end| *end < at);
        ends.get(next).copied().unwrap_or(Moment::MAX)
    }

    fn check_count(&mut self, sent: &Sent, answer: Answer, got: usize, possible: usize) {
        let most = (got + possible) as u64;
        let least = if answer.is_whole() { got as u64 } else { 0 };
        if !(least..=most).contains(&answer.delivered) {
            let what = format!(
                "{} to {:?} was answered {answer:?}, {got} got it and {possible} may have",
                sent.stamp, sent.target
            );
            self.blame(Rule::Count, sent.stamp, None, what);
        }
    }

    fn check_loss(&mut self, sent: &Sent, receiver: usize, end: Moment, is_told: bool) {
        let node = self.history.connections[sent.stamp.sender].node;
        let connection = &self.history.connections[receiver];
        let what = format!(
            "{} to {:?} of {:?}, {:?}, did not come to #{receiver}",
            sent.stamp, sent.target, sent.at, sent.answer
        );
        if connection.node == node {
            self.blame(Rule::LocalLoss, sent.stamp, Some(receiver), what);
            return;
        }
        match gap(connection, sent, end) {
            Some(is_later) => {
                self.summary.by_gap += 1;
                self.summary.by_later_gap += usize::from(is_later);
            }
            None if is_told && self.was_killed(node, sent.at, end) => self.summary.by_count += 1,
            None => self.blame(Rule::Loss, sent.stamp, Some(receiver), what),
        }
    }

    fn was_killed(&self, node: usize, from: Moment, to: Moment) -> bool {
        let mut deeds = self.history.deeds.iter();
        deeds.any(|deed| deed.killed == Some(node) && (from..=to).contains(&deed.at))
    }
}

/// Whether a gap covers the loss of a message, and where it does, whether it came behind the next message of its sender.
fn gap(connection: &Connection, sent: &Sent, end: Moment) -> Option<bool> {
    let of_sender = |heard: &Heard| match heard {
        Heard::Message(stamp) if stamp.sender == sent.stamp.sender => Some(stamp.sequence),
        _ => None,
    };
    let is_before = |(_, heard): &(Moment, Heard)| {
        of_sender(heard).is_some_and(|sequence| sequence < sent.stamp.sequence)
    };
    let first = connection
        .heard
        .iter()
        .rposition(is_before)
        .map_or(0, |place| place + 1);
    let behind = connection.heard[first..].iter();
    let in_time = behind.filter(|(at, _)| (sent.at..=end).contains(at));
    let mut is_later = false;
    for (_, heard) in in_time {
        is_later |= of_sender(heard).is_some();
        if *heard == Heard::Gap {
            return Some(is_later);
        }
    }
    None
}

/// The part of a history that shows a violation, in a few lines.
pub(crate) fn excerpt(history: &History, violation: &Violation) -> String {
    let mut text = format!("{:?}: {}\n", violation.rule, violation.what);
    let Some(stamp) = violation.stamp else {
        return text;
    };
    let message = history.sent.iter().find(|sent| sent.stamp == stamp);
    let at = message.map_or(Moment::ZERO, |sent| sent.at);
    text += &deeds_around(history, at);
    for number in [Some(stamp.sender), violation.receiver]
        .into_iter()
        .flatten()
    {
        let connection = &history.connections[number];
        let (node, who, ended) = (connection.node, &connection.who, connection.ended);
        let _ = writeln!(text, "  #{number} is {who} at node {node}, ended {ended:?}");
        let targets = connection.stays.iter();
        for stay in targets.filter(|stay| message.is_some_and(|sent| sent.target == stay.target)) {
            let _ = writeln!(text, "    {stay:?}");
        }
    }
    let sender = history
        .sent
        .iter()
        .filter(|sent| sent.stamp.sender == stamp.sender);
    let sender: Vec<_> = sender.collect();
    show_around(
        &mut text,
        "sent",
        &sender,
        |sent| sent.stamp == stamp,
        |sent| {
            format!(
                "{:>12.3?} {} to {:?}: {:?}",
                sent.at, sent.stamp, sent.target, sent.answer
            )
        },
    );
    if let Some(receiver) = violation.receiver {
        let is_shown = |heard: &Heard| match heard {
            Heard::Gap => true,
            Heard::Message(heard) => heard.sender == stamp.sender,
        };
        let heard = history.connections[receiver].heard.iter();
        let heard: Vec<_> = heard.filter(|(_, heard)| is_shown(heard)).collect();
        show_around(
            &mut text,
            "heard",
            &heard,
            |(moment, _)| *moment >= at,
            |(at, heard)| {
                let heard = match heard {
                    Heard::Gap => "gap".to_owned(),
                    Heard::Message(stamp) => stamp.to_string(),
                };
                format!("{at:>12.3?} {heard}")
            },
        );
    }
    text
}

/// What was done to the servers in the round of that time.
pub(crate) fn deeds_around(history: &History, at: Moment) -> String {
    let round = history.rounds.partition_point(|end| *end < at);
    let from = match round {
        0 => Moment::ZERO,
        _ => history.rounds[round - 1],
    };
    let to = history.rounds.get(round).copied().unwrap_or(Moment::MAX);
    let deeds = history.deeds.iter();
    let deeds = deeds.filter(|deed| (from..=to).contains(&deed.at));
    deeds
        .map(|deed| format!("  {:>12.3?} {}\n", deed.at, deed.what))
        .collect()
}

fn show_around<T>(
    text: &mut String,
    title: &str,
    entries: &[T],
    is_middle: impl Fn(&T) -> bool,
    show: impl Fn(&T) -> String,
) {
    let middle = entries.iter().position(is_middle).unwrap_or(entries.len());
    let from = middle.saturating_sub(EXCERPT_LINES);
    let to = (middle + EXCERPT_LINES).min(entries.len());
    let _ = writeln!(text, "  {title}:");
    for entry in &entries[from..to] {
        let _ = writeln!(text, "    {}", show(entry));
    }
}
