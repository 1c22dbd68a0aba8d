"""Sweeps on a cluster of Ray's: two nodes on this machine, and whatever may happen to them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import stub
import yaml
from small_protocol import VALUE, write_protocol
from stub import stub_trainer
from test_sweep import results

from covidcnn.errors import DataError
from covidcnn.paths import PROJECT
from covidcnn.study.access_log import open_store, read_access_log
from covidcnn.training.result import Diverged
from covidcnn.trials import ray_executor
from covidcnn.trials.ray_executor import RayCluster
from covidcnn.trials.spec import parse_sweep
from covidcnn.trials.store import TrialStore
from covidcnn.trials.sweep import run_sweep

# Read when Ray is imported: no port is opened to the network, and on a busy machine a node takes its time to begin.
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
               "RAY_raylet_start_wait_time_s": "120", "RAY_agent_register_timeout_ms": "120000"}
ray = pytest.importorskip("ray", reason="covidcnn[ray] is not installed")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="Ray has no clusters on Windows")]
DATA = "a" * 64
GRID = {"seeds": [0, 1, 2], "recipe": {"epochs": 3, "size": 32, "precision": "float32"},
        "grid": {"optimizer": ["Nadam", "SGD"], "learning_rate": [0.1, 0.01]}}
TRIALS = parse_sweep(GRID).trials(DATA)
for module in (stub, sys.modules[__name__]):
    ray.cloudpickle.register_pickle_by_value(module)


@pytest.fixture(scope="module")
def cluster():
    """A head that computes nothing; tests add the nodes that do."""
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.fixture
def add_node(cluster):
    added = []

    def add(cpus=1):
        added.append(cluster.add_node(num_cpus=cpus))
        return added[-1]

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


@pytest.fixture
def sweep(cluster, tmp_path):
    """Run the trials on the cluster into a store of its own."""
    def run(trainer, trials=TRIALS, watch=lambda progress: None, store=None, **needs):
        executor = RayCluster(cluster.address, memory_gb=0, **needs)
        return run_sweep(trials, store or TrialStore(tmp_path / "store"), None, watch, trainer, executor)

    return run


def undisturbed(folder, trainer=stub_trainer, trials=TRIALS):
    """What is to come out."""
    run_sweep(trials, TrialStore(folder), None, lambda progress: None, trainer)
    return results(folder)


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def where(trial, epoch, log):
    """Note in which node's process an epoch is computed."""
    with log.open("a") as file:
        file.write(f"{trial.key} {epoch} {ray.get_runtime_context().get_node_id()}\n")


def nodes(log):
    return [line.split()[2] for line in log.read_text().splitlines()]


def wait_for_both(log):
    """Until a second node computes, too: a worker may take longer to start than all trials together."""
    wait_for(lambda: len(set(nodes(log))) == 2)


def test_two_nodes_leave_what_one_process_leaves(add_node, sweep, tmp_path):
    unreadable, greedy = TRIALS[1:5:2], TRIALS[6]

    def trainer(dataset, trial, folder, report):
        where(trial, 0, tmp_path / "log")
        if trial == TRIALS[0]:
            wait_for_both(tmp_path / "log")
        if trial in unreadable:
            raise DataError("too few images; give more")
        if trial == greedy:
            raise MemoryError
        return sound(dataset, trial, folder, report)

    def sound(dataset, trial, folder, report):
        if trial.recipe.optimizer == "Nadam" and trial.recipe.learning_rate == 0.1:
            raise Diverged("no number")
        return stub_trainer(dataset, trial, folder, report, pause=0.1)

    add_node()
    add_node()
    seen = []
    end = sweep(trainer, watch=seen.append)
    possible = [trial for trial in TRIALS if trial not in (*unreadable, greedy)]
    assert (end.done, end.before, end.diverged, end.left) == (9, 0, 3, 0)
    assert sorted(problem.partition(";")[0] for problem in end.problems) == sorted([
        "too few images", "too few images", f"trial {greedy.key}: MemoryError "])
    assert [progress.done for progress in seen[1:-1]] == list(range(1, 10))
    for trial in (*unreadable, greedy):
        shutil.rmtree(tmp_path / "store" / "unfinished" / trial.key)
        (tmp_path / "store" / "unfinished" / f"{trial.key}.lock").unlink()
    assert results(tmp_path / "store") == undisturbed(tmp_path / "alone", sound, possible)


