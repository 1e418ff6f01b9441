//! Events in, actions out: a server here is a `Protocol` in the server role.

use super::*;
use crate::websocket::protocol::{Event, Input, Protocol, Role};

const SECOND: Duration = Duration::from_secs(1);

/// A machine and the server that it talks to, at a time that stands still unless it is moved.
struct Stage {
    machine: Machine,
    server: Protocol,
    codec: Codec,
    now: Instant,
}

/// What a server saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16),
}

fn plan(source: Source) -> Plan {
    Plan {
        source,
        url: "ws://x/".to_owned(),
        wait: None,
        reconnects: source != Source::Lines,
        reconnect_interval: 4 * SECOND,
        message_interval: SECOND,
        message_bytes_max: 1 << 20,
    }
}

fn text(text: &str) -> Typed {
    Typed::Message(MessageKind::Text, text.into())
}

fn came(text: &str) -> Line {
    Line::Message(MessageKind::Text, text.into())
}

impl Stage {
    fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let config = Config {
            message_bytes_max: 4 << 20,
            compression_bytes_min: 0,
            compression_level: 1,
        };
        Self {
            machine: Machine::new(plan, [7; 32], now),
            server: Protocol::new(Role::Server, None),
            codec: Codec::new(config),
            now,
        }
    }

    /// On a new connection.
    fn open(plan: Plan) -> Self {
        let mut stage = Self::new(plan);
        stage.connect();
        assert_eq!(stage.lines(), [Line::Note("Connected to ws://x/".into())]);
        stage
    }

    fn connect(&mut self) {
        self.machine.tick(self.now);
        assert_eq!(self.acts(), [Act::Dial]);
        self.server = Protocol::new(Role::Server, None);
        self.machine.dialed(Ok(Opened::default()), self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.tick(self.now);
    }

    fn type_in(&mut self, typed: Typed) {
        assert!(self.machine.wants_input());
        self.machine.typed(typed, self.now);
    }

    /// The server reads everything.
    fn seen(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut bytes = self.machine.unsent().to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            let event = self.server.receive(&mut input, &mut self.codec);
            seen.push(match event.expect("a client that keeps the rules") {
                None => break,
                Some(Event::Message(message)) => {
                    Seen::Text(String::from_utf8_lossy(message.payload).into_owned())
                }
                Some(Event::Ping(payload)) => Seen::Ping(payload.to_vec()),
                Some(Event::Pong(payload)) => Seen::Pong(payload.to_vec()),
                Some(Event::Close { code, .. }) => Seen::Close(code.0),
            });
        }
        let count = bytes.len();
        self.machine.sent(count, self.now);
        seen
    }

    /// The server says something.
    fn say(&mut self, say: impl FnOnce(&mut Protocol, &mut Codec, &mut Vec<u8>)) {
        let mut bytes = Vec::new();
        say(&mut self.server, &mut self.codec, &mut bytes);
        self.machine.receive(&mut bytes, self.now);
    }

    fn say_text(&mut self, text: &str) {
        self.say(|server, codec, out| {
            server.send_message(MessageKind::Text, text.as_bytes(), codec, out);
        });
    }

    fn say_close(&mut self, code: u16, reason: &str) {
        self.say(|server, codec, out| server.send_close(CloseCode(code), reason, codec, out));
    }

    /// The server answers the ping that comes behind everything.
    fn answer_last_ping(&mut self) {
        self.pass(Duration::ZERO);
        assert_eq!(self.due(), Some(QUIET_TIME_MAX));
        assert_eq!(self.seen(), [Seen::Ping(LAST_PING.to_vec())]);
        self.say(|server, codec, out| server.send_pong(LAST_PING, codec, out));
    }

    fn lines(&mut self) -> Vec<Line> {
        std::iter::from_fn(|| self.machine.poll_line()).collect()
    }

    fn acts(&mut self) -> Vec<Act> {
        std::iter::from_fn(|| self.machine.poll_act()).collect()
    }

    /// Time until the machine has something to do.
    fn due(&self) -> Option<Duration> {
        Some(self.machine.deadline()? - self.now)
    }

    fn assert_left(&mut self, status: u8) {
        assert_eq!(self.acts(), [Act::HangUp, Act::Leave(status)]);
        assert!(!self.machine.wants_input());
        assert_eq!(self.due(), None);
    }
}

