//! What the checker calls wrong, shown on histories of a few lines.

use std::time::Duration;

use super::history::{Answer, Connection, Deed, Heard, History, Moment, Stamp, Stay, Target};
use super::presence::{Presence, Users};
use super::schedule::{Act, Schedule, Victim};
use super::verdict::{Rule, all_arrived, excerpt, judge};

const fn ms(ms: u64) -> Moment {
    Duration::from_millis(ms)
}

const END: Moment = ms(1_000);

fn room() -> Target {
    Target::Room("r".to_owned())
}

fn stay(target: Target, asked: Moment, ready: Moment) -> Stay {
    Stay {
        target,
        asked,
        ready: Some(ready),
        leaving: None,
        left: None,
    }
}

/// Ann at node 0 sends three messages to a room, in which bob at node 1 and eve at node 0 get them.
fn good() -> History {
    let mut history = History::default();
    for (node, who) in [(0, "ann"), (1, "bob"), (0, "eve")] {
        let mut connection = Connection::to(node, who);
        connection.stays.push(stay(room(), ms(0), ms(1)));
        history.connections.push(connection);
    }
    for sequence in 0..3_usize {
        let at = ms(10 * (sequence as u64 + 1));
        let number = history.send(0, room(), at);
        history.sent[number].answer = Some(Answer {
            at: at + ms(5),
            delivered: 2,
            unanswered: 0,
            unsent: false,
        });
        let heard = Heard::Message(stamp(sequence));
        for receiver in [1, 2] {
            history.connections[receiver]
                .heard
                .push((at + ms(2), heard));
        }
    }
    history.rounds.push(END);
    history
}

fn stamp(sequence: usize) -> Stamp {
    Stamp {
        sender: 0,
        sequence,
    }
}

/// The same, where bob does not get the second one, and its answer says so.
fn lost() -> History {
    let mut history = good();
    history.connections[1].heard.remove(1);
    answer(&mut history).delivered = 1;
    history
}

/// That of the second message.
fn answer(history: &mut History) -> &mut Answer {
    history.sent[1].answer.as_mut().expect("it was answered")
}

fn kill(history: &mut History, node: usize, at: Moment) {
    history.deeds.push(Deed {
        at,
        what: "killed".to_owned(),
        killed: Some(node),
    });
}

fn gap_at(history: &mut History, place: usize, at: Moment) {
    let heard = &mut history.connections[1].heard;
    heard.insert(place, (at, Heard::Gap));
}

fn rules(history: &History) -> Vec<Rule> {
    let (_, violations) = judge(history);
    violations.iter().map(|violation| violation.rule).collect()
}

#[test]
fn a_good_history_is_good() {
    let (summary, violations) = judge(&good());
    assert_eq!(violations, []);
    assert_eq!((summary.messages, summary.deliveries), (3, 6));
    assert!(all_arrived(&good(), 0));
}

#[test]
fn a_duplicate_is_seen_wherever_it_comes() {
    for place in 1..=3 {
        let mut history = good();
        let heard = &mut history.connections[1].heard;
        heard.insert(place, heard[0]);
        assert_eq!(rules(&history), [Rule::Duplicate], "{place}");
    }
}

#[test]
fn a_reorder_is_seen_whatever_the_targets_are() {
    let mut history = good();
    history.connections[1].heard.swap(0, 1);
    assert_eq!(rules(&history), [Rule::Reorder]);
    let mut history = good();
    history.sent[1].target = Target::Everyone;
    for connection in &mut history.connections {
        connection.stays.push(stay(Target::Everyone, ms(0), ms(1)));
    }
    history.sent[1].spares_sender = true;
    assert_eq!(rules(&history), []);
    history.connections[1].heard.swap(1, 2);
    assert_eq!(rules(&history), [Rule::Reorder]);
}

#[test]
fn what_nobody_sent_or_was_for_others_is_seen() {
    let mut history = good();
    let strange = Heard::Message(stamp(9));
    history.connections[1].heard.push((ms(90), strange));
    assert_eq!(rules(&history), [Rule::Stray]);
    let mut history = good();
    history.connections[1].stays[0].target = Target::Room("another".to_owned());
    assert!(rules(&history).contains(&Rule::Stray));
    let mut history = good();
    history.oddities.push("an error".to_owned());
    assert_eq!(rules(&history), [Rule::Oddity]);
}

