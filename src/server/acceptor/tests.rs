use super::*;
use crate::gateway::{AddressLimits, Admission};
use crate::server::settings::ListenAddress;
use mio::{Poll, Token};
use std::net::{SocketAddr, TcpStream};

/// An acceptor of worker 0 without its loop: the test calls it, and keeps what it opens.
struct Rig {
    acceptor: Option<Acceptor>,
    desk: Arc<AcceptorDesk>,
    node: Arc<Node>,
    workers: Vec<WorkerMailbox>,
    stopped: mpsc::Receiver<Infallible>,
    addresses: Vec<SocketAddr>,
    clients: Vec<TcpStream>,
    opened: Vec<Stream>,
    _polls: Vec<Poll>,
}

impl Rig {
    fn new(doors: usize, workers: usize, mail_items_max: usize) -> Self {
        let any = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listeners: Vec<_> = (0..doors)
            .map(|_| Listener::bind(&any).expect("bound"))
            .collect();
        let addresses = listeners
            .iter()
            .map(|listener| match listener {
                Listener::Tcp(tcp) => tcp.local_addr().expect("an address"),
                Listener::Unix(..) => panic!("not TCP"),
            })
            .collect();
        let polls: Vec<_> = (0..workers).map(|_| Poll::new().expect("poll")).collect();
        let mailbox = |poll: &Poll| {
            Arc::new(Mailbox::new(poll.registry(), Token(0), mail_items_max).expect("mailbox"))
        };
        let mailboxes: Vec<_> = polls.iter().map(mailbox).collect();
        let node = Arc::new(Node::new(
            workers,
            Admission::new(workers, 1_000, AddressLimits::default()),
        ));
        let desk = Arc::new(AcceptorDesk::new(Arc::clone(&mailboxes[0])));
        let config = AcceptorConfig {
            proxies: TrustedProxies::default(),
            tls: None,
        };
        let (sender, stopped) = mpsc::channel();
        let acceptor = Acceptor::new(
            listeners,
            config,
            Arc::clone(&node),
            mailboxes.clone(),
            0,
            Arc::clone(&desk),
            sender,
        );
        Self {
            acceptor: Some(acceptor),
            desk,
            node,
            workers: mailboxes,
            stopped,
            addresses,
            clients: Vec::new(),
            opened: Vec::new(),
            _polls: polls,
        }
    }

    /// Clients that the kernel has taken in.
    fn connect(&mut self, door: usize, count: usize) {
        let address = self.addresses[door];
        let connect = |_| TcpStream::connect(address).expect("connected");
        self.clients.extend((0..count).map(connect));
    }

    /// One turn of the loop, where something is due in it; whether the acceptor goes on.
    fn turn(&mut self, now: Tick) -> bool {
        let acceptor = self.acceptor.as_mut().expect("not stopped");
        acceptor.woken(now);
        if acceptor.due(now).is_none_or(|due| !due.is_reached(now)) {
            return true;
        }
        let opened = &mut self.opened;
        let flow = acceptor.run(now, &mut |stream, _| opened.push(stream));
        if flow.is_break() {
            self.acceptor = None;
        }
        flow.is_continue()
    }

    /// How many connections were opened that came through `door`.
    fn opened(&self, door: usize) -> usize {
        let came_by = |stream: &&Stream| match stream {
            Stream::Plain(Socket::Tcp(tcp)) => {
                tcp.local_addr().expect("an address") == self.addresses[door]
            }
            _ => false,
        };
        self.opened.iter().filter(came_by).count()
    }
}

#[test]
fn a_crowd_at_one_door_keeps_nobody_waiting_at_the_other() {
    let mut rig = Rig::new(2, 1, 16);
    rig.connect(0, 3 * ACCEPTS_PER_TURN_MAX);
    rig.connect(1, 1);
    assert!(rig.turn(Tick(1)));
    assert_eq!(
        (rig.opened(0), rig.opened(1)),
        (ACCEPTS_PER_TURN_MAX, 0),
        "a turn has its measure"
    );
    assert!(rig.turn(Tick(1)));
    assert_eq!(rig.opened(1), 1);
    while rig.opened.len() < rig.clients.len() {
        assert!(rig.turn(Tick(2)));
    }
    assert!(rig.turn(Tick(2)));
    let acceptor = rig.acceptor.as_ref().expect("goes on");
    assert_eq!(acceptor.due(Tick(3)), None, "nothing is left to do");
}

#[test]
fn who_was_taken_in_by_the_kernel_is_not_lost_when_the_doors_close() {
    let mut rig = Rig::new(2, 1, 16);
    assert!(rig.turn(Tick(1)), "nobody is there");
    rig.desk.stop_after(Duration::from_millis(80));
    assert!(rig.turn(Tick(2)));
    rig.connect(0, 2 * ACCEPTS_PER_TURN_MAX);
    rig.connect(1, ACCEPTS_PER_TURN_MAX);
    let acceptor = rig.acceptor.as_mut().expect("goes on");
    acceptor.ready(0);
    acceptor.ready(1);
    assert!(!rig.turn(Tick(12)), "its time is over");
    assert_eq!(rig.opened.len(), 3 * ACCEPTS_PER_TURN_MAX);
    rig.stopped
        .recv()
        .expect_err("told that the doors are closed");
    for address in rig.addresses {
        TcpStream::connect(address).expect_err("closed");
    }
}

#[test]
fn each_worker_gets_as_many_and_a_full_mailbox_costs_no_place() {
    let mut rig = Rig::new(1, 2, 16);
    rig.connect(0, 10);
    rig.turn(Tick(1));
    let handed_over = |rig: &Rig| std::iter::from_fn(|| rig.workers[1].take()).count();
    assert_eq!((rig.opened.len(), handed_over(&rig)), (5, 5));
    assert_eq!(rig.node.admission.admitted(), 10);
    let mut full = Rig::new(1, 2, 2);
    full.connect(0, 10);
    full.turn(Tick(1));
    // Whom the second worker has no room for is dropped, and the next is offered to it again.
    let served = full.opened.len();
    assert_eq!(handed_over(&full), 2);
    assert_eq!(full.node.admission.admitted(), served + 2);
}

#[test]
fn orders_are_followed_once_and_the_last_counts() {
    let rig = Rig::new(1, 1, 16);
    assert!(rig.desk.take().is_none());
    rig.desk.stop_after(Duration::from_secs(1));
    rig.desk.stop_after(Duration::from_secs(2));
    rig.desk.descriptor_freed();
    let orders = rig.desk.take().expect("orders");
    assert_eq!(orders.stop_after, Some(Duration::from_secs(2)));
    assert!(orders.is_descriptor_free && orders.config.is_none());
    assert!(rig.desk.take().is_none());
}
