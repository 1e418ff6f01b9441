//! `deploy/docker` and `deploy/compose` without a container engine: by hadolint, docker-compose, the schema of Compose, nginx,
//! promtool and the server itself, and by rules of our own.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use common::deployed::{effective, file, mebibytes, seconds, told, yaml};
use common::peer::{deploy_checker, program};
use common::prometheus::promtool;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde_json::Value;

const DOCKERFILE: &str = "deploy/docker/Dockerfile";
const COMPOSE: &str = "deploy/compose/compose.yaml";
const SECRETS: [&str; 3] = ["API_KEY", "REDIS_PASSWORD", "GRAFANA_PASSWORD"];
const SECRET: &str = "0123456789abcdef";
/// Files of a process beside those of its connections, with room.
const FILES_BESIDE: u64 = 512;

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

// ---- Dockerfile

/// The instructions of the Dockerfile with their arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read(DOCKERFILE).replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once(' ').expect("an argument"));
    pairs
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// The one argument of an instruction of the last stage.
fn last_stage(name: &str) -> String {
    let all = instructions();
    let last = all.iter().rposition(|(name, _)| name == "FROM");
    let stage = &all[last.expect("a stage")..];
    let mut found = stage.iter().filter(|(is, _)| is == name);
    let one = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} twice");
    one.1.clone()
}

#[test]
fn hadolint_finds_no_fault() {
    let hadolint = |path: &Path| {
        let mut command = deploy_checker("hadolint");
        command.args(["--no-color", "--failure-threshold", "info"]);
        command.arg(path);
        told(command)
    };
    let (is_good, told) = hadolint(&file(DOCKERFILE));
    assert!(is_good && told.is_empty(), "{told}");
    // It does find some.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wrong = directory.path().join("Dockerfile");
    fs::write(&wrong, "FROM debian\nRUN cd /tmp\n").expect("written");
    let (is_good, told) = hadolint(&wrong);
    assert!(!is_good && told.contains("DL3006"), "{told}");
}

#[test]
fn the_image_runs_the_server_as_nobody_and_asks_it_how_it_is() {
    let binary = "/usr/bin/tidegate";
    assert_eq!(last_stage("ENTRYPOINT"), format!("[\"{binary}\"]"));
    assert_eq!(last_stage("CMD"), "[\"serve\"]");
    assert_eq!(last_stage("STOPSIGNAL"), "SIGTERM");
    let health = last_stage("HEALTHCHECK");
    assert!(
        health.ends_with(&format!("CMD [\"{binary}\", \"health\"]")),
        "{health}"
    );
    let user = last_stage("USER");
    let (user, group) = user.split_once(':').expect("a user and a group");
    for id in [user, group] {
        assert!(id.parse::<u32>().expect("a number") >= 1000, "{id}");
    }
    assert!(last_stage("COPY").starts_with("--from=build "));
    // What the image sets are settings.
    let environment = last_stage("ENV");
    let pair = environment.split_once('=').expect("a value");
    let environment = BTreeMap::from([(pair.0.to_owned(), pair.1.to_owned())]);
    assert_eq!(effective(&environment)["HOST"], "0.0.0.0");
}

#[test]
fn the_images_are_named_and_fit_each_other() {
    let all = instructions();
    let arguments: BTreeMap<_, _> = all
        .iter()
        .filter(|(name, _)| name == "ARG")
        .map(|(_, argument)| argument.split_once('=').expect("a default"))
        .collect();
    let stages: Vec<_> = all.iter().filter(|(name, _)| name == "FROM").collect();
    assert_eq!(stages.len(), 2);
    for ((_, stage), argument) in stages.iter().zip(["RUST", "RUNTIME"]) {
        assert!(stage.starts_with(&format!("${{{argument}}}")), "{stage}");
    }
    // The Rust of Cargo.toml, and one C library for both.
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert_eq!(arguments["RUST"], format!("rust:{version}-slim-bookworm"));
    assert_eq!(
        arguments["RUNTIME"],
        "gcr.io/distroless/cc-debian12:nonroot"
    );
}

