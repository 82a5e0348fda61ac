"""On a Ray cluster of two nodes: the same parts as on one machine, though a node is lost, and the same model."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowmint.cluster import Cluster, connected, fit_on_cluster, jobs, mint_on_cluster
from flowmint.cluster.fit import _fit_worker
from flowmint.errors import FlowmintError, SettingError, TableError
from flowmint.flows import stream
from flowmint.flows.faults import Faults
from flowmint.flows.stream import open_stream
from flowmint.generators import VAE, Oversampler
from flowmint.generators.checkpoint import Checkpoint
from flowmint.parts import Wanted, mint_folder

WANTED = Wanted(rows=410, class_name="attack", part_rows=20, seed=3)


def make_table():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"size": rng.normal(size=60), "service": rng.choice(["dns", "http"], 60)})
    return table, pl.Series("label", ["benign", "attack"] * 30)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "model"
    Oversampler(method="smote", rules="none").fit(*make_table()).save(folder)
    return folder


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="the extra ray is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    with connected(cluster.address):  # one connection for all tests: processes are warm from the second on
        yield cluster
    cluster.shutdown()


class Losing:
    """A progress that ends a node without warning once some rows are there."""

    def __init__(self, lose):
        self.lose, self.done = lose, []

    @contextmanager
    def stage(self, *_, **__):
        yield self

    def advance(self, amount):
        self.done.append(amount)
        if sum(self.done) >= 60 and self.lose is not None:
            self.lose()
            self.lose = None


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# Ray Train calls what Ray Data deprecates, whatever we ask of it; the filter names that one module.
rays_own_warnings = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")


def read(generator, folder):
    """Read a table batch by batch, fewer rows of it than there are."""
    rows, labels = make_table()
    rows.with_columns(labels).write_parquet(folder / "table.parquet")
    with open_stream(folder / "table.parquet", scratch=folder) as stream:
        return generator.read_stream(stream, label="label", rows=40)


@rays_own_warnings
@pytest.mark.parametrize("streamed", [False, True])
def test_one_worker_fits_what_a_plain_fit_does(streamed, cluster, tmp_path, tmp_path_factory):
    make = partial(VAE, steps=20, width=32, rules="none")
    given = read(make(), tmp_path_factory.mktemp("table")) if streamed else make_table()
    plain = make().fit_reading(given) if streamed else make().fit(*given)
    plain.save(tmp_path / "plain")
    with Checkpoint.beside(tmp_path / "model") as checkpoint:
        fitted = fit_on_cluster(make(), given, checkpoint=checkpoint, address=cluster.address)
    assert (fitted.streamed_ is not None) == streamed
    fitted.save(tmp_path / "model")
    assert contents(tmp_path / "model") == contents(tmp_path / "plain")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "plain"]


def fitting_workers():
    """Numbers of the processes of this machine that fit for Ray Train."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # a process that has just ended
            if b"TrainWorker" in place.read_bytes():
                found.append(int(place.parent.name))
    return found


@rays_own_warnings
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
def test_a_worker_that_is_killed_while_it_fits_is_replaced(cluster, tmp_path):
    make = partial(VAE, steps=4_000, width=32, rules="none")
    make().fit(*make_table()).save(tmp_path / "plain")
    killed = []

    def kill():
        while not killed and (tmp_path / "model").exists() is False:
            for number in fitting_workers():
                time.sleep(1.0)  # it trains by now, or is about to
                os.kill(number, signal.SIGKILL)
                killed.append(number)
                return
            time.sleep(0.05)

    with ThreadPoolExecutor(1) as pool, Checkpoint.beside(tmp_path / "model") as checkpoint:
        ended = pool.submit(kill)
        fitted = fit_on_cluster(make(), make_table(), checkpoint=checkpoint, address=cluster.address)
        fitted.save(tmp_path / "model")
        ended.result()
    assert len(killed) == 1
    assert contents(tmp_path / "model") == contents(tmp_path / "plain")


@rays_own_warnings
def test_a_node_that_is_lost_loses_and_duplicates_no_row(cluster, model, tmp_path):
    mint_folder(model, tmp_path / "plain", WANTED)
    second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    losing = Losing(lambda: cluster.remove_node(second, allow_graceful=False))
    assert mint_on_cluster(model, tmp_path / "minted", WANTED, address=cluster.address, progress=losing) == 410
    assert losing.lose is None
    assert contents(tmp_path / "minted") == contents(tmp_path / "plain")
    assert sum(losing.done) == 410