#[test]
fn a_loss_needs_a_gap_at_the_right_place() {
    assert_eq!(rules(&lost()), [Rule::Loss]);
    // (its place in what bob heard, when, whether it covers the loss)
    for (place, at, covers) in [
        (0, ms(5), false),
        (0, ms(12), false),
        (1, ms(15), false),
        (1, ms(25), true),
        (2, ms(40), true),
        (2, END + ms(1), false),
    ] {
        let mut history = lost();
        gap_at(&mut history, place, at);
        let expected: &[Rule] = if covers { &[] } else { &[Rule::Loss] };
        assert_eq!(rules(&history), expected, "{place} {at:?}");
        let (summary, _) = judge(&history);
        assert_eq!(summary.by_gap, usize::from(covers));
        assert_eq!(summary.by_later_gap, usize::from(covers && place == 2));
    }
}

#[test]
fn a_count_alone_covers_a_loss_only_where_the_node_of_the_sender_was_killed() {
    for (node, at, is_covered) in [
        (0, ms(30), true),
        (0, ms(15), false),
        (0, END + ms(1), false),
        (1, ms(30), false),
    ] {
        let mut history = lost();
        kill(&mut history, node, at);
        assert_eq!(rules(&history).is_empty(), is_covered, "{node} {at:?}");
    }
    for change in [
        (|answer| answer.unanswered = 1) as fn(&mut Answer),
        |answer| answer.unsent = true,
    ] {
        let mut history = lost();
        kill(&mut history, 0, ms(30));
        change(answer(&mut history));
        assert_eq!(rules(&history), []);
        history.deeds.clear();
        assert_eq!(rules(&history), [Rule::Loss], "who listens is not told");
    }
}

#[test]
fn nothing_covers_a_loss_at_the_node_of_the_sender() {
    let mut history = lost();
    history.connections[1].node = 0;
    gap_at(&mut history, 1, ms(25));
    assert_eq!(rules(&history), [Rule::LocalLoss]);
}

#[test]
fn a_count_is_true() {
    for delivered in [0, 1, 3] {
        let mut history = good();
        answer(&mut history).delivered = delivered;
        assert_eq!(rules(&history), [Rule::Count], "{delivered}");
        assert!(!all_arrived(&history, 0));
    }
    let mut history = lost();
    gap_at(&mut history, 1, ms(25));
    answer(&mut history).delivered = 2;
    assert_eq!(rules(&history), [Rule::Count], "one did not get it");
    answer(&mut history).unanswered = 1;
    assert_eq!(
        rules(&history),
        [Rule::Count],
        "what is said is true all the same"
    );
    let mut history = good();
    *answer(&mut history) = Answer {
        delivered: 1,
        unanswered: 1,
        ..*answer(&mut history)
    };
    assert_eq!(rules(&history), [], "it says that it does not know all");
}

#[test]
fn who_comes_or_goes_may_get_it_or_not() {
    for (asked, ready, leaving, left) in [
        (15, Some(21), None, None),
        (15, None, None, None),
        (0, Some(1), Some(21), Some(22)),
        (0, Some(1), Some(500), Some(501)),
    ] {
        for is_counted in [true, false] {
            let mut history = lost();
            history.connections[1].heard.clear();
            history.connections[1].stays[0] = Stay {
                target: room(),
                asked: ms(asked),
                ready: ready.map(ms),
                leaving: leaving.map(ms),
                left: left.map(ms),
            };
            history.sent.remove(2);
            history.sent.remove(0);
            history.connections[2].heard.retain(|(at, _)| *at == ms(22));
            answer_of_first(&mut history).delivered = 1 + u64::from(is_counted);
            assert_eq!(rules(&history), [], "{asked} {leaving:?} {is_counted}");
            history.connections[1].stays.clear();
            assert_eq!(rules(&history).is_empty(), !is_counted);
        }
    }
}

fn answer_of_first(history: &mut History) -> &mut Answer {
    history.sent[0].answer.as_mut().expect("it was answered")
}