#[test]
fn what_is_typed_goes_out_and_what_comes_is_shown() {
    let mut stage = Stage::open(plan(Source::Person));
    stage.type_in(text("hello"));
    stage.type_in(Typed::Ping(b"p".to_vec()));
    assert_eq!(
        stage.seen(),
        [Seen::Text("hello".into()), Seen::Ping(b"p".to_vec())]
    );
    stage.say_text("hi");
    stage.say(|server, codec, out| server.send_ping(b"q", codec, out));
    assert_eq!(stage.lines(), [came("hi"), Line::Ping(b"q".to_vec())]);
    assert_eq!(stage.seen(), [Seen::Pong(b"q".to_vec())]);
    assert_eq!((stage.due(), stage.acts()), (None, vec![]));
}

#[test]
fn who_leaves_says_close_and_waits_for_the_answer() {
    let mut stage = Stage::open(plan(Source::Person));
    stage.type_in(text("last"));
    stage.machine.interrupt(stage.now);
    assert_eq!(stage.seen(), [Seen::Text("last".into()), Seen::Close(1000)]);
    assert_eq!(stage.acts(), []);
    stage.say_close(1000, "");
    assert_eq!(stage.lines(), [Line::Note("Closed: 1000 (normal)".into())]);
    stage.assert_left(0);
}

#[test]
fn a_server_that_does_not_answer_close_is_left_after_a_while() {
    let mut stage = Stage::open(plan(Source::Person));
    stage.machine.interrupt(stage.now);
    assert_eq!(stage.due(), Some(CLOSE_TIME_MAX));
    stage.seen();
    stage.pass(CLOSE_TIME_MAX);
    let [Line::Problem(why)] = &stage.lines()[..] else {
        panic!("one problem")
    };
    assert!(why.contains("did not answer Close"), "{why}");
    stage.assert_left(1);
}

#[test]
fn a_code_of_ones_own_is_the_exit_status() {
    let mut stage = Stage::open(plan(Source::Person));
    stage.type_in(Typed::Close(CloseCode(4001), "bye".into()));
    assert_eq!(stage.seen(), [Seen::Close(4001)]);
    stage.say_close(4001, "bye");
    stage.assert_left(40);
}

#[test]
fn a_close_by_the_server_is_answered_before_the_end() {
    for (code, status) in [(1000, 0), (1008, 18), (4401, 44)] {
        let mut stage = Stage::open(plan(Source::Person));
        stage.say_close(code, "enough");
        assert_eq!(stage.acts(), []);
        assert_eq!(stage.seen(), [Seen::Close(code)]);
        let told = stage.lines();
        assert!(format!("{told:?}").contains("enough"), "{told:?}");
        stage.assert_left(status);
    }
}

#[test]
fn losses_are_followed_by_attempts_ever_further_apart() {
    let mut stage = Stage::open(plan(Source::Person));
    stage.machine.ended(Some("reset".into()), stage.now);
    assert_eq!(stage.acts(), [Act::HangUp]);
    let mut last = Duration::ZERO;
    for _ in 0..3 {
        let told = format!("{:?}", stage.lines());
        assert!(told.contains("Trying again in "), "{told}");
        let wait = stage.due().expect("an attempt");
        assert!(wait > last, "{wait:?}");
        last = wait;
        stage.pass(wait);
        assert_eq!(stage.acts(), [Act::Dial]);
        let failure = Failure {
            sentence: "nobody".into(),
            is_transient: true,
            retry_after: None,
        };
        stage.machine.dialed(Err(failure), stage.now);
    }
    let wait = stage.due().expect("an attempt");
    stage.now += wait;
    stage.connect();
    stage.type_in(text("back"));
    assert_eq!(stage.seen(), [Seen::Text("back".into())]);
    // It holds for a while: the next loss begins anew.
    stage.pass(10 * SECOND);
    stage.machine.ended(None, stage.now);
    assert!(stage.due().expect("an attempt") <= 5 * SECOND);
}

