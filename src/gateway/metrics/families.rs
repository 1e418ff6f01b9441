//! Every metric that is told, with its name and what it means.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::ProcessFigures;
use super::meters::{self, CLASSES, CODES, INITIATORS, PATHS, REFUSALS, STATUSES, WorkerMeters};
use crate::gateway::cluster::Cluster;
use crate::gateway::config::EndpointKind;
use crate::gateway::node::Node;
use crate::gateway::tally::Limit;
use crate::hub::Kind;
use crate::metrics::BOUNDS_US;

/// What is told at one time.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) node: Arc<Node>,
    pub(super) process: ProcessFigures,
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.connections(&mut page)?;
        self.traffic(&mut page)?;
        self.ends(&mut page)?;
        self.limits(&mut page)?;
        self.workers(&mut page)?;
        self.gateway(&mut page)?;
        self.socketio(&mut page)?;
        self.redis(&mut page)?;
        self.backend(&mut page)?;
        self.neighbours(&mut page)?;
        self.recovery(&mut page)?;
        self.process(&mut page)
    }
}

/// The text that is being written.
pub(super) struct Page<'e>(pub(super) DescriptorEncoder<'e>);

/// A metric without the suffixes that its type and its unit put behind it, and what it means.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) help: &'static str,
}

pub(super) fn family(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        unit: None,
        help,
    }
}

pub(super) fn in_bytes(name: &'static str, help: &'static str) -> Family {
    let unit = Some(Unit::Bytes);
    Family { name, unit, help }
}

pub(super) fn in_seconds(name: &'static str, help: &'static str) -> Family {
    let unit = Some(Unit::Seconds);
    Family { name, unit, help }
}

