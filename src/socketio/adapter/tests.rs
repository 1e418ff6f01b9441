use super::*;
use crate::limits::{ADAPTER_LIST_MAX, ADAPTER_NAME_BYTES_MAX};
use proptest::prelude::*;
use std::borrow::Cow;

mod requests;
mod responses;

const NAMESPACE: &str = "/";

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn selection(rooms: &[&str], except: &[&str]) -> Selection {
    Selection {
        rooms: names(rooms),
        except: names(except),
    }
}

fn broadcast(selection: Selection, flags: Flags) -> Broadcast<'static> {
    Broadcast {
        uid: "AbCdEf".into(),
        namespace: "/a".into(),
        data: EventData::new(r#"["hey",{"_placeholder":true,"num":0}]"#, vec![b"bin"])
            .expect("an event"),
        selection,
        flags,
    }
}

#[test]
fn channels_are_those_of_the_adapter() {
    let channels = Channels::new("socket.io", "/a", "AbCdEf");
    assert_eq!(channels.everyone(), "socket.io#/a#");
    assert_eq!(channels.room("r#1"), "socket.io#/a#r#1#");
    assert_eq!(channels.pattern(), "socket.io#/a#*");
    assert_eq!(channels.requests(), "socket.io-request#/a#");
    assert_eq!(channels.responses(), "socket.io-response#/a#");
    assert_eq!(channels.own_responses(), "socket.io-response#/a#AbCdEf#");
    assert_eq!(channels.of(&selection(&[], &["x"])), channels.everyone());
    assert_eq!(channels.of(&selection(&["r"], &[])), "socket.io#/a#r#");
    assert_eq!(
        channels.of(&selection(&["r", "s"], &[])),
        channels.everyone()
    );
}

#[test]
fn a_channel_tells_what_a_message_is() {
    let channels = Channels::new("socket.io", "/", "AbCdEf");
    let broadcast = |room: &'static str| {
        Some(Channel::Broadcast {
            room: Some(room.into()).filter(|room: &Cow<'_, str>| !room.is_empty()),
        })
    };
    for (channel, expected) in [
        ("socket.io#/#", broadcast("")),
        // Node takes no name for no room.
        ("socket.io#/##", broadcast("")),
        ("socket.io#/#r#", broadcast("r")),
        ("socket.io#/#r#1#", broadcast("r#1")),
        ("socket.io-request#/#", Some(Channel::Requests)),
        ("socket.io-response#/#", Some(Channel::Responses)),
        ("socket.io-response#/#AbCdEf#", Some(Channel::Responses)),
        ("socket.io#/#r", None),
        ("socket.io#/", None),
        ("socket.io#/a#", None),
        ("socket.io-request#/#x#", None),
        ("socket.io-response#/#other#", None),
        ("", None),
    ] {
        assert_eq!(channels.classify(channel.as_bytes()), expected, "{channel}");
    }
    let odd = channels.classify(b"socket.io#/#\xff#");
    assert_eq!(odd, broadcast("\u{fffd}"));
}

#[test]
fn a_pattern_matches_nothing_else() {
    let channels = Channels::new("k*", r"/a[b]?\", "u");
    assert_eq!(channels.pattern(), r"k\*#/a\[b\]\?\\#*");
}

#[test]
fn a_selection_selects_by_rooms_and_exceptions() {
    let is_in = |rooms: &'static [&str]| move |room: &str| rooms.contains(&room);
    let everyone = selection(&[], &[]);
    assert!(everyone.selects(is_in(&[])));
    let some = selection(&["a", "b"], &["c", "sid"]);
    assert!(some.selects(is_in(&["b"])));
    assert!(!some.selects(is_in(&["x"])));
    assert!(!some.selects(is_in(&["a", "c"])));
    assert!(!some.selects(is_in(&["a", "sid"])));
    assert!(!selection(&[], &["c"]).selects(is_in(&["c"])));
}

/// MessagePack, written down by hand.
fn array(values: &[&[u8]]) -> Vec<u8> {
    [&[0x90 | values.len() as u8][..], &values.concat()].concat()
}

fn map(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0x80 | pairs.len() as u8];
    for (key, value) in pairs {
        msgpack::put_text(key, &mut out);
        out.extend_from_slice(value);
    }
    out
}

const EVENT: &[u8] = b"\x91\xa1e";

