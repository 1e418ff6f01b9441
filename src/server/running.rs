//! The running server: its threads, its signals, its reload and its farewell.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::acceptor::{Acceptor, AcceptorConfig, AcceptorDesk};
use super::listeners::Listener;
use super::settings::{
    Arguments, BackendSettings, ListenAddress, Loaded, Settings, reloadable_changes,
};
use super::{StartError, logging, process, redis_tls, tls_files, token_keys, translate};
use crate::backend::Backend;
use crate::broker::Keeper;
use crate::broker::redis::{RedisBroker, Relays};
use crate::gateway::{
    Admission, Behind, Cluster, DASHBOARDS_MAX, GatewayConfig, GatewaySession, Mail, Neighbours,
    NeighboursConfig, Node, Recovery, RecoveryConfig, RecoveryOrder, SCRAPES_MAX, Shard,
    serve_dashboards, serve_departures, serve_recovery, serve_scrapes,
};
use crate::reactor::{Clock, Command, Mailbox, Reactor};
use crate::timestamp;

/// Items that may wait for one worker.
const MAIL_ITEMS_MAX: usize = 64 * 1024;
/// The worker whose loop accepts connections for all.
const ACCEPTING_WORKER: usize = 0;
/// Of the drain period: `/health` says 503 while new connections are still taken, then connections are sent away, and
/// what is left is for their last words.
const GRACE_SHARE: f64 = 0.05;
const GRACE_MAX: Duration = Duration::from_secs(1);
const FAREWELL_SHARE: f64 = 0.65;
/// What is left at this share of the time is dropped: the process ends within the period, not at its end.
const LAST_WORDS_SHARE: f64 = 0.97;

type WorkerMailbox = Arc<Mailbox<Command<GatewaySession>>>;

/// Every thread of the server, and the ways to them.
#[derive(Debug)]
struct Server {
    node: Arc<Node>,
    workers: Vec<WorkerMailbox>,
    acceptor: Arc<AcceptorDesk>,
    loaded: Loaded,
    farewell: Farewell,
}

/// The threads that serve.
struct Threads {
    workers: Vec<JoinHandle<()>>,
    /// Ends with the acceptor: nothing is ever sent.
    acceptor_stopped: mpsc::Receiver<Infallible>,
}

/// Ends the process when the thread that holds it panics: a server is never half alive.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// The farewell: when it began, and how long it may take.
type Farewell = Arc<OnceLock<(Instant, Duration)>>;

/// See [`super::run`].
pub(super) fn run(loaded: Loaded, arguments: &Arguments) -> Result<(), StartError> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(StartError::System)?;
    let (mut server, threads) = start(loaded)?;
    let handle = signals.handle();
    let (workers, farewell) = (server.workers.clone(), Arc::clone(&server.farewell));
    let waiter = spawn("farewell", move || {
        see_off(threads, &workers, &farewell);
        handle.close();
    })?;
    let mut is_draining = false;
    for signal in signals.forever() {
        match signal {
            SIGHUP if is_draining => log::warn!("not reloaded: the server is going away"),
            SIGHUP => server.reload(arguments),
            _ if is_draining => {
                log::warn!("a second signal: stopping at once");
                return Err(StartError::Interrupted);
            }
            _ => {
                is_draining = true;
                server.drain();
            }
        }
    }
    waiter.join().map_err(|_| StartError::Interrupted)?;
    let behind = server.node.behind();
    let is_told = behind.is_none_or(|behind| behind.finish(&server.node));
    server.node.lose_clients();
    if let Some(cluster) = server.node.cluster() {
        if is_told {
            cluster.leave();
        } else {
            log::info!("the other nodes tell the back end who has gone");
        }
    }
    log::info!("stopped");
    Ok(())
}

/// Waits for the acceptor to stop, so that nobody comes in any more; then has the workers send everyone away.
fn see_off(threads: Threads, workers: &[WorkerMailbox], farewell: &Farewell) {
    // Which is an error here: the other end is gone.
    let _ = threads.acceptor_stopped.recv();
    if let Some((begun, period)) = farewell.get() {
        let left = period.saturating_sub(begun.elapsed());
        for worker in workers {
            let over = left.mul_f64(FAREWELL_SHARE);
            let within = left.mul_f64(LAST_WORDS_SHARE);
            deliver(worker, Command::Drain(over, within));
        }
    }
    threads.workers.into_iter().for_each(join);
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        std::process::abort();
    }
}