@rays_own_warnings
def test_a_finished_folder_is_left_and_an_interrupted_one_finished(cluster, model, tmp_path):
    mint_folder(model, tmp_path / "minted", WANTED)
    before = contents(tmp_path / "minted")
    assert mint_on_cluster(model, tmp_path / "minted", WANTED, address=cluster.address) == 0
    (tmp_path / "minted" / "part-00019.parquet").unlink()
    assert mint_on_cluster(model, tmp_path / "minted", WANTED, address=cluster.address) == 30
    assert contents(tmp_path / "minted") == before


@rays_own_warnings
@pytest.mark.parametrize("streamed", ["--stream", "--no-stream"])
def test_balancing_writes_what_one_machine_does(streamed, cluster, tmp_path):
    from typer.testing import CliRunner

    from flowmint.cli.main import app

    rows, labels = make_table()
    file, written = tmp_path / "table.parquet", []
    rows.with_columns(labels).filter(pl.int_range(60) % 5 != 1).write_parquet(file)
    for place, ray in (("plain", []), ("minted", ["--ray", cluster.address])):
        out = tmp_path / place / "balanced.parquet"
        out.parent.mkdir()
        arguments = ["balance", file, "--label", "label", "--generator", "smote", "--out", out, streamed, *ray]
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        assert [path.name for path in out.parent.iterdir()] == ["balanced.parquet"]
        written.append(out.read_bytes())
    assert written[0] == written[1]
    assert pl.read_parquet(out)["label"].value_counts()["count"].n_unique() == 1


def squared(number):
    return number * number


def end_at_three(number):
    if number == 3:
        os._exit(1)
    return number


def refuse_three(number):
    if number == 3:
        message = "three cannot be"
        raise TableError(message)
    return number


@rays_own_warnings
def test_results_come_in_the_order_of_jobs_and_errors_as_they_were_raised(cluster):
    runner = Cluster(cluster.address)
    assert list(runner(squared, range(20))) == [number**2 for number in range(20)]
    assert list(runner(squared, [])) == []
    with pytest.raises(TableError, match=r"^three cannot be$"):
        list(runner(refuse_three, range(5)))


@rays_own_warnings
def test_a_job_that_ends_its_process_each_time_is_told_in_a_sentence(cluster, monkeypatch):
    monkeypatch.setattr(jobs, "RETRIES", 1)
    with pytest.raises(FlowmintError, match=r"a job was lost 2 times .*; repeat the command to go on"):
        list(Cluster(cluster.address)(end_at_three, range(5)))


@rays_own_warnings
def test_pieces_of_a_table_that_nodes_read_make_what_one_machine_reads(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "PIECE_BATCHES", 1)
    rng = np.random.default_rng(5)
    rows, folder = 300_000, tmp_path / "captures"
    folder.mkdir()
    for name, low in (("Mirai1", 0), ("Benign1", 50_000), ("Benign2", 90_000)):
        values = {"size": rng.integers(low, low + 200_000, rows // 3), "port": rng.choice(["a", "b"], rows // 3)}
        pl.DataFrame(values).with_columns(twice=2 * pl.col("size")).write_csv(folder / f"{name}.csv")
    with (folder / "Benign1.csv").open("a") as file:
        file.write("1,2\n")
    found = []
    for runner in (None, Cluster(cluster.address)):
        faults = Faults()
        with open_stream(folder, scratch=tmp_path, label_from_name=True, faults=faults, runner=runner) as opened:
            assert len(opened.pieces) == (1 if runner is None else 3)
            reading = Oversampler(method="smote").read_stream(opened, label="Label", rows=5000)
        found.append((reading, faults))
    (here, told), (there, retold) = found
    assert told == retold
    assert told.rows == 1
    assert_frame_equal(there.drawn.table, here.drawn.table)
    assert there.validity.to_json() == here.validity.to_json()
    for one, other in zip(there.streamed.encoder.supports, here.streamed.encoder.supports, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.edges, other.edges)


def test_what_the_user_can_mend_is_told_once(tmp_path):
    given = (make_table()[0].with_columns(x=pl.lit(None)), make_table()[1])
    _fit_worker(VAE(missing="error", rules="none"), given, tmp_path / ".model.checkpoint", tmp_path, replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["error"]
    assert "'x'" in (tmp_path / "error").read_text()


def test_without_ray_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingError, match=r"pip install 'flowmint\[ray\]'"), connected("local"):
        pass


def test_options_that_do_not_go_together_are_refused(model, tmp_path):
    from typer.testing import CliRunner

    from flowmint.cli.main import app

    file = tmp_path / "minted.parquet"
    for arguments in (
        ["sample", model, "--rows", 3, "--out", file, "--ray", "local"],
        ["fit", file, "--label", "x", "--out", tmp_path / "m", "--workers", 2],
    ):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 2, result.output