#[test]
fn a_restart_of_the_server_is_a_loss_and_a_refusal_is_not() {
    let mut stage = Stage::open(plan(Source::Random));
    stage.say_close(1001, "");
    stage.seen();
    assert_eq!(stage.acts(), [Act::HangUp]);
    assert!(stage.due().is_some());
    let mut stage = Stage::new(plan(Source::Random));
    stage.machine.tick(stage.now);
    stage.acts();
    let failure = Failure {
        sentence: "401".into(),
        is_transient: false,
        retry_after: None,
    };
    stage.machine.dialed(Err(failure), stage.now);
    assert_eq!(stage.acts(), [Act::Leave(1)]);
}

#[test]
fn the_server_may_ask_for_a_longer_wait() {
    let mut stage = Stage::new(plan(Source::Person));
    stage.machine.tick(stage.now);
    let failure = Failure {
        sentence: "503".into(),
        is_transient: true,
        retry_after: Some(90 * SECOND),
    };
    stage.machine.dialed(Err(failure), stage.now);
    assert_eq!(stage.due(), Some(90 * SECOND));
    // Who is impatient presses Enter.
    stage.type_in(Typed::Nudge);
    stage.acts();
    stage.pass(Duration::ZERO);
    assert_eq!(stage.acts(), [Act::Dial]);
}

#[test]
fn nothing_is_sent_without_a_connection() {
    let mut stage = Stage::new(plan(Source::Person));
    stage.type_in(text("too early"));
    assert_eq!(
        stage.lines(),
        [Line::Problem("Not connected: not sent".into())]
    );
    stage.machine.interrupt(stage.now);
    assert_eq!(stage.acts(), [Act::Leave(1)]);
    // What a pipe has waits.
    assert!(!Stage::new(plan(Source::Lines)).machine.wants_input());
}

#[test]
fn a_pipe_ends_when_all_is_answered() {
    let mut stage = Stage::open(plan(Source::Lines));
    stage.type_in(text("a"));
    stage.type_in(Typed::Ended);
    assert!(!stage.machine.wants_input());
    // Nothing is counted before it is written.
    stage.pass(100 * SECOND);
    assert_eq!(stage.seen(), [Seen::Text("a".into())]);
    stage.answer_last_ping();
    assert_eq!(stage.due(), Some(SECOND));
    stage.pass(SECOND / 2);
    stage.say_text("b");
    stage.pass(SECOND - Duration::from_millis(1));
    assert_eq!(stage.machine.unsent(), b"");
    stage.pass(Duration::from_millis(1));
    assert_eq!(stage.seen(), [Seen::Close(1000)]);
    stage.say_close(1000, "");
    stage.assert_left(0);
}

#[test]
fn silence_counts_only_while_the_server_is_read() {
    let mut stage = Stage::open(plan(Source::Lines));
    stage.type_in(Typed::Ended);
    stage.answer_last_ping();
    for _ in 0..100 {
        stage.now += SECOND;
        stage.machine.hold(stage.now);
        stage.pass(Duration::ZERO);
    }
    assert_eq!(stage.machine.unsent(), b"");
    assert_eq!(stage.due(), Some(SECOND));
    stage.pass(SECOND);
    assert_eq!(stage.seen(), [Seen::Close(1000)]);
}

#[test]
fn a_server_that_never_falls_silent_is_left_all_the_same() {
    let mut stage = Stage::open(plan(Source::Lines));
    stage.type_in(Typed::Ended);
    stage.answer_last_ping();
    for _ in 0..60 {
        stage.say_text("tick");
        stage.pass(SECOND / 2);
    }
    assert_eq!(stage.seen(), [Seen::Close(1000)]);
}