fn start(loaded: Loaded) -> Result<(Server, Threads), StartError> {
    let settings = &loaded.settings;
    let tls = settings
        .tls
        .as_ref()
        .map(tls_files::load)
        .transpose()
        .map_err(StartError::Tls)?;
    let tokens = token_keys::load(&settings.tokens).map_err(StartError::Tokens)?;
    let listeners = listen(&settings.listen)?;
    let names: Vec<_> = listeners
        .iter()
        .map(|listener| listener.name(tls.is_some()))
        .collect();
    let admission = Admission::new(
        settings.workers,
        settings.connections_max,
        translate::per_address(settings),
    );
    let node = Arc::new(Node::new(settings.workers, admission));
    let config = translate::gateway(settings, tokens.map(Arc::new));
    let neighbours = surround(&node, settings, &config)?;
    tell_operators(&node)?;
    let mut reactors = reactors(settings, config, &node)?;
    let workers = introduce(&mut reactors);
    let acceptor_config = AcceptorConfig {
        proxies: settings.trusted_proxies.clone(),
        tls,
    };
    let desk = Arc::new(AcceptorDesk::new(Arc::clone(&workers[ACCEPTING_WORKER])));
    let (stopped, acceptor_stopped) = mpsc::channel();
    let acceptor = Acceptor::new(
        listeners,
        acceptor_config,
        Arc::clone(&node),
        workers.clone(),
        ACCEPTING_WORKER,
        Arc::clone(&desk),
        stopped,
    );
    reactors[ACCEPTING_WORKER]
        .set_intake(Box::new(acceptor))
        .map_err(StartError::System)?;
    let freed = Arc::clone(&desk);
    node.connect(workers.clone(), move || freed.descriptor_freed());
    meet(&node, neighbours)?;
    let worker_threads = reactors
        .into_iter()
        .enumerate()
        .map(|(worker, reactor)| serve(format!("worker-{worker}"), move || reactor.run()))
        .collect::<Result<_, _>>()?;
    let threads = Threads {
        workers: worker_threads,
        acceptor_stopped,
    };
    for name in names {
        log::info!("listening on {name}");
    }
    let farewell = Farewell::default();
    Ok((
        Server {
            node,
            workers,
            acceptor: desk,
            loaded,
            farewell,
        },
        threads,
    ))
}

/// Tells the node of the others, and of the back end. Gives what [`connect`] does.
fn surround(
    node: &Arc<Node>,
    settings: &Settings,
    config: &GatewayConfig,
) -> Result<Neighbourhood, StartError> {
    let orders = recover(node, settings, config);
    let (neighbours, keeper) = connect(node, settings, config)?;
    if let Some(orders) = orders {
        let of = Arc::downgrade(node);
        spawn("recovery", move || serve_recovery(&of, &orders, keeper))?;
    }
    if let Some(backend) = &settings.backend {
        node.set_behind(behind(node, backend)?);
        let of = Arc::downgrade(node);
        spawn("departures", move || serve_departures(&of))?;
    }
    Ok(neighbours)
}

/// Has clients of Socket.IO be recovered, where they may; gives what the thread is to do that keeps what they need.
fn recover(
    node: &Arc<Node>,
    settings: &Settings,
    config: &GatewayConfig,
) -> Option<mpsc::Receiver<RecoveryOrder>> {
    let (window, is_shared) = (settings.socketio.recovery, settings.cluster.is_some());
    let config = RecoveryConfig::of(&config.socketio, window, is_shared)?;
    let (sender, orders) = mpsc::channel();
    Recovery::enter(node, config, sender);
    Some(orders)
}

/// What is agreed on with Socket.IO servers, and the way to them, where rooms are shared with some.
type Neighbourhood = Option<(NeighboursConfig, Relays)>;

/// Begins to connect to the other nodes, where there may be some; they need not be there. Gives what is agreed on with Socket.IO
/// servers, and the way to them, where rooms are shared with some; and what keeps for all nodes.
fn connect(
    node: &Arc<Node>,
    settings: &Settings,
    config: &GatewayConfig,
) -> Result<(Neighbourhood, Option<Box<dyn Keeper>>), StartError> {
    let Some(cluster) = &settings.cluster else {
        return Ok((None, None));
    };
    let server = redis_tls::server(cluster).map_err(StartError::RedisTls)?;
    let mut relays = None;
    let mut keeper = None;
    let start = |identity, inbox| {
        let broker = RedisBroker::start(server, identity, inbox).map_err(StartError::System)?;
        relays = Some(broker.relays());
        keeper = Some(Box::new(broker.keeper()) as Box<dyn Keeper>);
        Ok(broker)
    };
    node.enter(Cluster::join(node, &cluster.prefix, config.codec, start)?);
    let neighbours = cluster.socketio_key.clone().map(|key| NeighboursConfig {
        key,
        prefix: cluster.prefix.clone(),
        namespaces: config
            .socketio
            .further_namespaces()
            .map(str::to_owned)
            .collect(),
        codec: config.codec,
    });
    Ok((neighbours.zip(relays), keeper))
}

/// Begins to share rooms with Socket.IO servers.
fn meet(node: &Arc<Node>, neighbours: Neighbourhood) -> Result<(), StartError> {
    let Some((config, relays)) = neighbours else {
        return Ok(());
    };
    let start = |subscriptions, ear| relays.start(subscriptions, ear);
    Neighbours::meet(node, &config, start).map_err(StartError::System)
}

/// The way to the back end; it need not be there.
fn behind(node: &Arc<Node>, settings: &BackendSettings) -> Result<Behind, StartError> {
    let config = translate::backend(settings, node.name()).map_err(StartError::Backend)?;
    let policy = translate::backend_policy(settings);
    let start = |inbox| Backend::start(config, inbox);
    Behind::start(node, policy, start).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => StartError::Backend(error.to_string()),
        _ => StartError::System(error),
    })
}

