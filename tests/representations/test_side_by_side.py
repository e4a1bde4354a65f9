"""Jobs side by side: each with its own result, in the same order of start, and what fails."""

import math

import pytest
import torch

from topodl.representations._side_by_side import side_by_side


def threads_of(job):
    """Return the thread count of torch where the job runs; it is imported by the processes."""
    return torch.get_num_threads() if job >= 0 else math.sqrt(job)


def test_one_process_runs_jobs_in_order_and_what_waited_for_them():
    seen = list(side_by_side([1, 2], lambda job: job * job, 1, lambda job: [job + 10] if job < 10 else []))
    assert seen == [(1, 1), (2, 4), (11, 121), (12, 144)]


def test_several_processes_have_a_thread_each():
    found = dict(side_by_side([1, 2], threads_of, 2, lambda job: [job + 10] if job < 10 else []))
    assert found == {1: 1, 2: 1, 11: 1, 12: 1}


def test_an_error_of_a_job_reaches_the_caller():
    with pytest.raises(ValueError, match="math domain error"):
        list(side_by_side([-1, 1, 2], threads_of, 2))