fn packet() -> Vec<u8> {
    map(&[("type", &[2]), ("data", EVENT)])
}

#[test]
fn a_broadcast_is_read_as_node_reads_it() {
    let nothing = map(&[]);
    let bytes = array(&[b"\xa1u", &packet(), &nothing]);
    let read = Broadcast::decode(&bytes).expect("a broadcast");
    assert_eq!((&*read.uid, &*read.namespace), ("u", "/"));
    assert_eq!(read.data.event().data, r#"["e"]"#);
    assert_eq!((read.selection, read.flags), Default::default());

    // What nobody knows is passed over; old packets say that they are binary.
    let packet = map(&[
        ("x", &[0x91, 0xc0]),
        ("type", &[5]),
        ("nsp", b"\xa2/b"),
        ("data", EVENT),
    ]);
    let flags = map(&[
        ("x", &[0xc0]),
        ("volatile", &[0xc3]),
        ("compress", &[0xc0]),
        ("timeout", &[0xcb, 0x40, 0x8f, 0x42, 0, 0, 0, 0, 0]),
        ("expectSingleResponse", &[0xc3]),
    ]);
    let options = map(&[
        ("x", &[0x80]),
        ("except", &[0xc0]),
        ("rooms", b"\x92\x05\xa1r"),
        ("flags", &flags),
    ]);
    let bytes = array(&[b"\xa1u", &packet, &options, &[0x91, 1]]);
    let read = Broadcast::decode(&bytes).expect("a broadcast");
    assert_eq!(read.namespace, "/b");
    assert_eq!(read.selection, selection(&["5", "r"], &[]));
    let expected = Flags {
        volatile: true,
        compress: None,
        timeout_ms: Some(1_000),
        expect_single_response: true,
    };
    assert_eq!(read.flags, expected);
}

#[test]
fn times_that_are_none_are_passed_over() {
    for (timeout, expected) in [
        (&[0xce, 0xff, 0xff, 0xff, 0xff][..], Some(u32::MAX)),
        (&[0xcf, 1, 0, 0, 0, 0, 0, 0, 0], Some(u32::MAX)),
        (&[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], Some(u32::MAX)),
        (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], None),
        (&[0xff], None),
        (&[0xc0], None),
    ] {
        let options = map(&[("flags", &map(&[("timeout", timeout)]))]);
        let bytes = array(&[b"\xa1u", &packet(), &options]);
        let read = Broadcast::decode(&bytes).expect("a broadcast");
        assert_eq!(read.flags.timeout_ms, expected, "{timeout:x?}");
    }
}

#[track_caller]
fn refused(bytes: &[u8], error: AdapterError) {
    let shown = bytes[..bytes.len().min(60)].escape_ascii();
    assert_eq!(Broadcast::decode(bytes), Err(error), "{shown}");
}

/// A name that is a byte too long.
fn long() -> Vec<u8> {
    let mut bytes = Vec::new();
    msgpack::put_text(&"a".repeat(ADAPTER_NAME_BYTES_MAX + 1), &mut bytes);
    bytes
}

#[test]
fn what_is_no_broadcast_is_refused() {
    let (packet, nothing) = (packet(), map(&[]));
    refused(&[], AdapterError::Malformed);
    refused(&[0xc1], AdapterError::Malformed);
    refused(&[0x80], AdapterError::Field);
    refused(&array(&[b"\xa1u", &packet]), AdapterError::Field);
    refused(&array(&[&[1], &packet, &nothing]), AdapterError::Field);
    refused(&array(&[&long(), &packet, &nothing]), AdapterError::Name);
    let followed = [array(&[b"\xa1u", &packet, &nothing]), vec![0]].concat();
    refused(&followed, AdapterError::Malformed);
    let large = vec![0xc0; ADAPTER_MESSAGE_BYTES_MAX + 1];
    assert_eq!(Broadcast::decode(&large), Err(AdapterError::TooLarge));
    assert_eq!(Request::decode(&large), Err(AdapterError::TooLarge));
    assert_eq!(Response::decode(&large), Err(AdapterError::TooLarge));
}

