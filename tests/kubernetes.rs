//! `deploy/kubernetes` without a cluster: by the schemas of Kubernetes, by the server that reads the settings in it, and by rules of
//! our own: what selects and names each other does, and the time to end is long enough.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use common::deployed::{effective, file, mebibytes, seconds, told, yaml};
use common::peer::deploy_checker;
use serde_json::{Value, json};

/// The first version that has everything in the manifests (a `preStop` that sleeps), and the last that is known.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

fn manifests() -> BTreeMap<String, PathBuf> {
    let files = fs::read_dir(file("deploy/kubernetes")).expect("manifests");
    let files = files.map(|file| file.expect("a file").path());
    let name = |path: &PathBuf| {
        path.file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    files.map(|path| (name(&path), path)).collect()
}

fn manifest(name: &str) -> Value {
    let mut documents = yaml(&file("deploy/kubernetes").join(name));
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

/// Whether the schemas of that version are content with a manifest.
fn validate(version: &str, path: &Path) -> (bool, String) {
    let mut command = deploy_checker("kubernetes-validate");
    command.args(["--strict", "--kubernetes-version", version]);
    command.arg(path);
    told(command)
}

#[test]
fn the_schemas_of_kubernetes_are_content() {
    for (name, path) in manifests() {
        // Not of Kubernetes itself: no schema of theirs is here.
        if ["kustomization.yaml", "servicemonitor.optional.yaml"].contains(&name.as_str()) {
            continue;
        }
        for version in VERSIONS {
            let (is_good, told) = validate(version, &path);
            assert!(is_good && told.contains("passed"), "{name}: {told}");
        }
    }
    // They do find faults.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wrong = directory.path().join("deployment.yaml");
    let text = fs::read_to_string(file("deploy/kubernetes/deployment.yaml")).expect("a manifest");
    fs::write(&wrong, text.replace("httpGet:", "httpGets:")).expect("written");
    let (is_good, told) = validate(VERSIONS[0], &wrong);
    assert!(!is_good && told.contains("httpGets"), "{told}");
}

#[test]
fn kustomize_takes_every_manifest_but_examples_and_options() {
    let kustomization = manifest("kustomization.yaml");
    let resources = kustomization["resources"]
        .as_array()
        .expect("resources")
        .iter();
    let resources: BTreeSet<_> = resources
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect();
    let mut expected: BTreeSet<_> = manifests().into_keys().collect();
    expected.retain(|name| !name.contains(".example.") && !name.contains(".optional."));
    expected.remove("kustomization.yaml");
    assert_eq!(resources, expected);
    assert_eq!(
        kustomization["images"],
        json!([{"name": "tidegate", "newTag": env!("CARGO_PKG_VERSION")}])
    );
}

/// The variables of a container of the deployment, as its `envFrom` says.
fn settings() -> BTreeMap<String, String> {
    let deployment = manifest("deployment.yaml");
    let from = &deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"];
    let config = manifest("configmap.yaml");
    let secret = manifest("secret.example.yaml");
    assert_eq!(from[0]["configMapRef"]["name"], config["metadata"]["name"]);
    assert_eq!(from[1]["secretRef"]["name"], secret["metadata"]["name"]);
    let pairs =
        [&config["data"], &secret["stringData"]].map(|data| data.as_object().expect("data"));
    let pairs = pairs.into_iter().flatten();
    let environment =
        pairs.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()));
    effective(&environment.collect())
}

#[test]
fn a_pod_has_time_to_drain() {
    let deployment = manifest("deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"]
        .as_u64()
        .expect("seconds");
    let pre_stop = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    let pre_stop = pre_stop.as_u64().expect("seconds");
    let settings = settings();
    let parts = pre_stop + seconds(&settings["DRAIN_PERIOD"]) + seconds(&settings["CLOSE_TIMEOUT"]);
    assert!(grace >= parts + 5, "{grace} s for {parts} s");
    // Whoever routes to it has heard of it by then: a probe has failed, or the end was told.
    assert!(pre_stop >= 5, "{pre_stop}");
}