@pytest.mark.long
@pytest.mark.parametrize("shared", [True, False])
def test_trial_that_lost_its_node_goes_on_where_the_folder_is_shared_and_else_begins_anew(
        shared, add_node, cluster, sweep, tmp_path, monkeypatch):
    def trainer(dataset, trial, folder, report):
        where(trial, len(list(folder.glob("[!.]*"))), tmp_path / "log")
        if trial == TRIALS[2]:
            wait_for_both(tmp_path / "log")
        return stub_trainer(dataset, trial, folder, report, pause=0.5)

    if not shared:
        # As if workers saw another disk.
        monkeypatch.setattr(ray_executor, "_mark", lambda *_: None)
    lost, other = add_node(), add_node()

    def kill_once_it_computes():
        wait_for(lambda: lost.node_id in (tmp_path / "log").read_text())
        # In the middle of a trial's second epoch.
        time.sleep(0.75)
        cluster.remove_node(lost, allow_graceful=False)

    (tmp_path / "log").touch()
    killer = threading.Thread(target=kill_once_it_computes)
    killer.start()
    end = sweep(trainer)
    killer.join()
    assert (end.done, end.problems, end.left) == (12, (), 0)
    assert results(tmp_path / "store") == undisturbed(tmp_path / "alone")
    began = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    repeated = [key for key in {key for key, *_ in began} if sum(found == key for found, *_ in began) > 1]
    assert len(began) == 13
    key, = repeated
    (_, first, before), (_, second, after) = [line for line in began if line[0] == key]
    assert (before, after) == (lost.node_id, other.node_id)
    # The stand-in's state is there from its first epoch on.
    assert (first, second) == ("0", "1" if shared else "0")


@pytest.mark.long
def test_worker_that_is_killed_is_tried_again_and_given_up_after_three_times(add_node, sweep, tmp_path):
    once, always = TRIALS[2], TRIALS[5]

    def trainer(dataset, trial, folder, report):
        where(trial, 0, tmp_path / "log")
        first = trial == once and not (tmp_path / "killed").exists()
        if first:
            # By this trial alone: the other one may be begun before it, where a worker is slow to start.
            (tmp_path / "killed").touch()
        if first or trial == always:
            # As the system does when memory runs out.
            os.kill(os.getpid(), signal.SIGKILL)
        return stub_trainer(dataset, trial, folder, report)

    add_node(2)
    end = sweep(trainer)
    assert (end.done, len(end.problems), end.left) == (11, 1, 0)
    assert always.key in end.problems[0]
    assert "its worker was lost" in end.problems[0]
    began = (tmp_path / "log").read_text().split()
    assert began.count(always.key) == 4
    assert began.count(once.key) == 2


@pytest.mark.long
def test_node_that_comes_late_is_waited_for_and_another_one_used(add_node, sweep, tmp_path):
    def trainer(dataset, trial, folder, report):
        where(trial, 0, tmp_path / "log")
        if trial == TRIALS[2]:
            wait_for_both(tmp_path / "log")
        return stub_trainer(dataset, trial, folder, report, pause=0.5)

    ends = []
    running = threading.Thread(target=lambda: ends.append(sweep(trainer)))
    running.start()
    wait_for(ray.is_initialized)
    add_node()
    wait_for((tmp_path / "log").exists)
    add_node()
    running.join()
    assert (ends[0].done, ends[0].problems) == (12, ())
    assert len(nodes(tmp_path / "log")) == 12