#[test]
fn a_server_that_never_answers_a_ping_is_left_all_the_same() {
    let mut stage = Stage::open(plan(Source::Lines));
    stage.type_in(Typed::Ended);
    stage.pass(Duration::ZERO);
    stage.say_text("late");
    stage.seen();
    stage.pass(QUIET_TIME_MAX);
    assert_eq!(stage.seen(), [Seen::Close(1000)]);
}

#[test]
fn how_long_answers_are_waited_for_can_be_said() {
    for (wait, due) in [
        (Wait::For(7 * SECOND), Some(7 * SECOND)),
        (Wait::Forever, None),
    ] {
        let mut stage = Stage::open(Plan {
            wait: Some(wait),
            ..plan(Source::Lines)
        });
        stage.type_in(Typed::Ended);
        stage.pass(Duration::ZERO);
        stage.say_text("x");
        assert_eq!(stage.due(), due);
    }
}

#[test]
fn input_that_cannot_be_sent_ends_with_its_own_status() {
    let mut stage = Stage::open(plan(Source::Lines));
    stage.type_in(Typed::Bad("line 3: not UTF-8".into()));
    assert_eq!(stage.seen(), [Seen::Close(1000)]);
    stage.say_close(1000, "");
    assert_eq!(stage.lines()[0], Line::Problem("line 3: not UTF-8".into()));
    stage.assert_left(2);
}

#[test]
fn a_server_that_does_not_read_is_not_fed_without_end() {
    let mut stage = Stage::open(plan(Source::Lines));
    let mut count = 0;
    while stage.machine.wants_input() {
        stage.type_in(text(&"x".repeat(100_000)));
        count += 1;
    }
    assert_eq!(count, UNSENT_BYTES_MAX / 100_000 + 1);
    // Its pings cost one pong.
    let unsent = stage.machine.unsent().len();
    for number in 0..1_000 {
        let payload = number.to_string();
        stage.say(|server, codec, out| server.send_ping(payload.as_bytes(), codec, out));
    }
    assert_eq!(stage.machine.unsent().len(), unsent);
    assert_eq!(stage.seen().len(), count);
    assert_eq!(stage.seen(), [Seen::Pong(b"999".to_vec())]);
    assert!(stage.machine.wants_input());
}

#[test]
fn a_broken_rule_is_answered_and_is_the_end() {
    let mut stage = Stage::open(plan(Source::Person));
    let mut masked = [0x81, 0x80, 1, 2, 3, 4];
    stage.machine.receive(&mut masked, stage.now);
    assert_eq!(stage.seen(), [Seen::Close(1002)]);
    let told = format!("{:?}", stage.lines());
    assert!(told.contains("must not mask"), "{told}");
    stage.assert_left(12);
    let mut stage = Stage::open(plan(Source::Person));
    let mut large = [0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0];
    stage.machine.receive(&mut large, stage.now);
    stage.seen();
    stage.assert_left(19);
}

#[test]
fn random_numbers_come_at_their_time() {
    let mut stage = Stage::open(plan(Source::Random));
    let mut numbers = Vec::new();
    for _ in 0..5 {
        stage.machine.tick(stage.now);
        let [Line::Sent(number)] = &stage.lines()[..] else {
            panic!("one number at a time")
        };
        assert_eq!(stage.seen(), [Seen::Text(number.clone())]);
        assert!(number.parse::<u32>().expect("a number") < NUMBER_MAX);
        numbers.push(number.clone());
        assert_eq!(stage.due(), Some(SECOND));
        stage.now += SECOND;
    }
    numbers.dedup();
    assert!(numbers.len() > 1);
    // Hours of sleep are not made up for.
    stage.pass(3_600 * SECOND);
    assert_eq!(stage.seen().len(), 1);
    stage.pass(Duration::ZERO);
    assert_eq!(stage.lines().len(), 2);
}
