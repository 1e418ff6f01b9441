use super::*;

fn id(node: u64, worker: u16, sequence: u64) -> PublicationId {
    let origin = Origin { node, worker };
    PublicationId { origin, sequence }
}

fn seen(ids: &[PublicationId]) -> Seen {
    let mut seen = Seen::default();
    ids.iter().for_each(|id| seen.add(*id));
    seen
}

#[test]
fn offsets_are_read_as_they_were_written() {
    let all = [
        id(9, 1, 127),
        id(9, 0, 128),
        id(u64::MAX, 255, u64::MAX),
        id(1, 3, 1),
    ];
    for (own, ids) in [
        (None, &all[..0]),
        (None, &all[..]),
        (Some(all[0]), &all[..]),
        (Some(all[2]), &all[1..3]),
    ] {
        let offset = Offset {
            own,
            seen: seen(ids),
        };
        let text = offset.encode();
        assert_eq!(Offset::decode(&text), Some(offset), "{text}");
    }
    let one = Offset {
        own: Some(all[3]),
        seen: seen(&all[3..]),
    };
    assert_eq!(one.encode().len(), 18, "small where there is one worker");
}

#[test]
fn what_is_no_offset_is_none() {
    let good = Offset {
        own: Some(id(1, 0, 300)),
        seen: seen(&[id(1, 0, 300), id(1, 1, 2), id(2, 0, 1)]),
    };
    let text = good.encode();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).expect("base64");
    let read = |bytes: &[u8]| Offset::decode(&BASE64_URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(read(&bytes), Some(good));
    // Only between the nodes one may be cut and have sense.
    let whole = [bytes.len(), bytes.len() - 11];
    for len in 0..bytes.len() {
        let is_whole = whole.contains(&len);
        assert_eq!(read(&bytes[..len]).is_some(), is_whole, "{len} bytes");
    }
    let node = |number: u8| [0, 0, 0, 0, 0, 0, 0, number];
    let cases: [&[&[u8]]; 10] = [
        &[&[2, 0]],
        &[&[VERSION, 1]],
        &[&[VERSION, 2], &node(1), &[1, 0, 1]],
        &[&[VERSION, 0], &node(1), &[0]],
        &[&[VERSION, 0], &node(1), &[1, 0, 0]],
        &[&[VERSION, 0], &node(1), &[2, 0, 1, 0, 1]],
        &[&[VERSION, 0], &node(1), &[1, 0, 1], &node(1), &[1, 1, 1]],
        &[&[VERSION, 0], &node(1), &[1, 0x80, 0x80, 4, 1]],
        &[&[VERSION, 0], &node(1), &[1, 0, 0x81, 0]],
        &[&[VERSION, 0], &node(1), &[1, 0], &[0xff; 9], &[2]],
    ];
    for case in cases {
        assert_eq!(read(&case.concat()), None, "{case:?}");
    }
    let long = "A".repeat(RECOVERY_OFFSET_BYTES_MAX + 1);
    for text in ["", " ", "AQA=", "AQ A", "hello", "\u{e9}", &long] {
        assert_eq!(Offset::decode(text), None, "{text:.20}");
    }
}

#[test]
fn more_origins_than_allowed_have_no_offset() {
    let ids: Vec<_> = (0..=RECOVERY_ORIGINS_MAX as u64)
        .map(|node| id(node, 0, u64::MAX))
        .collect();
    let offset = |ids: &[PublicationId]| Offset {
        own: None,
        seen: seen(ids),
    };
    assert_eq!(offset(&ids).encode(), "");
    let most = offset(&ids[1..]);
    let text = most.encode();
    assert!(text.len() <= RECOVERY_OFFSET_BYTES_MAX, "{}", text.len());
    assert_eq!(Offset::decode(&text), Some(most));
}

#[test]
fn what_was_seen_is_told_for_each_origin() {
    let mut some = seen(&[id(1, 0, 5), id(2, 0, 7)]);
    assert!(some.has(id(1, 0, 5)) && some.has(id(2, 0, 1)));
    assert!(!some.has(id(1, 0, 6)) && !some.has(id(1, 1, 1)));
    some.add(id(1, 0, 3));
    assert!(some.has(id(1, 0, 5)), "nothing is unseen again");
    let other = seen(&[id(1, 0, 9), id(3, 0, 1)]);
    assert!(!some.covers(&other) && some.covers(&Seen::default()));
    some.merge(&other);
    assert!(some.covers(&other) && some.has(id(2, 0, 7)));
}

#[test]
fn an_offset_is_the_last_argument() {
    let offset = Offset {
        own: Some(id(1, 0, 1)),
        seen: seen(&[id(1, 0, 1)]),
    };
    let event = br#"2["e",{"a":"x\",\"y"}]"#;
    let mut with = Vec::new();
    Offset::put_behind(&offset.encode(), event, &mut with);
    assert!(with.ends_with(b"\"]") && with.starts_with(br#"2["e",{"a":"x\",\"y"},""#));
    assert_eq!(Offset::take_off(&with), Some((event.to_vec(), offset)));
    for other in [&br#"2["e","x"]"#[..], br#"2["e",1]"#, b"", br#""]"#] {
        assert_eq!(Offset::take_off(other), None);
    }
}

#[test]
fn origins_that_are_silent_are_left_out() {
    let mut positions = Positions::new(100);
    positions.advance(id(1, 0, 1), Moment(0));
    positions.advance(id(2, 0, 8), Moment(50));
    let at = |positions: &Positions, now| positions.offset(None, Moment(now)).seen;
    assert_eq!(at(&positions, 99), seen(&[id(1, 0, 1), id(2, 0, 8)]));
    assert_eq!(at(&positions, 100), seen(&[id(2, 0, 8)]));
    positions.advance(id(3, 0, 1), Moment(120));
    assert_eq!(positions.entries.len(), 2, "and forgotten");
    positions.advance(id(2, 0, 9), Moment(140));
    assert_eq!(at(&positions, 230), seen(&[id(2, 0, 9)]));
}