#[test]
fn the_settings_fit_the_pod() {
    let settings = settings();
    let deployment = manifest("deployment.yaml");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let port = &container["ports"][0];
    assert_eq!(port["containerPort"].to_string(), settings["PORT"]);
    let limits = &container["resources"]["limits"];
    let memory = mebibytes(limits["memory"].as_str().expect("a limit"));
    assert!(mebibytes(&settings["SEND_QUEUE_TOTAL"]) * 2 <= memory);
    assert!(
        limits["cpu"].is_null(),
        "a loop that is throttled keeps everybody waiting"
    );
    assert_eq!(settings["LOG_TO_FILE"], "off", "the root is read-only");
    let service = manifest("service.yaml");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    assert_eq!(
        container["readinessProbe"]["httpGet"],
        json!({"path": "/health", "port": port["name"]})
    );
    let policy = manifest("networkpolicy.yaml");
    assert_eq!(
        policy["spec"]["ingress"][0]["ports"][0]["port"],
        port["name"]
    );
    let install = fs::read_to_string(file("docs/install.md")).expect("the document");
    let out = policy["spec"]["egress"].as_array().expect("a list").last();
    let label = &out.expect("a rule")["to"][0]["podSelector"]["matchLabels"];
    assert_eq!(*label, json!({"tidegate-backend": "true"}));
    assert!(install.contains("`tidegate-backend: \"true\"`"));
}

#[test]
fn a_full_node_is_not_killed() {
    // A full server answers 503 to /health too (tests/health.rs): for liveness any answer is good.
    let deployment = manifest("deployment.yaml");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let alive = json!(["/usr/bin/tidegate", "health", "--alive"]);
    assert_eq!(container["livenessProbe"]["exec"]["command"], alive);
}

#[test]
fn a_pod_may_do_nothing_that_it_need_not() {
    let deployment = manifest("deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    // Who the image says it is.
    let dockerfile = fs::read_to_string(file("deploy/docker/Dockerfile")).expect("a Dockerfile");
    let user = format!("USER {}:{}\n", context["runAsUser"], context["runAsGroup"]);
    assert!(dockerfile.contains(&user), "{user}");
    let own = &pod["containers"][0]["securityContext"];
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(*own, expected);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    let account = manifest("serviceaccount.yaml");
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
}

#[test]
fn everything_selects_the_pods_of_the_deployment() {
    let deployment = manifest("deployment.yaml");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert!(labels.is_object());
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], *labels);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(
        pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        *labels
    );
    let service = manifest("service.yaml");
    assert_eq!(service["spec"]["selector"], *labels);
    let budget = manifest("poddisruptionbudget.yaml");
    assert_eq!(budget["spec"]["selector"]["matchLabels"], *labels);
    let policy = manifest("networkpolicy.yaml");
    assert_eq!(policy["spec"]["podSelector"]["matchLabels"], *labels);
    let target = &manifest("horizontalpodautoscaler.yaml")["spec"]["scaleTargetRef"];
    for name in ["apiVersion", "kind"] {
        assert_eq!(target[name], deployment[name]);
    }
    assert_eq!(target["name"], deployment["metadata"]["name"]);
    assert!(
        deployment["spec"]["replicas"].is_null(),
        "the autoscaler says how many"
    );
    // The option for the Prometheus operator finds the service, its port, and the key in the secret.
    let monitor = manifest("servicemonitor.optional.yaml");
    assert_eq!(
        monitor["spec"]["selector"]["matchLabels"],
        service["metadata"]["labels"]
    );
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint["port"], service["spec"]["ports"][0]["name"]);
    let credentials = &endpoint["authorization"]["credentials"];
    let secret = manifest("secret.example.yaml");
    assert_eq!(credentials["name"], secret["metadata"]["name"]);
    let key = credentials["key"].as_str().expect("a key");
    assert!(secret["stringData"][key].is_string(), "{key}");
    // The alerts ask for the job of that label.
    let job = monitor["spec"]["jobLabel"].as_str().expect("a label");
    assert_eq!(service["metadata"]["labels"][job], "tidegate");
}
