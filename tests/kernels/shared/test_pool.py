"""The pool of threads: order, nesting, shares, errors, changes of size, forks."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

import topodl
from topodl.kernels.shared import pool
from topodl.kernels.shared.pool import map_batch


@pytest.fixture(autouse=True)
def _restore_num_threads():
    before = topodl.get_num_threads()
    yield
    topodl.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_results_come_in_the_order_of_the_items(threads):
    topodl.set_num_threads(threads)
    assert map_batch(lambda i: i * i, range(100)) == [i * i for i in range(100)]


def test_several_items_run_at_the_same_time():
    topodl.set_num_threads(2)
    barrier = threading.Barrier(2, timeout=30)
    map_batch(lambda _: barrier.wait(), range(2))  # would time out if the two ran one after the other


def test_nested_batches_do_not_wait_for_each_other():
    topodl.set_num_threads(2)
    nested = map_batch(lambda i: map_batch(lambda j: (i, j), range(3)), range(8))
    assert nested == [[(i, j) for j in range(3)] for i in range(8)]


def test_error_of_an_item_reaches_the_caller():
    topodl.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        map_batch(lambda i: 1 // i, [1, 0, 2])


def test_nothing_goes_on_behind_an_error():
    topodl.set_num_threads(2)
    done = []

    def work(i):
        if i == 0:
            raise KeyboardInterrupt
        time.sleep(0.01)
        done.append(i)

    with pytest.raises(KeyboardInterrupt):
        map_batch(work, range(500))
    time.sleep(0.1)
    count = len(done)
    time.sleep(0.1)
    assert len(done) == count < 400


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, None])
def test_set_num_threads_rejects(n):
    with pytest.raises(
        topodl.InputError, match=r"set_num_threads: n is .*; expected an integer of at least 1"
    ):
        topodl.set_num_threads(n)


def test_many_python_threads_may_use_and_resize_the_pool():
    failures = []

    def work(seed):
        for i in range(50):
            if i % 10 == seed:
                topodl.set_num_threads(1 + (i + seed) % 4)
            if map_batch(lambda x: x + 1, [1, 2, 3]) != [2, 3, 4]:
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures


def _square_in_child(queue):
    queue.put(map_batch(lambda i: i * i, range(10)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_its_own_pool():
    topodl.set_num_threads(2)
    map_batch(lambda i: i, range(10))  # the parent's pool is running at the time of the fork
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_square_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == [i * i for i in range(10)]
    child.join(timeout=60)
    assert child.exitcode == 0


def test_a_batch_at_the_exit_of_the_interpreter_runs_serially():
    code = (
        "import atexit, topodl\n"
        "from topodl.kernels.shared.pool import map_batch\n"
        "topodl.set_num_threads(2)\n"
        "map_batch(abs, [-1, -2])\n"
        "atexit.register(lambda: print(map_batch(abs, [-3, -4])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[3, 4]", "")


@pytest.mark.parametrize("most", [0, 1])
def test_where_no_more_threads_start_the_others_do_the_work(monkeypatch, most):
    topodl.set_num_threads(4)
    started, start_thread = [], threading.Thread.start

    def start(thread):
        if len(started) == most:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert map_batch(lambda i: i * i, range(20)) == [i * i for i in range(20)]
    assert map_batch(lambda i: i * i, range(20)) == [i * i for i in range(20)]
    assert len(started) == most


def test_of_several_errors_the_first_item_s_is_raised():
    topodl.set_num_threads(4)
    second_failed = threading.Event()

    def work(i):
        if i == 0:
            second_failed.wait(30)
        else:
            second_failed.set()
        raise ValueError(i)

    with pytest.raises(ValueError, match=r"^0$"):
        map_batch(work, range(4))


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_work_inside_of_work_runs_on_no_more_threads_than_were_asked_for(threads):
    topodl.set_num_threads(threads)
    running, most, lock = [0], [0], threading.Lock()

    def inner(_):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.002)
        with lock:
            running[0] -= 1

    def outer(_):
        map_batch(inner, range(4))
        map_batch(inner, range(4))

    map_batch(outer, range(3))
    assert 1 < most[0] <= threads


def test_parts_of_a_sample_run_on_what_the_batch_leaves_free():
    topodl.set_num_threads(4)
    both = threading.Barrier(4, timeout=30)
    map_batch(lambda _: map_batch(lambda _: both.wait(), range(2)), range(2))  # would time out on two threads


def test_a_sample_splits_by_its_share_of_the_threads():
    topodl.set_num_threads(8)
    assert len(pool.split(1000, 1)) == 8
    together = threading.Barrier(3, timeout=30)

    def count_parts(_):
        together.wait()
        n_parts = len(pool.split(1000, 1))
        together.wait()
        return n_parts

    assert map_batch(count_parts, range(3)) == [2, 2, 2]
    topodl.set_num_threads(1)
    assert pool.split(1000, 1) == [(0, 1000)]


@pytest.mark.parametrize("n", [0, 1, 5, 10, 11, 99])
@pytest.mark.parametrize("least", [1, 4])
def test_splits_cover_everything_once(n, least):
    topodl.set_num_threads(7)
    parts = pool.split(n, least)
    assert [i for first, last in parts for i in range(first, last)] == list(range(n))
    assert len(parts) == 1 or min(last - first for first, last in parts) >= least


def test_a_pool_has_a_sane_number_of_threads():
    topodl.set_num_threads(10**6)
    assert map_batch(lambda i: i, range(3000)) == list(range(3000))
    assert topodl.get_num_threads() == 10**6
    assert threading.active_count() < 1000


@pytest.mark.parametrize(
    ("value", "expected"), [("1", 1), ("2", 2), ("2,4", 2), ("99", 3), ("", 3), ("0", 3), ("many", 3)]
)
def test_the_variable_of_clusters_limits_threads(monkeypatch, value, expected):
    monkeypatch.setattr(pool, "usable_cpus", lambda: 3)
    monkeypatch.setattr(pool, "_num_threads", None)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert topodl.get_num_threads() == expected
    monkeypatch.setattr(pool, "_num_threads", 5)
    assert topodl.get_num_threads() == 5
