import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

import topodl
from topodl import InputError, TopologicalFeatures, attach
from topodl.layers import (
    BettiCurve,
    CubicalPersistence,
    PersistenceEntropy,
    PersistenceStatistics,
    RipsPersistence,
)
from topodl.losses import CKALoss


class TotalPersistence(nn.Module):
    """A penalty on feature maps (B, C, H, W)."""

    def forward(self, x):
        return topodl.cubical_persistence(x, channels=True).finite().persistence().sum()


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.conv2(torch.relu(self.bn(self.conv1(x)))))


class ResNet(nn.Module):
    """A residual network with the names that torchvision gives its layers."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.layer1 = nn.Sequential(Block(4), Block(4))
        self.layer2 = nn.Sequential(nn.MaxPool2d(2), Block(4))
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))


def make_resnet(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ResNet()


def images(n=4, seed=0):
    return torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def hooks_of(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_penalty_reaches_the_weights_before_the_layer_and_no_others():
    model = make_resnet()
    with attach(model, "layer1.1.conv2", TotalPersistence()) as penalty:
        model(images())
    penalty.value.backward()
    assert model.layer1[1].conv2.weight.grad.abs().sum() > 0
    assert model.stem.weight.grad.abs().sum() > 0
    assert model.fc.weight.grad is None


def test_nothing_is_left_behind():
    model = make_resnet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    keys = {name: set(vars(module)) for name, module in model.named_modules()}
    with attach(model, "layer1.0", TotalPersistence()):
        assert hooks_of(model) == 1
    assert hooks_of(model) == 0
    assert keys == {name: set(vars(module)) for name, module in model.named_modules()}
    assert list(before) == list(model.state_dict())


def test_output_of_the_model_is_untouched():
    model = make_resnet().eval()
    expected = model(images())
    with attach(model, "layer1.0", TotalPersistence()):
        torch.testing.assert_close(model(images()), expected, rtol=0, atol=0)


def test_layers_record_features_of_every_pass():
    model = make_resnet().eval()
    handle = attach(model, "stem", CubicalPersistence(channels=True, dims=0))
    model(images(2))
    model(images(3))
    assert [len(value) for value in handle.values] == [8, 12]
    assert handle.value is handle.values[-1]
    handle.clear()
    with pytest.raises(InputError, match="'stem' has no value"):
        _ = handle.value
    handle.remove()
    model(images(2))
    assert handle.values == []


def test_several_attachments_sum_up():
    model = make_resnet()
    with attach(model, "layer1", TotalPersistence()) as a, attach(model, "layer2", TotalPersistence()) as b:
        model(images())
        model(images())
        single = [value.detach() for value in a.values]
        torch.testing.assert_close(a.total().detach(), torch.stack(single).sum())
        assert a.values == []
        assert len(b.values) == 2
    with pytest.raises(InputError, match="no value"):
        a.total()


def test_an_exception_in_the_forward_pass_leaves_no_value_and_a_working_hook():
    model = make_resnet()
    with attach(model, "layer1", TotalPersistence()) as penalty:
        with pytest.raises(RuntimeError):
            model(torch.rand(2, 5, 12, 12))
        assert penalty.values == []
        model(images())
        assert len(penalty.values) == 1
    assert hooks_of(model) == 0
    with pytest.raises(ZeroDivisionError), attach(model, "layer1", TotalPersistence()):
        raise ZeroDivisionError
    assert hooks_of(model) == 0


def test_unknown_names_are_answered_with_similar_ones():
    with pytest.raises(
        InputError, match=r"name is 'layer1.1.conv3'; expected a submodule .*'layer1.1.conv2'"
    ):
        attach(make_resnet(), "layer1.1.conv3", TotalPersistence())


def test_transform_chooses_what_is_looked_at():
    model = make_resnet()
    with attach(model, "layer1", TotalPersistence(), transform=lambda x: x[:, :1]) as one:
        model(images())
    with attach(model, "layer1", TotalPersistence()) as every:
        model(images())
    assert 0 < one.value < every.value


def test_replicas_report_to_one_handle():
    model = make_resnet()
    penalty = attach(model, "layer1", TotalPersistence())
    replica = copy.deepcopy(model)
    threads = [model(images(2)), replica(images(3))]
    assert len(threads) == len(penalty.values) == 2


def train(model, compiled, steps=2):
    run = torch.compile(model, backend="aot_eager") if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with attach(run, "layer1.1.conv2", TotalPersistence()) as penalty:
        for step in range(steps):
            optimizer.zero_grad()
            loss = run(images(seed=step)).square().mean() + 1e-3 * penalty.total()
            loss.backward()
            optimizer.step()
    return model.state_dict()


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about what it looks at while tracing
def test_training_with_a_penalty_is_the_same_compiled():
    plain, compiled = train(make_resnet(), False), train(make_resnet(), True)
    torch._dynamo.reset()
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_attaching_after_a_compiled_run_is_noticed():
    model = make_resnet().eval()
    run = torch.compile(model, backend="eager")
    run(images())
    with attach(run, "layer1", TotalPersistence()) as penalty:
        run(images())
        assert len(penalty.values) == 1
    run(images())
    assert len(penalty.values) == 1
    torch._dynamo.reset()


def test_transformer_encoder_and_mlp():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    with attach(encoder, "layers.1.linear2", RipsPersistence(dims=0)) as d:
        encoder(torch.rand(3, 5, 8))
    assert len(d.value) == 3
    mlp = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with attach(mlp, "1", RipsPersistence(dims=0), transform=lambda x: x[None]) as d:
        mlp(torch.rand(10, 4))
    d.value.finite().persistence().sum().backward()
    assert mlp[0].weight.grad is not None


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_padded_tokens_that_an_encoder_drops():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    masked = {
        "src": torch.rand(3, 5, 8),
        "src_key_padding_mask": torch.arange(5) >= torch.tensor([[5], [3], [1]]),
    }
    layer = nn.Sequential(RipsPersistence(dims=0), BettiCurve(resolution=4))
    table = TopologicalFeatures(encoder, {"layers.0": layer}, batch_size=2).fit_transform(masked)
    assert table.shape == (3, 4)
    with attach(encoder.eval(), "layers.0", RipsPersistence(dims=0)) as d, torch.no_grad():
        encoder(**masked)
    assert d.value.counts.flatten().tolist() == [5, 3, 1]  # tokens that are padding are no points


def test_hugging_face_bert():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    model = transformers.BertModel(config).eval()
    tokens = torch.randint(0, 30, (4, 7))
    with attach(model, "encoder.layer.1", RipsPersistence(dims=0)) as d:
        model(input_ids=tokens)
    assert len(d.value) == 4
    layer = nn.Sequential(RipsPersistence(dims=0), PersistenceEntropy())
    features = TopologicalFeatures(model, {"encoder.layer.0": layer}, batch_size=3)
    assert features.fit_transform({"input_ids": tokens.numpy()}).shape == (4, 1)


@pytest.mark.parametrize("package", ["torchvision", "timm"])
def test_models_of_other_packages(package):
    pytest.importorskip(package, exc_type=(ImportError, RuntimeError))
    if package == "torchvision":
        import torchvision

        model, name = torchvision.models.resnet18(), "layer3.1.conv2"
    else:
        import timm

        model, name = timm.create_model("resnet18"), "layer3.1.conv2"
    with attach(model.eval(), name, TotalPersistence()) as penalty:
        model(torch.rand(1, 3, 64, 64))
    assert penalty.value > 0


def test_features_of_a_model_in_a_pipeline():
    model = make_resnet()
    layer = nn.Sequential(CubicalPersistence(dims=0), BettiCurve(resolution=6))
    features = TopologicalFeatures(
        model, {"stem": layer, "fc": nn.Identity()}, transforms={"stem": lambda x: x[:, 0]}, batch_size=3
    )
    X, y = images(10).numpy(), np.arange(10) % 2
    pipeline = make_pipeline(features, LogisticRegression())
    assert pipeline.fit(X, y).predict(X).shape == (10,)
    table = features.transform(X)
    assert table.shape == (10, 9)
    assert list(features.get_feature_names_out()[-2:]) == ["fc_1", "fc_2"]
    np.testing.assert_allclose(table[3:5], features.transform(X[3:5]), rtol=1e-5, atol=1e-6)
    assert model.training
    assert hooks_of(model) == 0


def test_channels_stand_side_by_side_in_the_row_of_their_sample():
    layer = nn.Sequential(CubicalPersistence(channels=True), PersistenceStatistics())
    model, X = nn.Sequential(nn.Conv2d(1, 4, 3)), images(5)[:, :1].numpy()
    features = TopologicalFeatures(model, {"0": layer}, batch_size=2)
    table = features.fit_transform(X)
    assert table.shape == (5, len(features.get_feature_names_out()))
    with torch.no_grad():
        expected = layer(model(torch.from_numpy(X))).reshape(5, -1)
    np.testing.assert_allclose(table, expected.numpy(), rtol=1e-5, atol=1e-6)
    odd = TopologicalFeatures(model, {"0": lambda x: x.new_zeros(3, 2)}, batch_size=2)
    with pytest.raises(InputError, match=r"layers\['0'\] gives 3 rows for 2 samples; expected as many rows"):
        odd.fit(X[:2]).transform(X)


def test_features_refuse_what_is_none():
    features = TopologicalFeatures(make_resnet(), {"stem": CubicalPersistence(channels=True)})
    with pytest.raises(InputError, match=r"layers\['stem'\] gives Diagrams"):
        features.fit(images(2))
    with pytest.raises(InputError, match="X has no samples"):
        features.fit(images(0))


def test_progress_is_shown(capsys):
    features = TopologicalFeatures(make_resnet(), {"fc": nn.Identity()}, batch_size=2, verbose=True)
    features.fit_transform(images(4))
    assert "features" in capsys.readouterr().err


def test_a_copy_made_meanwhile_is_free_after_the_removal():
    model = make_resnet()
    with attach(model, "layer1", TotalPersistence()) as penalty:
        average = copy.deepcopy(model)
        average(images())
    average(images())
    assert len(penalty.values) == 1


def test_what_cannot_be_attached_is_named():
    with pytest.raises(TypeError, match=r"attach: model is a function; expected a torch\.nn\.Module"):
        attach(make_resnet, "layer1", TotalPersistence())
    model = make_resnet()
    with pytest.raises(TypeError, match="layer_or_loss is a float; expected a layer, a penalty"):
        attach(model, "layer1", 0.5)
    assert hooks_of(model) == 0


def test_samples_come_to_the_precision_of_the_weights():
    table = np.random.default_rng(0).random((5, 4))
    mlp = nn.Linear(4, 3)
    features = TopologicalFeatures(mlp, {"": nn.Identity()})
    expected = features.fit_transform(table.astype(np.float32))
    for samples in (table, pd.DataFrame(table), torch.from_numpy(table)):
        np.testing.assert_array_equal(features.fit_transform(samples), expected)
    for dtype, kind in ((torch.float64, np.float64), (torch.bfloat16, np.float32)):
        other = TopologicalFeatures(copy.deepcopy(mlp).to(dtype), {"": nn.Identity()})
        assert other.fit_transform(table).dtype == kind


def test_unusable_features_of_a_model_are_named():
    X = images(2)
    features = TopologicalFeatures(make_resnet(), {"fc": nn.Identity()}, batch_size=0)
    for early in (features.transform, features.get_feature_names_out):
        with pytest.raises(NotFittedError):
            early(X)
    with pytest.raises(InputError, match="batch_size is 0"):
        features.fit(X)
    with pytest.raises(InputError, match="layers is empty"):
        TopologicalFeatures(make_resnet(), {}).fit(X)


def two_models():
    generator = torch.Generator().manual_seed(0)
    student, teacher = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Sequential(nn.Linear(4, 5), nn.Tanh())
    return student, teacher, torch.rand(6, 8, 4, generator=generator)


@pytest.mark.parametrize("teacher_first", [False, True])
def test_a_target_is_what_another_model_gives(teacher_first):
    student, teacher, x = two_models()
    with attach(student, "0", CKALoss(tokens=True), target=(teacher, "1")) as alignment:
        for model in (teacher, student) if teacher_first else (student, teacher):
            model(x)
        expected = CKALoss(tokens=True)(student[0](x), teacher(x))
    torch.testing.assert_close(alignment.value, expected)
    alignment.total().backward()
    assert student[0].weight.grad is not None
    assert teacher[0].weight.grad is None
    assert not teacher[1]._forward_hooks
    assert not student[0]._forward_hooks


@pytest.mark.parametrize("teacher_first", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_target_without_gradient_leaves_the_model_its_own(teacher_first, mode):
    student, teacher, x = nn.Linear(4, 3), nn.Linear(4, 3), torch.rand(6, 4)

    def look_at_the_teacher():
        with mode():
            teacher(x)

    with attach(student, "", nn.MSELoss(), target=(teacher, "")) as alignment:
        passes = [look_at_the_teacher, lambda: student(x)]
        for run in passes if teacher_first else reversed(passes):
            run()
    expected = nn.functional.mse_loss(student(x), teacher(x).detach())
    found = torch.autograd.grad(alignment.total(), student.weight)
    torch.testing.assert_close(found, torch.autograd.grad(expected, student.weight))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("teacher_first", [False, True])
def test_outputs_that_are_changed_in_place_afterwards_are_compared_as_they_were(teacher_first):
    student, teacher = (nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True)) for _ in range(2))
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with attach(student, "0", nn.MSELoss(), target=(teacher, "0")) as alignment:
        for model in (teacher, student) if teacher_first else (student, teacher):
            model(x)
    first, second = (x @ model[0].weight.T + model[0].bias for model in (student, teacher))
    torch.testing.assert_close(alignment.value, nn.functional.mse_loss(first, second))


def test_alignment_with_a_target_is_trained():
    student, teacher, x = two_models()
    optimiser = torch.optim.Adam(student.parameters(), lr=0.02)
    with attach(student, "0", CKALoss(tokens=True), target=(teacher, "0")) as alignment:
        values = []
        for _ in range(30):
            student(x), teacher(x)
            loss = alignment.total()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            values.append(loss.item())
    assert values[-1] < values[0] / 2


def test_a_model_that_runs_twice_without_its_target_is_an_error():
    student, teacher, x = two_models()
    with attach(student, "0", CKALoss(tokens=True), target=(teacher, "0")) as alignment:
        student(x)
        with pytest.raises(
            InputError, match="'0' has no value; expected a forward pass of the model and one of"
        ):
            _ = alignment.value
        with pytest.raises(
            InputError, match="the model of '0' has run twice; expected passes of the model and of"
        ):
            student(x)
        alignment.clear()
        teacher(x)
        with pytest.raises(InputError, match="the target of '0' has run twice"):
            teacher(x)
        student(x)
        assert len(alignment.values) == 1


def test_a_target_may_be_what_a_function_returns():
    model, _, x = two_models()
    labels = torch.rand(6, 8, 3, requires_grad=True)
    with attach(model, "0", nn.MSELoss(), target=lambda: labels) as penalty:
        out = model[0](x)
    torch.testing.assert_close(penalty.value, nn.functional.mse_loss(out, labels))
    penalty.value.backward()
    assert labels.grad is None


def test_the_number_of_arguments_is_looked_at_when_attaching():
    model, teacher, _ = two_models()
    with pytest.raises(InputError, match=r"CKALoss needs x, y; expected target=\(model, name\)"):
        attach(model, "0", CKALoss(tokens=True))
    with pytest.raises(InputError, match="target is given, but ReLU takes one argument"):
        attach(model, "0", nn.ReLU(), target=(teacher, "0"))
    with pytest.raises(InputError, match="needs a, b, c; expected a function of the output alone"):
        attach(model, "0", lambda a, b, c: a, target=(teacher, "0"))
    with pytest.raises(TypeError, match=r"target is a str; expected \(model, name\)"):
        attach(model, "0", CKALoss(), target="0")
    with pytest.raises(TypeError, match=r"target is a tuple; expected \(model, name\)"):
        attach(model, "0", CKALoss(), target=("0", teacher))
    with pytest.raises(TypeError, match=r"target takes \(labels\); expected a function without arguments"):
        attach(model, "0", CKALoss(), target=lambda labels: labels)
    with pytest.raises(TypeError, match=r"target\[1\] is a int; expected the name of a submodule"):
        attach(model, "0", CKALoss(), target=(teacher, 1))
    with pytest.raises(InputError, match=r"target\[1\] is 'missing'; expected a submodule"):
        attach(model, "0", CKALoss(), target=(teacher, "missing"))
    assert not model[0]._forward_hooks