#[test]
fn the_image_has_every_library_that_the_server_needs() {
    // What distroless/cc has.
    const LIBRARIES: [&str; 5] = [
        "linux-vdso.so.1",
        "libc.so.6",
        "libgcc_s.so.1",
        "libm.so.6",
        "ld-linux",
    ];
    let mut ldd = Command::new(program("ldd"));
    ldd.arg(env!("CARGO_BIN_EXE_tidegate"));
    let (is_good, told) = told(ldd);
    assert!(is_good && told.contains("libc.so.6"), "{told}");
    for line in told.lines() {
        let is_known = LIBRARIES.iter().any(|library| line.contains(library));
        assert!(is_known, "{line}");
    }
}

/// Every literal of the includes in a source, but for what is only compiled for tests.
fn included(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut is_test = false;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                is_test |= group.stream().to_string() == "cfg (test)";
                included(group.stream(), found);
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && is_test => {
                is_test = false;
            }
            TokenTree::Group(group) => included(group.stream(), found),
            TokenTree::Punct(mark) if mark.as_char() == ';' => is_test = false,
            TokenTree::Ident(name) if name == "include_str" || name == "include_bytes" => {
                if let Some(TokenTree::Group(group)) = tokens.get(index + 2) {
                    let argument = group.stream().to_string();
                    match argument.strip_prefix('"') {
                        Some(rest) => found.push(rest.trim_end_matches('"').to_owned()),
                        // Put together by a macro: of what is beneath.
                        None => assert!(!argument.contains(".."), "{argument}"),
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn the_build_sees_what_it_needs_and_no_more() {
    let ignore = read(".dockerignore");
    let lines = ignore.lines().filter(|line| !line.starts_with('#'));
    let (hidden, seen): (Vec<_>, Vec<_>) = lines.partition(|line| !line.starts_with('!'));
    assert_eq!(hidden, ["*"], "nothing is seen but what is named");
    let seen: Vec<_> = seen.iter().map(|line| &line[1..]).collect();
    // cargo is content with what is seen.
    let context = tempfile::tempdir().expect("a temporary directory");
    for pattern in &seen {
        let mut copy = Command::new("/bin/sh");
        copy.args(["-c", &format!("cp -r --parents {pattern} \"$0\"")])
            .arg(context.path())
            .current_dir(file(""));
        let (is_good, told) = told(copy);
        assert!(is_good, "{pattern}: {told}");
    }
    let mut metadata = Command::new(program("cargo"));
    metadata
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .current_dir(context.path());
    let (is_good, told) = told(metadata);
    assert!(is_good, "{told}");
    // So are the sources, which read other files in.
    let mut left = vec![context.path().join("src")];
    let mut includes = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let mut found = Vec::new();
            let source = fs::read_to_string(&path).expect("a source");
            included(source.parse().expect("Rust"), &mut found);
            includes += found.len();
            for name in found {
                let is_there = path.with_file_name(&name).exists();
                assert!(is_there, "{}: {name}", path.display());
            }
        }
    }
    assert!(includes > 0, "none was looked at");
}

// ---- Compose

/// docker-compose over the file, with these secrets.
fn compose(secrets: &[&str]) -> Command {
    let mut command = Command::new(program("docker-compose"));
    command
        .args([
            "--file",
            COMPOSE,
            "--env-file",
            "deploy/compose/example.env",
            "config",
        ])
        .current_dir(file(""))
        .envs(secrets.iter().map(|name| (*name, SECRET)));
    for name in SECRETS.iter().filter(|name| !secrets.contains(name)) {
        command.env_remove(name);
    }
    command
}

/// The file as it is written.
fn written() -> Value {
    yaml(&file(COMPOSE)).remove(0)
}

/// What docker-compose makes of it; versions differ in how they write sizes, ports and volumes.
fn resolved() -> Value {
    let (is_good, told) = told(compose(&SECRETS));
    assert!(is_good, "{told}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("resolved.yaml");
    fs::write(&path, told).expect("written");
    yaml(&path).remove(0)
}

/// The services, with their names.
fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let services = compose["services"].as_object().expect("services");
    services
        .iter()
        .map(|(name, service)| (name.as_str(), service))
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|text| text.as_str().expect("a text"))
        .collect()
}

#[test]
fn docker_compose_and_the_schema_are_content() {
    let compose = resolved();
    let names: Vec<_> = services(&compose).map(|(name, _)| name).collect();
    let expected = [
        "grafana",
        "nginx",
        "prometheus",
        "redis",
        "tidegate-1",
        "tidegate-2",
    ];
    assert_eq!(names, expected);
    let schema = |path: &Path| {
        let mut command = deploy_checker("check-jsonschema");
        command.args(["--builtin-schema", "vendor.compose-spec"]);
        command.arg(path);
        told(command)
    };
    let (is_good, told) = schema(&file(COMPOSE));
    assert!(is_good, "{told}");
    // It does find faults.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wrong = directory.path().join("compose.yaml");
    let text = read(COMPOSE).replace("mem_limit: 1g", "memory_limit: 1g");
    fs::write(&wrong, text).expect("written");
    let (is_good, told) = schema(&wrong);
    assert!(!is_good && told.contains("memory_limit"), "{told}");
}

#[test]
fn without_a_secret_nothing_starts() {
    let example = read("deploy/compose/example.env");
    let lines = example.lines().filter(|line| !line.starts_with('#'));
    let named: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    assert_eq!(named, SECRETS.map(|name| format!("{name}=")));
    for missing in SECRETS {
        let others: Vec<_> = SECRETS
            .into_iter()
            .filter(|name| *name != missing)
            .collect();
        let (is_good, told) = told(compose(&others));
        assert!(!is_good, "without {missing}");
        assert!(told.contains("is missing in .env"), "{missing}: {told}");
    }
    // No secret is anywhere but in the environment of who needs it.
    let compose = resolved();
    for (name, service) in services(&compose) {
        let mut without = service.clone();
        without["environment"] = Value::Null;
        assert!(!without.to_string().contains(SECRET), "{name}");
    }
}

#[test]
fn every_service_is_held_within_limits() {
    let compose = written();
    for (name, service) in services(&compose) {
        let text = |key: &str| {
            service[key]
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {key}"))
        };
        let image = text("image").rsplit_once(':');
        let (_, tag) = image.unwrap_or_else(|| panic!("{name}: no tag"));
        assert!(
            tag.starts_with(|first: char| first.is_ascii_digit() || first == 'v'),
            "{tag}"
        );
        assert!(mebibytes(text("mem_limit")) <= 1024, "{name}");
        assert_eq!(text("restart"), "unless-stopped", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            texts(&service["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert!(service["pids_limit"].is_u64(), "{name}");
        assert!(
            service["logging"]["options"]["max-size"].is_string(),
            "{name}"
        );
        // The image of the servers has a health check of its own.
        let is_ours = image.is_some_and(|(image, _)| image == "tidegate");
        assert_ne!(service["healthcheck"].is_object(), is_ours, "{name}");
        // Only nginx is reached from other machines.
        for port in texts(&service["ports"]) {
            assert!(
                name == "nginx" || port.starts_with("127.0.0.1:"),
                "{name}: {port}"
            );
        }
        for volume in texts(&service["volumes"]) {
            let (source, _) = volume.split_once(':').expect("a place");
            let is_volume = compose["volumes"][source].is_object();
            let is_file = file("deploy/compose").join(source).is_file();
            assert!(is_volume || is_file, "{name}: {source}");
        }
    }
    assert_eq!(compose["networks"]["servers"]["internal"], true);
}

#[test]
fn the_nodes_have_settings_that_fit_their_limits() {
    let compose = written();
    let environments = resolved();
    let environment = |name: &str| &environments["services"][name]["environment"];
    assert_eq!(environment("tidegate-1"), environment("tidegate-2"));
    let version = format!("tidegate:{}", env!("CARGO_PKG_VERSION"));
    for name in ["tidegate-1", "tidegate-2"] {
        let node = &compose["services"][name];
        assert_eq!(node["image"], version.as_str());
        let environment = environment(name).as_object().expect("settings").iter();
        let environment: BTreeMap<_, _> = environment
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect();
        let settings = effective(&environment);
        let grace = seconds(node["stop_grace_period"].as_str().expect("a time"));
        let leaves = seconds(&settings["DRAIN_PERIOD"]) + seconds(&settings["CLOSE_TIMEOUT"]);
        assert!(grace > leaves, "{grace} s for {leaves} s");
        let memory = mebibytes(node["mem_limit"].as_str().expect("a limit"));
        assert!(mebibytes(&settings["SEND_QUEUE_TOTAL"]) * 2 <= memory);
        let files = &node["ulimits"]["nofile"];
        assert_eq!(files["soft"], files["hard"]);
        let connections: u64 = settings["MAX_CONNECTIONS"].parse().expect("a number");
        assert!(
            files["soft"].as_u64() >= Some(connections + FILES_BESIDE),
            "{files}"
        );
        // It believes nginx and nobody else.
        let nginx = &compose["services"]["nginx"]["networks"]["servers"]["ipv4_address"];
        assert_eq!(*nginx, settings["TRUSTED_PROXIES"].as_str());
        let networks = node["networks"].as_object().expect("networks");
        assert_eq!(networks.keys().collect::<Vec<_>>(), ["servers"]);
    }
}

/// The number behind a directive of nginx.
fn directive(configuration: &str, name: &str) -> u64 {
    let mut lines = configuration.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_suffix(';'));
    let value = value.unwrap_or_else(|| panic!("no {name}"));
    value.trim().parse().expect("a number")
}

#[test]
fn nginx_takes_its_configuration_and_knows_both_nodes() {
    let compose = written();
    let nginx = &compose["services"]["nginx"];
    let line = texts(&nginx["command"])[2];
    let (sed, start) = line.split_once("&&").expect("two commands");
    assert!(
        start.contains("nginx -c /etc/tidegate/nginx.conf"),
        "{start}"
    );
    // The very command, over a directory instead of the container's.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path().display().to_string();
    fs::copy(
        file("deploy/nginx/tidegate.conf"),
        directory.path().join("committed.conf"),
    )
    .expect("copied");
    let sed = sed.replace(
        "/etc/tidegate/tidegate.conf",
        &format!("{at}/committed.conf"),
    );
    let mut shell = Command::new("/bin/sh");
    shell.args([
        "-c",
        &sed.replace("/tmp/tidegate.conf", &format!("{at}/tidegate.conf")),
    ]);
    let (is_good, output) = told(shell);
    assert!(is_good, "{output}");
    let configuration = read("deploy/compose/nginx.conf");
    let connections = directive(&configuration, "worker_connections");
    let files = directive(&configuration, "worker_rlimit_nofile");
    // To nginx both sides of a client are connections.
    assert!(files >= connections + FILES_BESIDE, "{files}");
    assert_eq!(nginx["ulimits"]["nofile"]["hard"], files);
    let mut local = configuration.replace("/tmp/", &format!("{at}/"));
    for node in ["tidegate-1:3000", "tidegate-2:3000"] {
        assert_eq!(local.matches(node).count(), 2, "{node} of each upstream");
        // There is nobody here who knows the name.
        local = local.replace(node, "127.0.0.1:3000");
    }
    let path = directory.path().join("nginx.conf");
    fs::write(&path, local).expect("written");
    let mut test = Command::new(program("nginx"));
    test.args(["-t", "-e", "stderr", "-c"]).arg(&path);
    let (is_good, output) = told(test);
    assert!(is_good && !output.contains("[warn]"), "{output}");
}

#[test]
fn prometheus_and_grafana_find_what_they_look_for() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (from, to) in [
        ("compose/prometheus.yml", "prometheus.yml"),
        ("prometheus/alerts.yml", "alerts.yml"),
    ] {
        fs::copy(file("deploy").join(from), directory.path().join(to)).expect("copied");
    }
    let check = ["check", "config", "--syntax-only", "prometheus.yml"];
    let (is_good, told) = promtool(&check, directory.path(), "");
    assert!(is_good, "{told}");
    let prometheus = yaml(&file("deploy/compose/prometheus.yml")).remove(0);
    let scrape = &prometheus["scrape_configs"][0];
    let targets: BTreeSet<_> = texts(&scrape["static_configs"][0]["targets"])
        .into_iter()
        .collect();
    assert_eq!(
        targets,
        BTreeSet::from(["tidegate-1:3000", "tidegate-2:3000"])
    );
    let compose = written();
    let service = &compose["services"]["prometheus"];
    let key = scrape["authorization"]["credentials_file"]
        .as_str()
        .expect("a file");
    let entry = texts(&service["entrypoint"])[2];
    assert!(entry.contains(&format!(">{key} ")), "{entry}");
    // Grafana asks that Prometheus, and looks for the dashboard where it is.
    let source = yaml(&file("deploy/compose/grafana/datasource.yaml")).remove(0);
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let provider = yaml(&file("deploy/compose/grafana/dashboards.yaml")).remove(0);
    let path = provider["providers"][0]["options"]["path"]
        .as_str()
        .expect("a path");
    let volumes = texts(&compose["services"]["grafana"]["volumes"]);
    assert!(
        volumes
            .iter()
            .any(|volume| volume.contains(&format!(":{path}/tidegate.json:")))
    );
}