@pytest.mark.long
def test_driver_that_is_killed_is_gone_on_with(add_node, cluster, sweep, tmp_path):
    def trainer(dataset, trial, folder, report):
        where(trial, 0, tmp_path / "log")
        return stub_trainer(dataset, trial, folder, report, pause=0.4)

    add_node(2)
    (tmp_path / "work").write_bytes(ray.cloudpickle.dumps((trainer, TRIALS, cluster.address)))
    command = [sys.executable, "-c", (
        "import sys, pathlib, ray.cloudpickle\n"
        "from covidcnn.trials.ray_executor import RayCluster\n"
        "from covidcnn.trials.store import TrialStore\n"
        "from covidcnn.trials.sweep import run_sweep\n"
        "trainer, trials, address = ray.cloudpickle.loads((pathlib.Path(sys.argv[1]) / 'work').read_bytes())\n"
        "run_sweep(trials, TrialStore(pathlib.Path(sys.argv[1]) / 'store'), None, lambda progress: None, trainer,\n"
        "          RayCluster(address, memory_gb=0))\n"), str(tmp_path)]
    driver = subprocess.Popen(command)
    finished = tmp_path / "store" / "trials"
    wait_for(lambda: len(list(finished.glob("*.json"))) >= 3)
    driver.kill()
    driver.wait()
    before = len(list(finished.glob("*.json")))
    assert 3 <= before < 12
    end = sweep(trainer)
    assert (end.done, end.before, end.problems, end.left) == (12, before, (), 0)
    assert results(tmp_path / "store") == undisturbed(tmp_path / "alone")
    began = (tmp_path / "log").read_text().split()
    # What was running when the driver died was begun twice, nothing else was.
    assert sorted(began.count(trial.key) for trial in TRIALS)[:10] == [1] * 10


@pytest.mark.long
def test_only_the_sweeps_process_is_asked_before_a_trial_begins(add_node, sweep, tmp_path):
    asked = []

    def admit(trial):
        asked.append((trial.key, os.getpid()))

    add_node(2)
    end = sweep(stub_trainer, store=replace(TrialStore(tmp_path / "store"), admit=admit))
    assert end.done == 12
    assert sorted(asked) == sorted((trial.key, os.getpid()) for trial in TRIALS)


@pytest.mark.long
def test_test_set_accesses_are_logged_once_by_the_sweeps_process_whatever_workers_do(
        add_node, sweep, committed, tmp_path):
    protocol = write_protocol(tmp_path, {"data": DATA, "arms": {"plain": VALUE["arms"]["plain"]}})
    first = protocol.trials("plain")[0]

    def trainer(dataset, trial, folder, report):
        if trial == first and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return stub_trainer(dataset, trial, folder, report)

    add_node()
    end = sweep(trainer, protocol.trials("plain"), store=open_store(protocol.store))
    assert (end.done, end.problems) == (2, ())
    assert sorted(read_access_log(protocol)["scored"]) == sorted(trial.key for trial in protocol.trials("plain"))


@pytest.mark.long
def test_store_may_be_named_from_where_the_sweep_stands(add_node, sweep, tmp_path, monkeypatch):
    def trainer(dataset, trial, folder, report):
        # Without GPUs of its own a trial sees none.
        (tmp_path / "seen").write_text(f"{folder} {os.environ['CUDA_VISIBLE_DEVICES']}")
        return stub_trainer(dataset, trial, folder, report)

    monkeypatch.chdir(tmp_path)
    add_node()
    assert sweep(trainer, TRIALS[:1], store=TrialStore(Path("store"))).done == 1
    assert (tmp_path / "seen").read_text() == f"{tmp_path / 'store' / 'unfinished' / TRIALS[0].key} -1"


@pytest.mark.long
def test_node_with_other_software_ends_the_sweep_and_computes_nothing(add_node, sweep, monkeypatch, tmp_path, refused):
    software = ray_executor._software()
    monkeypatch.setattr(ray_executor, "_software", lambda: software | {"numpy": "0.1"})
    add_node()
    with refused("numpy", "0.1", "install the same"):
        sweep(stub_trainer, TRIALS[:2])
    assert not list((tmp_path / "store" / "trials").iterdir())
    monkeypatch.undo()
    assert sweep(stub_trainer, TRIALS[:2]).done == 2


