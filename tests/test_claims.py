"""Claims to work: one holder at a time, whatever processes do, and nobody waits for the dead."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topodl._claims import Claim, ClaimLostError, Claims

WORK = "ce_dice-1"


def age(claim, seconds):
    """Let the last renewal of a claim be so long ago."""
    before = os.stat(claim.path).st_mtime - seconds
    os.utime(claim.path, (before, before))


def elsewhere(folder, **values):
    return Claims(folder, machine="another machine", renew_every=1e9, **values)


@pytest.fixture
def here(tmp_path):
    return Claims(tmp_path / "claims", renew_every=1e9)


def test_a_claim_excludes_others_until_it_is_released(here):
    other = elsewhere(here.folder)
    with here.take(WORK) as claim:
        assert other.take(WORK) is None
        assert here.take(WORK) is None
        assert (other.holder(WORK).pid, other.holder(WORK).done) == (os.getpid(), 0)
        claim.done = 7
        claim.confirm()
        assert other.holder(WORK).done == 7
        other.take("cldice-1").release()
    assert other.holder(WORK) is None
    with other.take(WORK) as claim:
        claim.check()
        assert here.take(WORK) is None


def test_finished_work_leaves_no_file(here):
    here.take(WORK).release()
    claim = here.take(WORK)
    claim.finish()
    claim.release()
    assert list(here.folder.iterdir()) == []


def test_names_that_begin_alike_are_different_work(here):
    first, second = here.take("ce-1"), here.take("ce-1.2")
    assert first is not None
    assert second is not None
    first.finish()
    second.confirm()


def test_a_claim_that_nobody_renewed_is_taken_over_and_its_holder_learns_it(here):
    old, other = here.take(WORK), elsewhere(here.folder)
    age(old, 110)
    assert other.take(WORK) is None
    age(old, 20)
    new = other.take(WORK)
    with pytest.raises(ClaimLostError, match="another process has taken over ce_dice-1"):
        old.confirm()
    with pytest.raises(ClaimLostError):
        old.check()
    old.release()
    old.finish()
    new.confirm()
    assert here.take(WORK) is None


def test_a_holder_that_slept_notices_before_it_goes_on(here, monkeypatch):
    old = here.take(WORK)
    age(old, 200)
    elsewhere(here.folder).take(WORK)
    old.check()  # it had no reason to look
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(ClaimLostError):
        old.check()


def test_a_holder_that_cannot_reach_its_claim_gives_up_in_time(here, monkeypatch):
    claim = here.take(WORK)

    def unreachable(self, *arguments):
        raise OSError("stale handle")

    monkeypatch.setattr(Path, "open", unreachable)
    claim.confirm()
    later = time.monotonic() + 121
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(ClaimLostError):
        claim.check()


def test_the_thread_renews(tmp_path):
    claims = Claims(tmp_path, renew_every=0.01)
    with claims.take(WORK) as claim:
        age(claim, 1000)
        deadline = time.monotonic() + 30
        while elsewhere(tmp_path).holder(WORK) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert elsewhere(tmp_path).holder(WORK) is not None


def test_a_dead_process_of_this_machine_is_not_waited_for(here):
    script = (
        "import os, sys, pathlib\n"
        "from topodl._claims import Claims\n"
        f"Claims(pathlib.Path(sys.argv[1])).take({WORK!r})\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(here.folder)], check=False)
    assert len(here.generations(WORK)) == 1
    assert elsewhere(here.folder).take(WORK) is None  # from there one cannot know
    if os.name == "nt":
        pytest.skip("Windows does not say")
    assert here.take(WORK) is not None


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"\xff\xfe", b'{"pid": 1}'])
def test_a_claim_without_a_readable_holder_counts_until_it_is_old(here, record):
    here.folder.mkdir()
    path = here.folder / f"{WORK}.0"
    path.write_bytes(record)
    assert here.take(WORK) is None
    old = time.time() - 200
    os.utime(path, (old, old))
    assert here.take(WORK).path.name == f"{WORK}.1"


def test_a_clock_that_is_wrong_takes_nothing_over(here, monkeypatch):
    here.take(WORK)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert elsewhere(here.folder).take(WORK) is None


def test_of_many_that_take_at_once_one_wins(tmp_path):
    stale = elsewhere(tmp_path).take(WORK)
    for _ in range(20):
        age(stale, 1000)
        start, won = threading.Barrier(8), []

        def take(start=start, won=won):
            claims = Claims(tmp_path, renew_every=1e9)
            start.wait()
            won.append(claims.take(WORK))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [claim for claim in won if claim is not None]
        assert len(winners) == 1
        winners[0].confirm()
        stale = winners[0]


def test_what_was_seen_long_ago_wins_nothing(here, monkeypatch):
    """A process that stands still between looking and taking must not win over what happened meanwhile."""
    stale = here.take(WORK)
    age(stale, 1000)
    slow, fast = elsewhere(here.folder), elsewhere(here.folder)
    seen = slow.generations(WORK)
    holder = None
    for _ in range(3):
        holder = fast.take(WORK)
        holder.release()
    holder = fast.take(WORK)
    answers = iter([seen])
    genuine = Claims.generations
    monkeypatch.setattr(slow, "generations", lambda name: next(answers, None) or genuine(slow, name))
    monkeypatch.setattr(slow, "_holder", lambda path: None)
    assert slow.take(WORK) is None
    holder.confirm()


STEPS = st.sampled_from(["take", "release", "finish", "die", "sleep", "wake", "wait"])


@given(st.lists(st.tuples(STEPS, st.integers(0, 2)), max_size=40))
def test_no_two_processes_ever_have_the_same_work(steps):
    """Three machines in any order of steps; who dies or sleeps renews nothing, who wakes asks first."""
    with tempfile.TemporaryDirectory() as folder:
        machines = [Claims(Path(folder), renew_every=1e9, machine=str(i)) for i in range(3)]
        awake: dict[int, Claim] = {}
        asleep: dict[int, Claim] = {}
        for step, i in steps:
            if step == "take" and i not in awake.keys() | asleep.keys():
                claim = machines[i].take(WORK)
                assert claim is None or not awake
                awake |= {i: claim} if claim is not None else {}
            elif step == "wake" and i in asleep:
                claim = asleep.pop(i)
                awake |= {i: claim} if confirmed(claim) else {}
            elif step == "wait":
                for path in Path(folder).iterdir():
                    os.utime(path, (0, 0))
                assert all(map(confirmed, awake.values()))
            elif step == "sleep" and i in awake:
                asleep[i] = awake.pop(i)
            elif step in ("release", "finish", "die") and i in awake:
                claim = awake.pop(i)
                if step != "die":
                    getattr(claim, step)()
            assert len(awake) <= 1
        for path in Path(folder).iterdir():
            os.utime(path, (0, 0))
        assert awake or machines[0].take(WORK) is not None


def confirmed(claim):
    try:
        claim.confirm()
    except ClaimLostError:
        return False
    return True
