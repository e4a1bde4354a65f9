"""Trainers of other libraries tell every loss inside a module how far the training is."""

import pytest
import torch
from torch import nn

from topodl.errors import InputError
from topodl.losses import SCNP, CEDiceLoss, ClDiceLoss, SkeletonRecallLoss

STEPS = 4


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(1, 2, 3, padding=1)
        self.losses = nn.ModuleList([ClDiceLoss(iterations=2, active_from=0.5), SkeletonRecallLoss()])
        self.seen = []

    def forward(self, x):
        return self.net(x)

    def loss_of(self, x, y):
        self.seen.append([loss._progress for loss in self.losses])
        return sum(loss(self(x), y) for loss in self.losses)


def batches(n=STEPS):
    torch.manual_seed(0)
    return [(torch.randn(1, 1, 8, 8), torch.randint(2, (1, 1, 8, 8))) for _ in range(n)]


EXPECTED = [[step / STEPS] * 2 for step in range(STEPS)]


@pytest.mark.filterwarnings("ignore")  # of its own deprecations
def test_lightning_tells_all_losses_of_a_module_the_share_of_the_steps(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from topodl.integrations.lightning import LossProgress

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = Model()

        def training_step(self, batch, index):
            return self.model.loss_of(*batch)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.01)

    module = Module()
    loader = torch.utils.data.DataLoader(batches(), batch_size=None)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[LossProgress()],
    )
    trainer.fit(module, loader)
    assert module.model.seen == EXPECTED


@pytest.mark.filterwarnings("ignore")
def test_ignite_tells_all_losses_the_share_of_the_iterations():
    engine = pytest.importorskip("ignite.engine")
    from topodl.integrations.ignite import LossProgress

    model = Model()
    trainer = engine.Engine(lambda _, batch: model.loss_of(*batch).item())
    LossProgress(model).attach(trainer)
    trainer.run(batches(2), max_epochs=2)
    assert model.seen == EXPECTED


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_tells_the_losses_that_were_handed_in_or_found(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from topodl.integrations.transformers import LossProgress

    class WithLoss(Model):
        def forward(self, x, labels):
            return {"loss": self.loss_of(x, labels)}

        def loss_of(self, x, y):
            self.seen.append([loss._progress for loss in self.losses])
            return sum(loss(self.net(x), y) for loss in self.losses)

    data = [{"x": x[0], "labels": y[0]} for x, y in batches()]
    for chosen in (False, True):
        model = WithLoss()
        args = transformers.TrainingArguments(
            str(tmp_path),
            num_train_epochs=1,
            per_device_train_batch_size=1,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
        )
        callback = LossProgress(model.losses[0]) if chosen else LossProgress()
        transformers.Trainer(model, args, train_dataset=data, callbacks=[callback]).train()
        expected = [[share, 0.0] for share, _ in EXPECTED] if chosen else EXPECTED
        assert model.seen == expected


def test_losses_inside_others_are_told_once_each():
    from topodl.integrations._progress import losses_within, tell_progress

    wrapped = SCNP(ClDiceLoss(iterations=2, active_from=0.5))
    losses = losses_within("f", "modules", [nn.Sequential(wrapped), CEDiceLoss()])
    tell_progress(losses, 3, 4)
    assert wrapped.topology_scale == 1.0
    tell_progress(losses, 1, float("inf"))  # of an endless training nothing is known
    assert wrapped.topology_scale == 1.0


def test_a_module_without_a_loss_is_named():
    from topodl.integrations._progress import losses_within

    with pytest.raises(InputError, match="f: modules has no loss of topodl"):
        losses_within("f", "modules", [nn.Linear(1, 1)])