@pytest.mark.long
def test_address_without_a_cluster_is_refused(refused, tmp_path):
    with refused("no Ray cluster at '127.0.0.1:1'"):
        run_sweep(TRIALS, TrialStore(tmp_path), None, lambda progress: None, stub_trainer, RayCluster("127.0.0.1:1"))


@pytest.mark.long
def test_what_this_machine_has_not_is_not_waited_for(refused, tmp_path):
    with refused("9999 cores"):
        run_sweep(TRIALS, TrialStore(tmp_path), None, lambda progress: None, stub_trainer, RayCluster(cpus=9999))
    assert not list((tmp_path / "unfinished").iterdir())


@pytest.mark.long
def test_sweep_on_this_machine_opens_no_port_to_the_network_and_equals_one_process(tiny_tree, tmp_path, run,
                                                                                   monkeypatch):
    ports = []
    attempt = RayCluster._room

    def looked_at(self, nodes):
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        ports.extend(found.laddr.ip for process in family for found in process.net_connections("inet")
                     if found.status == psutil.CONN_LISTEN)
        return attempt(self, nodes)

    monkeypatch.setattr(RayCluster, "_room", looked_at)
    monkeypatch.setenv("COVIDCNN_COMMIT", "unknown")
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({
        "seeds": [0, 1], "score_test": True, "recipe": {"epochs": 2, "size": 16, "precision": "float32"},
        "variants": [{"filters": [4, 8], "batch_size": 8}, {"model": "ridge"}]}))
    arguments = ["sweep", tmp_path / "sweep.yaml", "--data", tiny_tree, "--keep-models", "--store"]
    code, out, err = run(*arguments, tmp_path / "ray", "--executor", "ray", "--trial-memory", 0.5,
                         "--trial-cpus", os.cpu_count())
    assert code == 0, err
    assert "4 run now" in out
    assert ports
    assert all(address.removeprefix("::ffff:") == "127.0.0.1" for address in ports)
    assert run(*arguments, tmp_path / "local")[0] == 0
    for folder in ("ray", "local"):
        # Model files hold the time at which they were made.
        shutil.rmtree(tmp_path / folder / "models")
    assert results(tmp_path / "ray") == results(tmp_path / "local")


@pytest.mark.long
def test_sweep_of_the_docs_is_the_same_on_two_nodes_and_in_one_process(add_node, cluster, tmp_path):
    text = (PROJECT / "docs/scaling.md").read_text(encoding="utf-8")
    script = re.search(r"```bash\n(cat > sweep.yaml.+?)\n```", text, re.DOTALL)[1]
    (tmp_path / ".venv/bin").mkdir(parents=True)
    command = tmp_path / ".venv/bin/covidcnn"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m covidcnn "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    add_node()
    add_node()
    subprocess.run(["bash", "-c", f"{script} --address {cluster.address}"], cwd=tmp_path, check=True, env=environment)
    # A trial has one core, and one thread, on the cluster.
    subprocess.run([command, "sweep", "sweep.yaml", "--store", "alone"], cwd=tmp_path, check=True,
                   env=environment | dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
                                                    "TF_NUM_INTEROP_THREADS"), "1"))
    assert len(results(tmp_path / "on-ray")) == 8
    assert results(tmp_path / "on-ray") == results(tmp_path / "alone")


@pytest.mark.parametrize(("options", "words"), [
    (["--executor", "ray", "--processes", 2], ["--processes", "--trial-cpus"]),
    (["--address", "10.0.0.1:6379"], ["--address", "--executor ray"]),
    (["--executor", "ray", "--trial-gpus", 1.5], ["--trial-gpus 1.5", "whole number"]),
    (["--trial-gpus", 0.5], ["--trial-", "--executor ray"]),
])
def test_options_that_do_not_go_together_are_refused(options, words, tmp_path, run):
    code, _, err = run("sweep", tmp_path / "sweep.yaml", "--store", tmp_path / "store", *options)
    assert code == 2
    assert all(word in err for word in words)


def test_missing_package_is_named(refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with refused("covidcnn[ray]"):
        run_sweep(TRIALS, TrialStore(tmp_path), None, lambda progress: None, stub_trainer, RayCluster())