impl Page<'_> {
    pub(super) fn counter(
        &mut self,
        family: &Family,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        let (unit, kind) = (family.unit.as_ref(), MetricType::Counter);
        let encoder = self
            .0
            .encode_descriptor(family.name, family.help, unit, kind)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// One counter for each set of labels.
    pub(super) fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let (unit, kind) = (family.unit.as_ref(), MetricType::Counter);
        let mut encoder = self
            .0
            .encode_descriptor(family.name, family.help, unit, kind)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub(super) fn gauge(&mut self, family: &Family, value: impl EncodeGaugeValue) -> fmt::Result {
        let (unit, kind) = (family.unit.as_ref(), MetricType::Gauge);
        let encoder = self
            .0
            .encode_descriptor(family.name, family.help, unit, kind)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// One gauge for each set of labels.
    pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let (unit, kind) = (family.unit.as_ref(), MetricType::Gauge);
        let mut encoder = self
            .0
            .encode_descriptor(family.name, family.help, unit, kind)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Figures {
    /// Of all workers.
    fn sum(&self, count: impl Fn(&WorkerMeters) -> u64) -> u64 {
        self.node.meters().iter().map(|meters| count(meters)).sum()
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let node = &*self.node;
        let kinds = EndpointKind::ALL;
        let open: u32 = kinds.into_iter().map(|kind| node.open_at(kind)).sum();
        page.counter(
            &family(
                "socket_connections",
                "WebSockets and Socket.IO sessions opened.",
            ),
            self.sum(WorkerMeters::opened),
        )?;
        page.gauge(
            &family(
                "socket_connections_active",
                "WebSockets and Socket.IO sessions open now.",
            ),
            open,
        )?;
        page.gauges(
            &family(
                "tidegate_websockets",
                "WebSockets and Socket.IO sessions open now, by the endpoint of their route.",
            ),
            kinds.map(|kind| ([("endpoint", kind.name())], node.open_at(kind))),
        )?;
        page.gauge(
            &family(
                "tidegate_connections",
                "Connections open now: WebSockets, and those that speak plain HTTP.",
            ),
            node.admission.admitted() as u64,
        )?;
        page.gauge(
            &family(
                "tidegate_connections_limit",
                "Connections that may be open (MAX_CONNECTIONS).",
            ),
            node.admission.connections_max() as u64,
        )
    }

    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counter(
            &family(
                "socket_messages_received",
                "Text and binary messages received on WebSockets and in Socket.IO sessions.",
            ),
            self.sum(|meters| meters.messages_received.get()),
        )?;
        page.counter(
            &family(
                "socket_messages_sent",
                "Text and binary messages given to WebSockets and Socket.IO sessions to send, to each receiver.",
            ),
            self.sum(|meters| meters.messages_sent.get()),
        )?;
        page.counter(
            &in_bytes(
                "socket_received",
                "Bytes received on all connections, after decryption.",
            ),
            self.sum(|meters| meters.turns.received_bytes.get()),
        )?;
        page.counter(
            &in_bytes(
                "socket_sent",
                "Bytes sent on all connections, before encryption.",
            ),
            self.sum(|meters| meters.turns.sent_bytes.get()),
        )?;
        page.gauge(
            &in_bytes(
                "socket_send_queue",
                "Bytes that wait in send queues for peers to read.",
            ),
            self.node.account().bytes() as u64,
        )
    }

    fn ends(&self, page: &mut Page<'_>) -> fmt::Result {
        let statuses = STATUSES.iter().enumerate();
        page.counters(
            &family(
                "socket_handshakes",
                "Opening handshakes and other requests to routes, by the status of the answer; 101 has opened a WebSocket.",
            ),
            statuses.map(|(at, status)| {
                let count = self.sum(|meters| meters.handshakes(at));
                ([("status", *status)], count)
            }),
        )?;
        let each = INITIATORS.iter().enumerate().flat_map(|(who, initiator)| {
            let codes = CODES.iter().enumerate();
            codes.map(move |(at, code)| ((who, *initiator), (at, *code)))
        });
        // Without a Close there is no code but the one that says so.
        let possible = each.filter(|((_, who), (_, code))| *who != "transport" || *code == "1006");
        page.counters(
            &family(
                "socket_closes",
                "WebSockets ended, by who ended them and the close code; 1005 is a Close without a code, 1006 no Close.",
            ),
            possible.map(|((who, initiator), (at, code))| {
                let count = self.sum(|meters| meters.closed(who, at));
                ([("initiator", initiator), ("code", code)], count)
            }),
        )?;
        let errors = |meters: &WorkerMeters| {
            let codes = (0..CODES.len()).filter(|code| meters::is_error(*code));
            let each = codes.flat_map(|code| (0..INITIATORS.len()).map(move |who| (who, code)));
            each.map(|(who, code)| meters.closed(who, code)).sum()
        };
        page.counter(
            &family(
                "socket_errors",
                "WebSockets ended by an error: of the protocol (1002, 1003, 1007, 1009, 1010), of a limit (1008, 1013), of the \
                 server or the network (1006, 1011, 1014).",
            ),
            self.sum(errors),
        )
    }

    fn limits(&self, page: &mut Page<'_>) -> fmt::Result {
        let tally = &self.node.tally;
        page.counter(
            &family(
                "socket_slow_consumers",
                "WebSockets dropped because their peers read too slowly.",
            ),
            tally.count(Limit::SendQueue),
        )?;
        page.counters(
            &family("tidegate_limits_reached", "How often a limit was reached."),
            Limit::ALL.map(|limit| ([("limit", limit.name())], tally.count(limit))),
        )?;
        page.counters(
            &family(
                "tidegate_gap_messages",
                "Times that a client came to miss messages and is told so: it read a room too slowly, or the way between the nodes was lost.",
            ),
            [
                ([("cause", "slow-reader")], self.sum(|meters| meters.gaps.get())),
                ([("cause", "cluster")], self.node.cluster_gaps()),
            ],
        )
    }

    fn workers(&self, page: &mut Page<'_>) -> fmt::Result {
        let node = &*self.node;
        let numbers: Vec<_> = (0..node.meters().len()).map(|n| n.to_string()).collect();
        let workers = || numbers.iter().map(String::as_str).zip(node.meters());
        page.gauge(
            &family("tidegate_workers", "Event loops."),
            numbers.len() as u64,
        )?;
        page.gauges(
            &family(
                "tidegate_worker_connections",
                "Connections of each event loop.",
            ),
            workers().enumerate().map(|(index, (worker, _))| {
                let connections = node.admission.assigned(index) as u64;
                ([("worker", worker)], connections)
            }),
        )?;
        page.counters(
            &in_seconds(
                "tidegate_worker_busy",
                "Time that each event loop has worked and not waited.",
            ),
            workers().map(|(worker, meters)| {
                (
                    [("worker", worker)],
                    meters.turns.turns.total().as_secs_f64(),
                )
            }),
        )?;
        let mut counts = [0; BOUNDS_US.len() + 1];
        for (_, meters) in workers() {
            for (sum, count) in counts.iter_mut().zip(meters.turns.turns.counts()) {
                *sum += count;
            }
        }
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6);
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        let total: Duration = workers()
            .map(|(_, meters)| meters.turns.turns.total())
            .sum();
        let Family { name, unit, help } = in_seconds(
            "tidegate_loop_turn",
            "Turns of all event loops, by the time that each took from its events to the end of what these brought.",
        );
        let mut encoder =
            page.0
                .encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        let none = None::<&HashMap<usize, Exemplar<NoLabelSet, f64>>>;
        encoder.encode_histogram(total.as_secs_f64(), counts.iter().sum(), &buckets, none)
    }

    fn gateway(&self, page: &mut Page<'_>) -> fmt::Result {
        let node = &*self.node;
        page.gauge(
            &family("tidegate_users", "Users with a connection at this node."),
            node.directory().len(Kind::User) as u64,
        )?;
        page.gauge(
            &family("tidegate_rooms", "Rooms with a member at this node."),
            node.directory().len(Kind::Room) as u64,
        )?;
        let each = PATHS.iter().enumerate().flat_map(|(at, path)| {
            let classes = CLASSES.iter().enumerate();
            classes.map(move |(class, status)| ((at, *path), (class, *status)))
        });
        page.counters(
            &family(
                "tidegate_http_requests",
                "Requests answered over plain HTTP, by path and class of status; those to routes are socket_handshakes_total.",
            ),
            each.map(|((at, path), (class, status))| {
                let count = self.sum(|meters| meters.answers(at, class));
                ([("path", path), ("status", status)], count)
            }),
        )?;
        page.gauge(
            &family(
                "tidegate_draining",
                "1 while the server goes away and sends its connections elsewhere.",
            ),
            u64::from(node.is_draining()),
        )?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauges(
            &family("tidegate_build_info", "1, with the version of the server."),
            [(version, 1_u64)],
        )
    }

    /// What there is to tell of Redis, where the node has one.
    fn redis(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(health) = self.node.cluster().map(Cluster::health) else {
            return Ok(());
        };
        page.gauges(
            &family(
                "tidegate_redis_link_up",
                "1 where publications leave for Redis (publisher), or those of other nodes come (listener).",
            ),
            [
                ([("link", "publisher")], u64::from(health.is_publishing)),
                ([("link", "listener")], u64::from(health.is_listening)),
            ],
        )?;
        page.gauge(
            &in_seconds(
                "tidegate_redis_round_trip",
                "Time of the last exchange with Redis.",
            ),
            Duration::from_micros(health.round_trip_us).as_secs_f64(),
        )?;
        page.gauge(
            &family(
                "tidegate_redis_queued_messages",
                "Publications that wait to leave for Redis.",
            ),
            health.queued,
        )?;
        page.counter(
            &family(
                "tidegate_redis_published",
                "Publications that Redis has taken.",
            ),
            health.published,
        )?;
        page.counter(
            &family(
                "tidegate_redis_received",
                "Publications that have come from Redis, also those of this node.",
            ),
            health.received,
        )?;
        page.gauge(
            &family(
                "tidegate_redis_registered",
                "1 where this node is in the registry of nodes.",
            ),
            u64::from(health.is_registered),
        )?;
        page.counter(
            &family(
                "tidegate_redis_swept_nodes",
                "Dead nodes that this one has cleared up after.",
            ),
            health.swept,
        )?;
        page.counter(
            &family(
                "tidegate_redis_dropped",
                "Publications that were lost on the way to Redis.",
            ),
            health.dropped,
        )
    }

    fn socketio(&self, page: &mut Page<'_>) -> fmt::Result {
        let node = &*self.node;
        let polling = node.polling();
        page.gauges(
            &family(
                "tidegate_socketio_sessions",
                "Engine.IO sessions, by what carries them.",
            ),
            [
                ([("transport", "polling")], polling),
                (
                    [("transport", "websocket")],
                    node.sessions().saturating_sub(polling),
                ),
            ],
        )?;
        page.counter(
            &family(
                "tidegate_socketio_upgrades",
                "Engine.IO sessions that have changed from long-polling to a WebSocket.",
            ),
            self.sum(|meters| meters.socketio_upgrades.get()),
        )?;
        let codes: [_; REFUSALS] = std::array::from_fn(|code| code.to_string());
        page.counters(
            &family(
                "tidegate_socketio_refused",
                "Requests of Engine.IO that were refused, by the code of the answer: 0 unknown transport, 1 unknown session, 2 bad \
                 handshake method, 3 bad request, 4 forbidden, 5 unsupported version.",
            ),
            codes.iter().enumerate().map(|(code, name)| {
                let refused = self.sum(|meters| meters.refused(code));
                ([("code", name.as_str())], refused)
            }),
        )
    }

    /// What there is to tell of Socket.IO servers, where rooms are shared with some.
    fn neighbours(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(neighbours) = self.node.neighbours() else {
            return Ok(());
        };
        let health = neighbours.health();
        page.gauges(
            &family(
                "tidegate_socketio_servers_link_up",
                "1 where messages leave for Socket.IO servers in Redis (publisher), or theirs come (listener).",
            ),
            [
                ([("link", "publisher")], u64::from(health.is_publishing)),
                ([("link", "listener")], u64::from(health.is_listening)),
            ],
        )?;
        page.counters(
            &family(
                "tidegate_socketio_servers_messages",
                "Messages for Socket.IO servers that Redis has taken (published) or that were lost on the way (dropped), and those that \
                 have come, also of this node and its like (received), some of which meant nothing (refused).",
            ),
            [
                ([("what", "published")], health.published),
                ([("what", "dropped")], health.dropped),
                ([("what", "received")], health.received),
                ([("what", "refused")], neighbours.refused()),
            ],
        )
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let process = &self.process;
        page.counter(
            &in_seconds("process_cpu", "CPU time that the process has used."),
            process.cpu.as_secs_f64(),
        )?;
        page.gauge(
            &in_seconds("process_start_time", "Start of the process since 1970."),
            process.started_at.as_secs_f64(),
        )?;
        page.gauge(
            &in_bytes("process_resident_memory", "Memory of the process in RAM."),
            process.resident_bytes,
        )?;
        page.gauge(
            &in_bytes("process_virtual_memory", "Address space of the process."),
            process.virtual_bytes,
        )?;
        page.gauge(
            &family("process_open_fds", "Open file descriptors."),
            process.descriptors,
        )?;
        page.gauge(
            &family("process_max_fds", "File descriptors that may be open."),
            process.descriptors_max,
        )
    }
}
