//! Settings in the terms of the floors below.

use std::sync::Arc;
use std::time::Duration;

use super::redis_tls::read;
use crate::auth::token::TokenPolicy;
use crate::backend::{BackendConfig, BreakerLimits, ClientConfig};
use crate::gateway::{
    AddressLimits, BackendPolicy, EndpointKind, GatewayConfig, LIVE_PATH, Route, SocketIoConfig,
};
use crate::reactor::Limits;
use crate::server::settings::{BackendSettings, Settings};
use crate::socketio::{engine, socket};
use crate::websocket::codec;
use crate::websocket::extension::DeflatePolicy;

/// The gateway's part.
pub(super) fn gateway(settings: &Settings, tokens: Option<Arc<TokenPolicy>>) -> GatewayConfig {
    let compression = settings.compression;
    let live = Route {
        path: LIVE_PATH.to_owned(),
        endpoint: EndpointKind::Dashboard,
    };
    GatewayConfig {
        routes: settings.routes.iter().cloned().chain([live]).collect(),
        origins: settings.allowed_origins.clone(),
        proxies: settings.trusted_proxies.clone(),
        subprotocols: settings.subprotocols.clone(),
        deflate: compression.enabled.then_some(DeflatePolicy {
            context_takeover: compression.context_takeover,
            window_bits_max: compression.window_bits,
        }),
        codec: codec::Config {
            message_bytes_max: settings.message_bytes_max,
            compression_bytes_min: compression.threshold_bytes,
            compression_level: compression.level,
        },
        handshake_timeout: settings.handshake_timeout,
        heartbeat_interval: Some(settings.heartbeat_interval)
            .filter(|interval| !interval.is_zero()),
        heartbeat_timeout: settings.heartbeat_timeout,
        close_timeout: settings.close_timeout,
        tokens,
        is_auth_required: settings.tokens.is_required,
        api_key: settings.api_key.clone(),
        cors: settings.cors.clone(),
        name_chars_max: settings.name_chars_max,
        rooms_per_connection_max: settings.rooms_per_connection_max,
        rate: settings.rate,
        room_policies: Arc::new(settings.room_policies.clone()),
        connections_per_user_max: settings.connections_per_user_max,
        may_clients_broadcast: settings.may_clients_broadcast,
        has_demo_page: settings.has_demo_page,
        socketio: socketio(settings),
    }
}

/// What concerns Socket.IO. A payload is a message too, and has its limit.
fn socketio(settings: &Settings) -> SocketIoConfig {
    let socketio = &settings.socketio;
    let payload_bytes_max = socketio.payload_bytes_max.min(settings.message_bytes_max);
    // The settings allow no longer time than fits.
    let milliseconds = |time: Duration| time.as_millis() as u32;
    SocketIoConfig {
        engine: engine::Config {
            ping_interval_ms: milliseconds(socketio.ping_interval),
            ping_timeout_ms: milliseconds(socketio.ping_timeout),
            upgrade_timeout_ms: milliseconds(socketio.upgrade_timeout),
            payload_bytes_max,
            queue_bytes_max: settings.send_queue_soft_bytes_max,
            allows_upgrades: true,
        },
        sockets: socket::Config {
            connect_timeout_ms: milliseconds(socketio.connect_timeout),
            binary_bytes_max: payload_bytes_max,
            ..socket::Config::default()
        },
        namespaces: socketio.namespaces.as_slice().into(),
        queues_bytes_max: settings.send_queue_total_bytes_max,
        is_conformance: socketio.is_conformance,
    }
}

/// The way to the back end of the node of that name.
///
/// # Errors
/// The file that cannot be used, and why.
pub(super) fn backend(settings: &BackendSettings, node: &str) -> Result<BackendConfig, String> {
    let url = match &settings.roots {
        Some(path) => settings
            .url
            .clone()
            .with_roots(read("BACKEND_TLS_CA", path)?),
        None => settings.url.clone(),
    };
    Ok(BackendConfig {
        client: ClientConfig {
            url,
            secrets: settings.secrets.clone(),
            mode: settings.mode,
            source: format!("/tidegate/{node}").into(),
        },
        concurrency: settings.concurrency,
        queue: settings.queue,
        breaker: BreakerLimits::default(),
    })
}

/// What the back end is told of.
pub(super) fn backend_policy(settings: &BackendSettings) -> BackendPolicy {
    BackendPolicy {
        events: settings.events.clone(),
        endpoints: settings.endpoints.clone(),
        headers: settings.headers.clone(),
        debounce: settings.disconnect_delay,
        farewell: settings.queue.time_limit,
    }
}

/// What one client address may have.
pub(super) fn per_address(settings: &Settings) -> AddressLimits {
    AddressLimits {
        connections_max: settings.connections_per_address_max,
        rate_max: settings.connection_rate_per_address_max,
        burst: settings.rate.burst,
    }
}

/// The loop's part.
pub(super) fn limits(settings: &Settings) -> Limits {
    Limits {
        send_queue_soft_bytes_max: settings.send_queue_soft_bytes_max,
        send_queue_hard_bytes_max: settings.send_queue_hard_bytes_max,
        send_queue_total_bytes_max: settings.send_queue_total_bytes_max,
        send_queue_soft_for: settings.send_queue_soft_for,
        close_timeout: settings.close_timeout,
        ..Limits::default()
    }
}