#[test]
fn a_broadcast_without_an_event_is_refused() {
    let attachments = [&[0x9c, 0xa1, b'e'][..], &[0xc4, 0].repeat(11)].concat();
    let kind: (&str, &[u8]) = ("type", &[2]);
    let data = |data| map(&[kind, ("data", data)]);
    for (packet, error) in [
        (vec![0xc0], AdapterError::Field),
        (vec![0x81, 1, 1], AdapterError::Field),
        (map(&[("data", EVENT)]), AdapterError::Field),
        (map(&[kind]), AdapterError::Field),
        (
            map(&[kind, ("data", EVENT), ("nsp", &[0xc0])]),
            AdapterError::Field,
        ),
        (map(&[("type", &[3]), ("data", EVENT)]), AdapterError::Type),
        (
            map(&[("type", b"\xa12"), ("data", EVENT)]),
            AdapterError::Type,
        ),
        (data(&[0x90]), AdapterError::Event),
        (data(b"\x91\xaadisconnect"), AdapterError::Event),
        (data(&[0x91; 200]), AdapterError::TooDeep),
        (data(&attachments), AdapterError::TooManyAttachments),
    ] {
        refused(&array(&[b"\xa1u", &packet, &map(&[])]), error);
    }
}

#[test]
fn a_broadcast_to_nobody_knows_whom_is_refused() {
    let too_many = [&[0xdd, 0, 1, 0, 1][..], &[0; ADAPTER_LIST_MAX + 1]].concat();
    let flag = |key: &str, value: &[u8]| map(&[("flags", &map(&[(key, value)]))]);
    for (options, error) in [
        (vec![0xc0], AdapterError::Field),
        // Without the room that is none it would be for everyone.
        (map(&[("rooms", &[0x91, 0xc0])]), AdapterError::Field),
        (map(&[("rooms", b"\xa1r")]), AdapterError::Field),
        (map(&[("except", &[0x91, 0xc3])]), AdapterError::Field),
        (map(&[("rooms", &array(&[&long()]))]), AdapterError::Name),
        (map(&[("rooms", &too_many)]), AdapterError::TooMany),
        (map(&[("flags", &[0x90])]), AdapterError::Field),
        (flag("volatile", &[1]), AdapterError::Field),
        (flag("compress", b"\xa1a"), AdapterError::Field),
        (flag("expectSingleResponse", &[0x90]), AdapterError::Field),
        (flag("timeout", b"\xa11"), AdapterError::Field),
    ] {
        refused(&array(&[b"\xa1u", &packet(), &options]), error);
    }
}

#[test]
fn a_broadcast_that_is_cut_is_refused() {
    let mut bytes = Vec::new();
    broadcast(selection(&["a"], &["b"]), Flags::default()).encode(&mut bytes);
    for end in 0..bytes.len() {
        assert!(Broadcast::decode(&bytes[..end]).is_err(), "{end}");
    }
}

#[test]
fn each_error_has_a_sentence_of_its_own() {
    let errors = [
        AdapterError::TooLarge,
        AdapterError::Malformed,
        AdapterError::TooDeep,
        AdapterError::Field,
        AdapterError::Name,
        AdapterError::TooMany,
        AdapterError::Type,
        AdapterError::TooManyAttachments,
        AdapterError::Placeholder,
        AdapterError::Event,
    ];
    let mut sentences = errors.map(|error| error.to_string()).to_vec();
    assert!(sentences.iter().all(|sentence| sentence.ends_with('.')));
    sentences.sort_unstable();
    sentences.dedup();
    assert_eq!(sentences.len(), errors.len());
}

fn any_flags() -> impl Strategy<Value = Flags> {
    let fields = (
        any::<bool>(),
        any::<Option<bool>>(),
        any::<Option<u32>>(),
        any::<bool>(),
    );
    fields.prop_map(
        |(volatile, compress, timeout_ms, expect_single_response)| Flags {
            volatile,
            compress,
            timeout_ms,
            expect_single_response,
        },
    )
}

proptest! {
    #[test]
    fn broadcasts_are_written_as_they_are_read(
        rooms in proptest::collection::vec(any::<String>(), 0..40),
        except in proptest::collection::vec(any::<String>(), 0..40),
        flags in any_flags(),
        event: String,
    ) {
        let mut broadcast = broadcast(Selection { rooms, except }, flags);
        let data = serde_json::json!([format!("e{event}"), {"_placeholder": true, "num": 0}]).to_string();
        broadcast.data = EventData::new(&data, vec![event.as_bytes()]).expect("an event");
        let mut bytes = Vec::new();
        broadcast.encode(&mut bytes);
        prop_assert_eq!(Broadcast::decode(&bytes), Ok(broadcast));
    }
}
