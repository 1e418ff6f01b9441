//! Limits that no setting changes, unit last.

use std::time::Duration;

/// Bytes of an HTTP request head, its empty line included; beyond it 431.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header fields of an HTTP request; beyond it 431.
pub const HEADERS_MAX: usize = 64;
/// Bytes of a request method; beyond it the first line is no HTTP. The longest registered one has 17.
pub const METHOD_BYTES_MAX: usize = 32;
/// Empty lines in front of a request line (RFC 9112 section 2.2); beyond it 400.
pub const LEADING_EMPTY_LINES_MAX: usize = 4;
/// Bytes of all chunk extensions of one body; beyond it 400.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 1024;
/// Bytes of the trailer section of one body; beyond it 431.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;
/// Subprotocols that one handshake may offer; beyond it 400. Bounds the search for repeated ones.
pub const SUBPROTOCOLS_OFFERED_MAX: usize = 32;
/// Payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;
/// Time from the first byte of a message to its last; beyond it 1008.
pub const MESSAGE_AGE_MAX: Duration = Duration::from_secs(120);
/// Frames of one message; beyond it 1008. Autobahn's 9.5.1 sends 65,536.
pub const FRAMES_PER_MESSAGE_MAX: u32 = 131_072;
/// Empty non-final frames of one message; beyond it 1008.
pub const EMPTY_FRAMES_PER_MESSAGE_MAX: u32 = 1_024;
/// Event-loop threads of a process.
pub const WORKERS_MAX: u64 = 256;
/// Connections that a setting may ask for; also the default where the open-file limit is higher.
pub const CONNECTIONS_MAX: u64 = 4_000_000;
/// File descriptors kept for all that is no connection: listeners, logs, pipes, links to other services.
pub const OPEN_FILES_RESERVE: u64 = 64;
/// Refused connections that wait for their answer at one time; beyond it they are dropped without one. They live on the
/// reserve, and must leave most of it alone.
pub const REFUSALS_MAX: usize = 32;
const _: () = assert!(2 * REFUSALS_MAX as u64 <= OPEN_FILES_RESERVE);
/// File descriptors kept for each worker: its poll, its waker, its alarm, and one connection being refused.
pub const OPEN_FILES_RESERVE_PER_WORKER: u64 = 4;
/// Addresses that one process listens on, names resolved.
pub const LISTEN_ADDRESSES_MAX: usize = 64;
/// Rows of the route table.
pub const ROUTES_MAX: usize = 256;
/// Bytes of `tidegate.toml` and of `.env`.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;
/// Log lines that wait for the log thread; beyond it lines are dropped and counted.
pub const LOG_QUEUE_LINES_MAX: usize = 8_192;
/// While lines come the log thread rests for this time between two writes: many lines go out in one, and whoever logs them
/// need not wake it. A line that comes alone goes out at once.
pub const LOG_REST: Duration = Duration::from_millis(20);
/// Bytes of the message of a log line, escaped; the rest is cut.
pub const LOG_MESSAGE_BYTES_MAX: usize = 4_096;
/// Bytes of one value of a log line, escaped; the rest is cut.
pub const LOG_VALUE_BYTES_MAX: usize = 1_024;
/// Bytes that the log thread writes at once.
pub const LOG_BATCH_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the reason in a Close frame: a control payload less the code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;
/// Capacity of the assembly buffer that an unfinished message starts with.
pub const ASSEMBLY_SMALL_BYTES: usize = 2 * 1024;
/// Unused assembly buffers of `ASSEMBLY_SMALL_BYTES` that a codec keeps.
pub const ASSEMBLY_SMALL_POOLED_MAX: usize = 256;
/// Unused larger assembly buffers that a codec keeps.
pub const ASSEMBLY_LARGE_POOLED_MAX: usize = 32;
/// Bytes of all unused larger assembly buffers that a codec keeps.
pub const ASSEMBLY_LARGE_POOLED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many times what has arrived of a message its buffer may measure, where more is announced.
pub const ASSEMBLY_GROWTH_FACTOR_MAX: usize = 8;
/// Unused states of unfinished frames that a codec keeps.
pub const PARTIALS_POOLED_MAX: usize = 256;
/// Bytes of a message that must have arrived, and of its frame that must be missing, before the rest may be read
/// straight into its assembly buffer.
pub const DIRECT_READ_BYTES_MIN: usize = 16 * 1024;
/// Bytes of a message that is moved to follow the reply in front of it: one more slice costs the kernel more than the
/// longer way of such a message.
pub const CLOSE_UP_BYTES_MAX: usize = 2 * 1024;
/// Bytes that are inflated before the limit and the UTF-8 are checked again.
pub const INFLATE_STEP_BYTES: usize = 64 * 1024;
/// Scratch space that a codec keeps although no recent message needed it.
pub const SCRATCH_IDLE_BYTES_MAX: usize = 64 * 1024;
/// Inflated messages after which the scratch space is measured against what they needed.
pub const SCRATCH_REVIEW_MESSAGES: u32 = 256;
/// Bytes of publications that wait to leave for other nodes; beyond it they are dropped, and counted.
pub const BROKER_QUEUE_BYTES_MAX: u64 = 64 << 20;
/// Messages to Socket.IO servers that leave in one go.
pub const RELAY_PIPELINE_MAX: usize = 1_024;
/// Time in which Redis has to answer anything; beyond it the link is taken for lost.
pub const BROKER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which a node that says nothing is dead to the others.
pub const NODE_EXPIRY: Duration = Duration::from_secs(5);
/// A node says so often that it is alive, and looks whether the others are.
pub const NODE_BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Time in which a node that clears up after a dead one has to go on with it; beyond it another may.
pub const SWEEP_LEASE: Duration = Duration::from_secs(5);
/// Time in which a node that goes has to leave the registry; beyond it the others do it.
pub const REGISTRY_LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Changes that wait to get into the registry; beyond it they are dropped, and everything is written anew.
pub const REGISTRY_NOTES_MAX: usize = 65_536;
/// Time in which other nodes have to say how many connections got a message; who has not by then is told of as such.
pub const CLUSTER_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Arrays and objects within each other in the JSON of a Socket.IO packet; beyond it the session ends. Readers in many languages
/// recurse.
pub const JSON_DEPTH_MAX: u32 = 128;
/// Binary attachments of one Socket.IO packet; beyond it the session ends.
pub const SOCKETIO_ATTACHMENTS_MAX: u8 = 10;
/// Bytes of the name of a Socket.IO namespace; beyond it the session ends.
pub const SOCKETIO_NAMESPACE_BYTES_MAX: usize = 255;
/// Namespaces that one Socket.IO session is in or asks for; beyond it the session ends.
pub const SOCKETIO_NAMESPACES_MAX: usize = 64;
/// Acknowledgements that one Socket.IO session may owe; beyond it nothing more is asked of it.
pub const SOCKETIO_ACKS_MAX: usize = 1_024;
/// Time that an Engine.IO session which ends in good order waits for the request that carries its last packets, milliseconds.
pub const ENGINE_CLOSE_TIMEOUT_MS: u32 = 30_000;
/// Packets in the answer to one GET of an Engine.IO session, unless it is the last; the others wait for the next. Clients in Python take
/// no more.
pub const ENGINE_PAYLOAD_PACKETS_MAX: usize = 16;
/// Messages of one POST of an Engine.IO session that are read in one turn of the loop; the others wait for the next.
pub const ENGINE_POST_MESSAGES_MAX: usize = 512;
/// Packets without a message one behind the other in one POST of an Engine.IO session; beyond it the session ends.
pub const ENGINE_EMPTY_PACKETS_MAX: usize = 1_000;
/// Times that a connection is handed over for one request; beyond it the answer is 503.
pub const HAND_OVERS_MAX: u8 = 2;
/// While an Engine.IO session is about to change to its WebSocket, waiting requests are answered so often, milliseconds.
pub const ENGINE_NOOP_INTERVAL_MS: u32 = 100;
/// Bytes of the body of an answer of the back end.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of the head of an answer of the back end.
pub const ANSWER_HEAD_BYTES_MAX: usize = 16 << 10;
/// Rooms that one answer of the back end may name.
pub const ROOMS_PER_ANSWER_MAX: usize = 1_000;
/// Messages that one answer of the back end may send and publish.
pub const SENDS_PER_ANSWER_MAX: usize = 1_000;
/// Bytes of what a back end wants remembered of a connection, as JSON.
pub const METADATA_BYTES_MAX: usize = 16 << 10;
/// Disconnects that wait to reach the back end, whatever the policy; beyond it they are lost, and counted.
pub const DISCONNECTS_MAX: usize = 100_000;
/// Bytes of all disconnects that wait to reach the back end; beyond it they are lost, and counted.
pub const DISCONNECT_BYTES_MAX: usize = 64 << 20;
/// How long a back end may ask to be left alone with an event that is tried again; what it asks beyond is cut.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Bytes of a message of Socket.IO nodes; beyond it no notice is taken of it.
pub const ADAPTER_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Rooms, exceptions or sockets in one list of a message of Socket.IO nodes; beyond it no notice is taken of it.
pub const ADAPTER_LIST_MAX: usize = 65_536;
/// Bytes of the name of a room, a socket, a node or a request in messages of Socket.IO nodes; beyond it no notice is taken
/// of it.
pub const ADAPTER_NAME_BYTES_MAX: usize = 1_024;
/// Sockets that a node tells of in one answer to other Socket.IO servers; the others it leaves out.
pub const NEIGHBOUR_SOCKETS_MAX: usize = 16_384;
/// Names of rooms and sockets in such an answer; the others it leaves out.
pub const NEIGHBOUR_NAMES_MAX: usize = 65_536;
/// Bytes of names in such an answer, near enough; what is beyond it is left out as well.
pub const NEIGHBOUR_ANSWER_BYTES_MAX: usize = 8 << 20;
/// Broadcasts of other Socket.IO servers whose clients one worker still waits for; what comes beyond it nobody is asked.
pub const NEIGHBOUR_QUESTIONS_MAX: usize = 4_096;
/// Time that clients have for their answers to such a broadcast at most, milliseconds.
pub const NEIGHBOUR_ANSWER_MS_MAX: u32 = 600_000;
/// Time that clients have for their answers to a back end at most, milliseconds. Less than proxies wait.
pub const CLIENT_ANSWER_MS_MAX: u16 = 60_000;
/// Bytes of such answers to one question, near enough; what is beyond it is left out.
pub const CLIENT_ANSWERS_BYTES_MAX: usize = 8 << 20;
/// Bytes of such answers that a node tells another, near enough: as many as a message may have. Redis drops who is sent too much at once.
pub const NODE_ANSWERS_BYTES_MAX: usize = 1 << 20;
/// Calls of back ends at one worker that wait for clients; beyond it they are refused.
pub const CLIENT_QUESTIONS_MAX: usize = 4_096;
/// Workers of all nodes that an offset of Socket.IO tells of; beyond it events have none, and their clients are not recovered.
pub const RECOVERY_ORIGINS_MAX: usize = 2_048;
/// Bytes of an offset that a client shows; beyond it the client is not recovered.
pub const RECOVERY_OFFSET_BYTES_MAX: usize = 64 * 1024;
/// Publications to one group that are kept for Socket.IO clients who come back; beyond it the oldest is dropped, and who has not
/// seen it is not recovered.
pub const RECOVERY_ENTRIES_MAX: usize = 1_000;
/// Bytes of all publications that are kept so in the process; beyond it the oldest are dropped.
pub const RECOVERY_BYTES_MAX: usize = 64 << 20;
/// Bytes of publications that wait to be kept so; what is beyond it is not, and nobody is recovered to whom it might have been.
pub const RECOVERY_QUEUE_BYTES_MAX: u64 = 64 << 20;
/// Socket.IO clients of a node that were lost and may come back; beyond it the first of them are forgotten, and in Redis the next.
pub const RECOVERY_SESSIONS_MAX: usize = 100_000;
/// Time for which who comes back before it is known to be lost is waited with, milliseconds.
pub const RECOVERY_CLAIM_MS_MAX: u32 = 500;
/// Bytes that are put aside for a client while what it has missed is looked for; beyond it the client is not recovered.
pub const RECOVERY_HELD_BYTES_MAX: usize = 1 << 20;
/// Bytes of publications that are kept in Redis as one entry; of what is larger only who published it is, and clients that have not
/// seen it are not recovered.
pub const RECOVERY_ENTRY_BYTES_MAX: usize = 64 << 10;
/// What is known in Redis of clients that may come back is renewed so often, milliseconds; where a node dies it is there for up to
/// three times as long beyond the time in which they may.
pub const RECOVERY_RENEWAL_MS: u32 = 10_000;
/// Time in which a node that goes has to write which clients it has lost.
pub const RECOVERY_LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time that it takes at most from a client's coming back in time to finding what it has missed.
pub const RECOVERY_TIME_MAX: Duration = Duration::from_secs(10);
/// Socket.IO clients that are back and wait for who they were; whoever comes beyond that is somebody new.
pub const RECOVERY_ATTEMPTS_MAX: u64 = 100_000;