#[test]
fn who_is_not_answered_must_have_lost_its_connection() {
    let mut history = good();
    history.sent[1].answer = None;
    assert_eq!(rules(&history), [Rule::NotAnswered]);
    history.end(0, ms(900));
    assert_eq!(rules(&history), []);
    history.connections[0].ended = Some(END + ms(1));
    assert_eq!(rules(&history), [Rule::NotAnswered]);
    // Nobody promised anything then.
    history.connections[0].ended = Some(ms(900));
    history.connections[1].heard.remove(1);
    assert_eq!(rules(&history), []);
}

#[test]
fn an_excerpt_is_short_and_shows_the_place() {
    let mut history = good();
    for number in 0..5_000 {
        let sent = history.send(0, room(), ms(40 + number));
        history.sent[sent].answer = history.sent[0].answer;
    }
    kill(&mut history, 2, ms(500));
    let (_, violations) = judge(&history);
    let mut losses = violations.iter();
    let loss = losses.find(|it| it.rule == Rule::Loss);
    let shown = excerpt(&history, loss.expect("bob got none of them"));
    assert!(shown.lines().count() < 40, "{shown}");
    for part in [
        "Loss",
        "#0/3",
        "to #1",
        "killed",
        "ann at node 0",
        "bob at node 1",
    ] {
        assert!(shown.contains(part), "no {part:?}:\n{shown}");
    }
}

#[test]
fn a_wrong_presence_is_seen() {
    let mut history = good();
    for (connection, user) in ["ann", "bob", "eve"].into_iter().enumerate() {
        let user = Target::User(user.to_owned());
        history.connections[connection]
            .stays
            .push(stay(user, ms(0), ms(1)));
    }
    history.connect(0, "a caller");
    let users = |of: &[(&str, u64)]| -> Users {
        of.iter()
            .map(|(user, count)| ((*user).to_owned(), *count))
            .collect()
    };
    let all = users(&[("ann", 1), ("bob", 1), ("eve", 1)]);
    let told = Presence {
        users: all.clone(),
        rooms: [("r".to_owned(), all)].into(),
    };
    let truth = Presence::truth(&history);
    assert_eq!(truth, told);
    assert!(truth.differences(&told).is_empty());
    // Eve goes and bob leaves the room: what was true then is wrong now.
    history.end(2, ms(900));
    history.connections[1].stays[0].left = Some(ms(900));
    let truth = Presence::truth(&history);
    assert_eq!(truth.users, users(&[("ann", 1), ("bob", 1)]));
    assert_eq!(truth.rooms["r"], users(&[("ann", 1)]));
    assert_eq!(truth.differences(&told).len(), 2);
    let mut told = truth.clone();
    told.rooms.insert("left".to_owned(), users(&[("eve", 1)]));
    assert_eq!(truth.differences(&told).len(), 1, "a room that is empty");
    let mut told = truth.clone();
    told.rooms.clear();
    assert_eq!(truth.differences(&told).len(), 1);
    let mut told = truth.clone();
    told.users.insert("bob".to_owned(), 2);
    assert_eq!(truth.differences(&told).len(), 1);
}

#[test]
fn a_schedule_follows_from_its_seed_and_ends_what_it_begins() {
    for seed in 0..200 {
        let (mut schedule, mut again) = (Schedule::new(seed), Schedule::new(seed));
        for _ in 0..5 {
            let steps = schedule.round();
            assert_eq!(steps, again.round());
            assert!(steps.is_sorted_by_key(|step| step.at));
            let mut under_way: Vec<Victim> = Vec::new();
            for step in &steps {
                let victim = step.act.victim();
                let place = under_way.iter().position(|other| *other == victim);
                match step.act {
                    Act::StartRedis
                    | Act::ContinueRedis
                    | Act::StartNode(_)
                    | Act::ContinueNode(_)
                    | Act::Heal(_) => {
                        under_way.swap_remove(place.expect("it has begun"));
                    }
                    Act::Reset(..) => assert_eq!(place, None, "{steps:?}"),
                    _ => {
                        assert_eq!(place, None, "{steps:?}");
                        under_way.push(victim);
                    }
                }
            }
            assert_eq!(under_way, [], "{steps:?}");
        }
    }
}
