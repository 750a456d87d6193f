"""The tests' own kubelet does with pods what a real one does, on a real API server."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.load import await_that
from tests.cluster.release import Cluster, is_ready

PODS = "/api/v1/namespaces/default/pods"
_numbers = count(1)

Run = Callable[..., str]


@pytest.fixture
def run(cluster: Cluster) -> Iterator[Run]:
    """Create a pod with one container of python, and return its name."""
    made: list[str] = []
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    await_that(lambda: cluster.api.find(account), "an account", 60)

    def create(program: str, *, pod: Object | None = None, **container: Any) -> str:
        name = f"pod-{next(_numbers)}"
        spec = {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            "containers": [
                {"name": "main", "image": "mimamori:1", "command": ["python", "-c", program], **container}
            ],
            **(pod or {}),
        }
        made.append(name)
        cluster.api.create(PODS, {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
        return name

    yield create
    for name in made:
        cluster.api.delete(f"{PODS}/{name}", {"gracePeriodSeconds": 0})


def _pod(cluster: Cluster, name: str) -> Object:
    return cluster.api.get(f"{PODS}/{name}")


def _container(cluster: Cluster, name: str) -> Object:
    statuses = _pod(cluster, name)["status"].get("containerStatuses")
    return statuses[0] if statuses else {"state": {}, "lastState": {}, "restartCount": 0}


def _said(cluster: Cluster, name: str) -> str:
    (log,) = cluster.folder.glob(f"pods/default/{name}-*/main.log")
    return log.read_text()


def _phase(cluster: Cluster, name: str, wanted: str) -> None:
    await_that(lambda: _pod(cluster, name)["status"]["phase"] == wanted, f"{name} {wanted}", 60)


def test_a_program_finds_its_environment_volumes_user_and_a_root_that_it_cannot_write(
    cluster: Cluster, run: Run
) -> None:
    for kind, data in (("configmaps", {"KEY": "from a map"}), ("secrets", {"key": "ZnJvbSBhIHNlY3JldA=="})):
        cluster.api.delete(f"/api/v1/namespaces/default/{kind}/given")
        cluster.api.create(
            f"/api/v1/namespaces/default/{kind}", {"metadata": {"name": "given"}, "data": data}
        )
    program = """if True:
        import json, os, pathlib
        def read_only(at):
            try: pathlib.Path(at, "new").write_text("x")
            except OSError as error: return error.strerror
        mode = oct(os.stat("/etc/given/key").st_mode & 0o777)
        names = ("KEY", "SECRET", "JOINED", "NAME", "CPUS", "HOST", "KEPT")
        print(json.dumps({
            "seen": {name: os.environ[name] for name in names}, "ids": [os.getuid(), os.getgid()],
            "root": read_only("/"), "etc": read_only("/etc"), "volume": read_only("/work-here"),
            "secret": pathlib.Path("/etc/given/key").read_text(), "mode": mode,
        }))"""
    secret = {"secretKeyRef": {"name": "given", "key": "key"}}
    name = run(
        program,
        envFrom=[{"configMapRef": {"name": "given"}}],
        env=[
            {"name": "SECRET", "valueFrom": secret},
            {"name": "JOINED", "value": "$(KEY), $(SECRET)"},
            {"name": "KEPT", "value": "$$(KEY) $(LATER)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}},
            {"name": "HOST", "value": "0.0.0.0"},  # noqa: S104 - is replaced
        ],
        resources={"requests": {"cpu": "1500m"}},
        securityContext={"runAsUser": 10001, "runAsGroup": 10001, "readOnlyRootFilesystem": True},
        volumeMounts=[
            {"name": "work", "mountPath": "/work-here"},
            {"name": "given", "mountPath": "/etc/given", "readOnly": True},
        ],
        pod={
            "volumes": [
                {"name": "work", "emptyDir": {}},
                {"name": "given", "secret": {"secretName": "given", "defaultMode": 0o440}},
            ]
        },
    )
    _phase(cluster, name, "Succeeded")
    told = json.loads(_said(cluster, name))
    address = _pod(cluster, name)["status"]["podIP"]
    assert told["seen"] == {
        "KEY": "from a map",
        "SECRET": "from a secret",
        "JOINED": "from a map, from a secret",
        "KEPT": "$(KEY) $(LATER)",
        "NAME": name,
        "CPUS": "2",
        "HOST": address,
    }
    assert (told["ids"], told["secret"], told["mode"]) == ([10001, 10001], "from a secret", "0o440")
    assert (told["root"], told["etc"], told["volume"]) == (*["Read-only file system"] * 2, None)


def test_init_containers_run_in_order_and_a_failed_one_ends_the_pod(cluster: Cluster, run: Run) -> None:
    def init(name: str, program: str) -> Object:
        mounts = [{"name": "shared", "mountPath": "/shared"}]
        return {
            "name": name,
            "image": "mimamori:1",
            "command": ["python", "-c", program],
            "volumeMounts": mounts,
        }

    volumes = [{"name": "shared", "emptyDir": {}}]
    first = init("first", "open('/shared/a', 'w').write('1')")
    second = init("second", "open('/shared/b', 'w').write(open('/shared/a').read() + '2')")
    mounts = [{"name": "shared", "mountPath": "/shared", "readOnly": True}]
    name = run(
        "print(open('/shared/b').read())",
        volumeMounts=mounts,
        pod={"volumes": volumes, "initContainers": [first, second]},
    )
    _phase(cluster, name, "Succeeded")
    assert _said(cluster, name) == "12\n"
    failing = init("first", "raise SystemExit(7)")
    name = run("print('never')", pod={"volumes": volumes, "initContainers": [failing]})
    _phase(cluster, name, "Failed")
    status = _pod(cluster, name)["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert not list(cluster.folder.glob(f"pods/default/{name}-*/main.log"))


SERVER = """if True:
    import http.server, os, sys, time
    from pathlib import Path
    tries = Path("/kept/tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    begun = time.monotonic()
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            good = {"/started": time.monotonic() - begun > 1, "/ready": not Path("/kept/unready").exists(),
                    "/live": not Path("/kept/dead").exists()}[self.path]
            self.send_response(200 if good else 503); self.end_headers()
        def log_message(self, *_): pass
    http.server.HTTPServer((os.environ["ADDRESS"], 8080), Answer).serve_forever()"""


def test_probes_make_it_ready_unready_and_restarted(cluster: Cluster, run: Run) -> None:
    def probe(path: str, failures: int) -> Object:
        return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, "failureThreshold": failures}

    name = run(
        SERVER,
        env=[{"name": "ADDRESS", "value": "0.0.0.0"}],  # noqa: S104 - is replaced
        ports=[{"name": "http", "containerPort": 8080}],
        startupProbe=probe("/started", 30),
        readinessProbe=probe("/ready", 1),
        livenessProbe=probe("/live", 2),
        volumeMounts=[{"name": "kept", "mountPath": "/kept"}],
        pod={"restartPolicy": "Always", "volumes": [{"name": "kept", "emptyDir": {}}]},
    )
    await_that(lambda: is_ready(_pod(cluster, name)), "ready", 60)
    (kept,) = cluster.folder.glob(f"pods/default/{name}-*/volumes/kept")
    (kept / "unready").touch()
    await_that(lambda: not is_ready(_pod(cluster, name)), "unready", 30)
    assert _container(cluster, name)["restartCount"] == 0
    (kept / "unready").unlink()
    await_that(lambda: is_ready(_pod(cluster, name)), "ready again", 30)
    (kept / "dead").touch()
    await_that(lambda: _container(cluster, name)["restartCount"] == 1, "restarted", 30)
    last = _container(cluster, name)["lastState"]["terminated"]
    assert last["exitCode"] == 128 + 15
    assert "liveness" in last["message"]
    (kept / "dead").unlink()
    await_that(lambda: is_ready(_pod(cluster, name)), "ready after its restart", 30)
    assert (kept / "tries").read_text() == "xx"


def test_a_crash_is_retried_at_once_and_then_waits(cluster: Cluster, run: Run) -> None:
    name = run("raise SystemExit(3)", pod={"restartPolicy": "Always"})
    await_that(lambda: _container(cluster, name)["restartCount"] == 2, "a second restart", 30)
    status = _container(cluster, name)
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert "back-off 10s" in status["state"]["waiting"]["message"]


STUBBORN = """if True:
    import signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
    print("here", flush=True)
    while True: time.sleep(0.1)"""


def test_the_end_is_pre_stop_then_sigterm_then_sigkill(cluster: Cluster, run: Run) -> None:
    hook = {"exec": {"command": ["python", "-c", "open('/kept/hook', 'w').write('before')"]}}
    name = run(
        STUBBORN,
        lifecycle={"preStop": hook},
        volumeMounts=[{"name": "kept", "mountPath": "/kept"}],
        pod={"volumes": [{"name": "kept", "emptyDir": {}}]},
    )
    _phase(cluster, name, "Running")
    await_that(lambda: "here" in _said(cluster, name), "a program that catches SIGTERM", 30)
    (kept,) = cluster.folder.glob(f"pods/default/{name}-*/volumes/kept")
    cluster.api.delete(f"{PODS}/{name}")
    await_that(lambda: cluster.api.find(f"{PODS}/{name}") is None, "its end", 30)
    assert (kept / "hook").read_text() == "before"
    assert _said(cluster, name) == "here\nasked to end\n"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"image": "nobody/built-it:1"}, "ErrImagePull"),
        (
            {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x"}}}]},
            "CreateContainerConfigError",
        ),
    ],
)
def test_what_does_not_exist_is_waited_for(cluster: Cluster, run: Run, wrong: Object, reason: str) -> None:
    name = run("print()", **wrong)
    await_that(
        lambda: _container(cluster, name)["state"].get("waiting", {}).get("reason") == reason, reason, 30
    )
    assert _pod(cluster, name)["status"]["phase"] == "Pending"
