use std::net::SocketAddr;
use std::sync::mpsc;

use super::*;

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

fn asked(bench: &mut Bench, peer: &Peer) -> String {
    bench.send(peer, REQUEST);
    String::from_utf8(peer.take()).expect("text")
}

#[test]
fn they_are_not_for_other_machines() {
    let mut bench = Bench::new(config());
    for (from, is_local) in [
        ("10.0.0.1:80", false),
        ("[2001:db8::1]:80", false),
        ("[::ffff:10.0.0.1]:80", false),
        ("127.0.0.1:80", true),
        ("127.8.8.8:80", true),
        ("[::1]:80", true),
        ("[::ffff:127.0.0.1]:80", true),
    ] {
        let from: SocketAddr = from.parse().expect("an address");
        let peer = bench.connect_from(from.into());
        let told = asked(&mut bench, &peer);
        // Nobody answers in this test.
        let status = if is_local { "503" } else { "403" };
        assert!(
            told.starts_with(&format!("HTTP/1.1 {status} ")),
            "{from}: {told}"
        );
    }
}

#[test]
fn who_asks_waits_for_the_answer_and_too_many_do_not() {
    let mut bench = Bench::new(config());
    let (sender, scrapes) = mpsc::sync_channel(2);
    bench.engine.shard().node.set_scrapes(sender);
    let [first, gone, refused] = [(); 3].map(|()| bench.connect());
    assert_eq!(asked(&mut bench, &first), "");
    assert_eq!(asked(&mut bench, &gone), "");
    let told = asked(&mut bench, &refused);
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    assert!(told.contains("Retry-After: 5\r\n"), "{told}");
    // The time to ask something is over, and it has been asked.
    bench.pass(Duration::from_secs(60));
    assert!(!first.is_ended());
    bench
        .engine
        .abort(gone.key, crate::reactor::CloseReason::RESET);
    bench.turn();
    for scrape in scrapes.try_iter() {
        bench.engine.deliver(Mail::Metrics {
            connection: scrape.connection,
            text: "the text".to_owned(),
        });
    }
    bench.turn();
    let told = String::from_utf8(first.take()).expect("text");
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert!(told.ends_with("\r\n\r\nthe text"), "{told}");
    assert_eq!(gone.take(), b"");
    assert_eq!(asked(&mut bench, &first), "", "the next one waits again");
}