/// The threads that answer requests for metrics, and tell dashboards. They end with the node.
fn tell_operators(node: &Arc<Node>) -> Result<(), StartError> {
    let started_at = timestamp::since_1970();
    let (sender, scrapes) = mpsc::sync_channel(SCRAPES_MAX);
    node.set_scrapes(sender);
    let of = Arc::downgrade(node);
    spawn("metrics", move || {
        serve_scrapes(&of, &scrapes, || process::figures(started_at));
    })?;
    let (sender, arrivals) = mpsc::sync_channel(DASHBOARDS_MAX as usize);
    node.set_dashboards(sender);
    let of = Arc::downgrade(node);
    spawn("dashboard", move || {
        serve_dashboards(&of, &arrivals, || process::figures(started_at));
    })?;
    Ok(())
}

/// One reactor a worker, on one clock.
fn reactors(
    settings: &Settings,
    config: GatewayConfig,
    node: &Arc<Node>,
) -> Result<Vec<Reactor<GatewaySession>>, StartError> {
    let config = Arc::new(config);
    let clock = Clock::start();
    let reactor = |worker| {
        let shard = Shard::new(worker, Arc::clone(&config), Arc::clone(node));
        let mut reactor = Reactor::new(shard, translate::limits(settings), clock, MAIL_ITEMS_MAX)
            .map_err(StartError::System)?;
        reactor.set_account(Arc::clone(node.account()));
        reactor.set_meters(Arc::clone(&node.meters()[worker].turns));
        Ok(reactor)
    };
    (0..settings.workers).map(reactor).collect()
}

/// Tells the reactors of each other, and gives their mailboxes.
fn introduce(reactors: &mut [Reactor<GatewaySession>]) -> Vec<WorkerMailbox> {
    let workers: Vec<_> = reactors.iter().map(Reactor::mailbox).collect();
    for reactor in reactors {
        reactor.set_workers(workers.clone());
    }
    workers
}

/// Binds every address, or none.
fn listen(addresses: &[ListenAddress]) -> Result<Vec<Listener>, StartError> {
    let bind = |address: &ListenAddress| {
        Listener::bind(address).map_err(|error| StartError::Listen(address.to_string(), error))
    };
    addresses.iter().map(bind).collect()
}

/// A thread without which nothing can be served: its failure ends the process.
fn serve(
    name: String,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    spawn(&name.clone(), move || {
        if let Err(error) = work() {
            log::error!("{name} cannot go on: {error}");
            log::logger().flush();
            std::process::abort();
        }
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _guard = EndOnPanic;
            work();
        })
        .map_err(StartError::System)
}

impl Server {
    /// SIGHUP: reads the settings again and gives out what can be changed while running. Wrong settings change nothing.
    fn reload(&mut self, arguments: &Arguments) {
        let loaded = match Settings::load(arguments) {
            Ok(loaded) => loaded,
            Err(error) => return log::error!("not reloaded: {error}"),
        };
        let tls = match loaded
            .settings
            .tls
            .as_ref()
            .map(tls_files::load)
            .transpose()
        {
            Ok(tls) => tls,
            Err(error) => return log::error!("not reloaded: {error}"),
        };
        let tokens = match token_keys::load(&loaded.settings.tokens) {
            Ok(tokens) => tokens,
            Err(error) => return log::error!("not reloaded: {error}"),
        };
        for change in reloadable_changes(&self.loaded, &loaded) {
            log::info!("{change}");
        }
        self.loaded = self.loaded.reloaded(&loaded);
        let settings = &self.loaded.settings;
        let config = AcceptorConfig {
            proxies: settings.trusted_proxies.clone(),
            tls,
        };
        self.acceptor.configure(config);
        let admission = &self.node.admission;
        admission.set_limits(settings.connections_max, translate::per_address(settings));
        let config = Arc::new(translate::gateway(settings, tokens.map(Arc::new)));
        for worker in &self.workers {
            deliver(worker, Command::Limits(translate::limits(settings)));
            deliver(worker, Command::Mail(Mail::Configure(Arc::clone(&config))));
        }
        logging::set_level(settings.log.level);
        log::info!("reloaded");
    }

    /// SIGTERM: `/health` says so first, then nobody is let in, then everyone is sent away, paced.
    fn drain(&self) {
        let period = self.loaded.settings.drain_period;
        // Before the log says so: who reads the log may ask `/health`.
        self.node.begin_draining();
        let connections = self.node.admission.admitted();
        log::info!(
            "draining {connections} connections within {} s",
            period.as_secs_f64()
        );
        self.farewell.get_or_init(|| (Instant::now(), period));
        let grace = period.mul_f64(GRACE_SHARE).min(GRACE_MAX);
        self.acceptor.stop_after(grace);
    }
}

/// Puts a command in, waiting for room: these threads have nothing else to do.
fn deliver<M>(mailbox: &Mailbox<M>, command: M) {
    let mut command = command;
    while let Err(refused) = mailbox.send(command) {
        command = refused;
        thread::sleep(Duration::from_millis(1));
    }
}
