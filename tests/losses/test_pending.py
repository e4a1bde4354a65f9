"""A loss in a thread of its own: the order of events, the same values, errors where they are asked for."""

import threading
from types import SimpleNamespace

import pytest
import torch

from topodl.errors import InputError
from topodl.losses import CEDiceLoss, ClDiceLoss, PendingLoss, TopoLoss, pending, registry
from topodl.persistence import cubical

WAIT = 60.0  # seconds, after which a test fails that would wait for ever


def drawn(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


LABELS = (drawn(2, 8, 8, seed=1) > 0).long()


def gradient_of(value, x):
    return torch.autograd.grad(value, x)[0]


def test_the_pairing_begins_at_once_and_the_base_loss_does_not_wait_for_it(monkeypatch):
    """The device takes until the base loss is differentiated: who waited earlier would wait for ever."""
    events, copied, arrived = [], cubical.to_host, threading.Event()

    def slow_copy(x):
        events.append("copy begins")
        assert arrived.wait(WAIT)
        events.append("copy is there")
        return copied(x)

    monkeypatch.setattr(cubical, "to_host", slow_copy)
    logits = drawn(2, 2, 8, 8).requires_grad_()
    started = PendingLoss(TopoLoss(base_weight=0.0, topology_weight=1.0), logits, LABELS)
    CEDiceLoss()(logits, LABELS).backward()
    events.append("base is differentiated")
    assert not started.done()
    base = logits.grad.clone()
    arrived.set()
    started.result().backward()
    events.append("topology is differentiated")
    assert sorted(events[:2]) == ["base is differentiated", "copy begins"]
    assert events[-1] == "topology is differentiated"
    assert set(events[2:-1]) == {"copy is there"} | ({"copy begins"} & set(events[2:-1]))
    assert not torch.equal(logits.grad, base)


@pytest.mark.parametrize("name", sorted(registry.keys() - {"mosin", "cavity"}))
def test_values_and_gradients_are_those_of_the_loss(name):
    logits = drawn(2, 2, 8, 8).requires_grad_()
    loss = registry[name]()
    expected, found = loss(logits, LABELS), PendingLoss(loss, logits, LABELS).result()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient_of(found, logits), gradient_of(expected, logits))


def test_gradients_of_both_terms_add_up_behind_a_network():
    images, network = drawn(2, 3, 8, 8), torch.nn.Conv2d(3, 2, 3, padding=1)
    base, topology = CEDiceLoss(), TopoLoss(base_weight=0.0, topology_weight=1.0)
    logits = network(images)
    (base(logits, LABELS) + topology(logits, LABELS)).backward()
    expected = network.weight.grad.clone()
    network.zero_grad()
    logits = network(images)
    head = logits.detach().requires_grad_()
    started = PendingLoss(topology, head, LABELS)
    base(head, LABELS).backward()
    started.result().backward()
    logits.backward(head.grad)
    torch.testing.assert_close(network.weight.grad, expected)


def test_gradcheck():
    loss, labels = TopoLoss(topology_weight=1.0), LABELS[:1, :5, :5]
    logits = drawn(1, 2, 5, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: PendingLoss(loss, x, labels).result(), logits)


def test_several_at_once_keep_to_themselves():
    logits = [drawn(1, 2, 8, 8, seed=i).requires_grad_() for i in range(4)]
    loss = TopoLoss()
    started = [PendingLoss(loss, x, LABELS[:1]) for x in logits]
    for x, each in zip(logits, started, strict=True):
        torch.testing.assert_close(each.result(), loss(x, LABELS[:1]))
        assert each.result() is each.result()
        assert each.done()


def test_mixed_precision_is_that_of_the_caller():
    weights, logits = drawn(8, 8), drawn(8, 8, seed=1)

    def loss(x):
        return (x @ weights).sum()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = PendingLoss(loss, logits).result(), loss(logits)
    assert torch.equal(found, expected)
    assert not torch.equal(found, loss(logits))


def test_without_gradients_there_are_none():
    with torch.no_grad():
        value = PendingLoss(ClDiceLoss(), drawn(1, 2, 8, 8).requires_grad_(), LABELS[:1]).result()
    assert not value.requires_grad


def test_the_error_of_a_loss_comes_where_its_value_is_asked_for():
    started = PendingLoss(TopoLoss(), drawn(1, 2, 8, 8), LABELS[:1] + 5)
    with pytest.raises(InputError, match=r"topo_loss: target\[0\] has the label"):
        started.result()


def test_what_does_not_follow_into_a_thread_is_refused():
    with pytest.raises(TypeError, match="loss is a str"):
        PendingLoss("topo_loss", drawn(1, 2, 8, 8), LABELS[:1])
    with pytest.raises(InputError, match="inside a transform"):
        torch.func.grad(lambda x: PendingLoss(TopoLoss(), x, LABELS[:1]).result())(drawn(1, 2, 8, 8))


def test_on_a_device_with_streams_the_loss_has_one_of_its_own(monkeypatch):
    """Streams are substituted: the copy waits for what was queued before it, the caller for the value."""
    events = []

    class Stream:
        def __init__(self, name="own", device=None):
            self.name = name

        def wait_stream(self, other):
            events.append(f"{self.name} waits for {other.name}")

        def __enter__(self):
            events.append(f"on {self.name}")

        def __exit__(self, *error):
            events.append(f"off {self.name}")

    callers = Stream("the caller's")
    module = SimpleNamespace(
        Stream=Stream, current_stream=lambda device: callers, stream=lambda stream: stream
    )
    monkeypatch.setattr(pending.torch, "get_device_module", lambda device: module)

    class Tensor(torch.Tensor):
        is_cpu = False

        def record_stream(self, stream):
            events.append(f"kept for {stream.name}")

    logits = drawn(1, 2, 8, 8).as_subclass(Tensor)
    value = PendingLoss(lambda x: x.mean(), logits).result()
    assert float(value) == float(logits.mean())
    assert events == [
        *("own waits for the caller's", "kept for own", "on own", "off own"),
        *("the caller's waits for own", "kept for the caller's"),
    ]
