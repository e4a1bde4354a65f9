import gc
import logging
import shutil
import weakref

import pytest
import torch
from torch import nn

from topodl.attention import AttentionRecorder, AttentionTopology, record
from topodl.errors import InputError

TOPOLOGY = AttentionTopology(("graph.components", "barcode.h0.sum", "pattern.self"), thresholds=(0.1,))


def encoder(dropout: float = 0.1, **options: object) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 24, dropout=dropout, batch_first=True)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16), **options).eval()


def tokens(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(5, 90, (len(lengths), max(lengths)))
    return ids, (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def tensors(output: object) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output
    return [t for part in parts if isinstance(part, torch.Tensor | tuple | list) for t in tensors(part)]


def assert_same(first: object, second: object, exact: bool) -> None:
    pairs = list(zip(tensors(first), tensors(second), strict=True))
    assert pairs
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=0, atol=0.0 if exact else 1e-6)


def hugging_face(name: str) -> tuple[nn.Module, dict[str, torch.Tensor], tuple[int, ...]]:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    ids, mask = tokens(7, 4, 1)
    text = {"input_ids": ids, "attention_mask": mask}
    if name == "bert":
        model = transformers.BertModel(transformers.BertConfig(vocab_size=99, **small))
        return model.eval(), text, (3, 2, 4, 7, 7)
    if name == "gpt2":
        config = transformers.GPT2Config(vocab_size=99, n_embd=16, n_layer=2, n_head=4)
        return transformers.GPT2Model(config).eval(), text, (3, 2, 4, 7, 7)
    if name == "t5":
        config = transformers.T5Config(vocab_size=99, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4)
        return transformers.T5Model(config).eval(), text | {"decoder_input_ids": ids[:, :5]}, (3, 2, 4, 7, 7)
    model = transformers.ViTModel(transformers.ViTConfig(image_size=16, patch_size=8, **small))
    return model.eval(), {"pixel_values": torch.randn(2, 3, 16, 16)}, (2, 2, 4, 5, 5)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "vit"])
def test_hugging_face_models(name, kind):
    model, inputs, shape = hugging_face(name)
    model.set_attn_implementation(kind)
    kind = model.config._attn_implementation  # T5 has only the eager one before transformers 5.15
    with torch.no_grad():
        before = model(**inputs)
        with record(model, layers="encoder" if name == "t5" else None) as recorder:
            during = model(**inputs)
        with record(model, features=TOPOLOGY) as on_the_fly:
            model(**inputs)
        after = model(**inputs)
    assert_same(before, during, exact=kind == "eager")
    assert_same(before, after, exact=True)
    assert bool(recorder.switched) == (kind == "sdpa")
    assert model.config._attn_implementation == kind
    maps = recorder.attention()
    assert maps.shape == shape
    if name != "gpt2":
        torch.testing.assert_close(maps.sum(-1), torch.ones(shape[:-1]))
    expected = TOPOLOGY(maps, inputs.get("attention_mask"))
    torch.testing.assert_close(on_the_fly.features()[:, : expected.shape[1]], expected)
    layers = 4 if name == "t5" else 2
    assert len(on_the_fly.feature_names()) == on_the_fly.features().shape[1] == layers * 4 * 3


def test_maps_equal_what_the_model_itself_returns():
    model, inputs, _ = hugging_face("bert")
    model.set_attn_implementation("eager")
    with torch.no_grad(), record(model) as recorder:
        own = model(**inputs, output_attentions=True).attentions
    assert torch.equal(recorder.attention(), torch.stack(own, 1))


def test_cross_attention_is_kept_as_a_map_and_left_out_of_features():
    model, inputs, _ = hugging_face("t5")
    with torch.no_grad(), record(model) as recorder:
        model(**inputs)
    cross = [name for name in recorder.maps[0] if "EncDec" in name]
    assert [recorder.maps[0][name].shape[-2:] for name in cross] == [(5, 7), (5, 7)]
    with pytest.raises(InputError, match="expected one shape"):
        recorder.attention()


@pytest.mark.parametrize("masked", [True, False])
def test_cross_attention_between_equal_lengths_is_left_out_of_features(masked):
    model, inputs, _ = hugging_face("t5")
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    inputs |= {"decoder_input_ids": ids.flip(1)} | ({"decoder_attention_mask": mask} if masked else {})
    with torch.no_grad(), record(model) as maps, record(model, features=TOPOLOGY) as recorder:
        model(**inputs)
    encoder_maps, decoder_maps = maps.attention().chunk(2, 1)
    expected = [TOPOLOGY(encoder_maps, mask), TOPOLOGY(decoder_maps, mask if masked else None)]
    torch.testing.assert_close(recorder.features(), torch.cat(expected, 1))


class Wrapper(nn.Module):
    """A classifier that hides the names of its encoder's arguments."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(16, 2)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.head(self.encoder(batch["ids"], batch["mask"]).last_hidden_state)


def test_mask_and_ids_are_those_that_the_inner_model_is_called_with():
    model, inputs, _ = hugging_face("bert")
    ids, mask = inputs.values()
    topology = AttentionTopology(("barcode.h0.sum", "sink"), token_classes={"low": list(range(50))})
    with torch.no_grad(), record(model, features=topology) as direct:
        model(**inputs)
    with torch.no_grad(), record(Wrapper(model), features=topology) as wrapped:
        wrapped.model({"ids": ids, "mask": mask})
    torch.testing.assert_close(wrapped.features(), direct.features(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["DebertaV2", "RoFormer", "XLM"])
def test_models_that_return_probabilities_only_if_asked(name):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    small = {"emb_dim": 16, "n_layers": 2, "n_heads": 4} if name == "XLM" else small
    model = getattr(transformers, f"{name}Model")(
        getattr(transformers, f"{name}Config")(vocab_size=99, **small)
    )
    ids, mask = tokens(7, 4, 1)
    inputs = {"input_ids": ids, "attention_mask": mask}
    with torch.no_grad():
        before, asked = model.eval()(**inputs), model(**inputs, output_attentions=True)
        with record(model) as recorder:
            during = model(**inputs)
    assert_same(before, during, exact=True)
    torch.testing.assert_close(recorder.attention(), torch.stack(asked.attentions, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_torch_encoder(nested, masked):
    model = encoder(enable_nested_tensor=nested)
    padding = tokens(6, 3)[1] == 0 if masked else None
    x = torch.randn(2, 6, 16)
    with torch.no_grad():
        before = model(x, src_key_padding_mask=padding)
        with record(model) as recorder:
            during = model(x, src_key_padding_mask=padding)
        with record(model, features=TOPOLOGY) as on_the_fly:
            model(x, src_key_padding_mask=padding)
        assert torch.equal(model(x, src_key_padding_mask=padding), before)
    torch.testing.assert_close(during, before, rtol=0, atol=2e-6)
    maps = recorder.attention()
    assert maps.shape == (2, 2, 4, 6, 6)
    torch.testing.assert_close(on_the_fly.features(), TOPOLOGY(maps, None if padding is None else ~padding))
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("average", [True, False])
def test_multihead_attention_returns_what_was_asked(need_weights, average):
    torch.manual_seed(0)
    model = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        before = model(x, x, x, None, need_weights, average_attn_weights=average)
        with record(model) as recorder:
            during = model(x, x, x, None, need_weights, average_attn_weights=average)
    torch.testing.assert_close(during[0], before[0], rtol=0, atol=1e-6)
    assert (during[1] is None) == (before[1] is None)
    if need_weights:
        torch.testing.assert_close(during[1], before[1])
    assert recorder.attention().shape == (3, 1, 2, 5, 5)


# How inductor rounds differs from eager mode; what is recorded runs uncompiled.
BACKENDS = {"eager": 1e-6, "aot_eager": 1e-6, "inductor": 1e-5}


def test_hooks_and_recorders_from_before_see_what_was_asked():
    torch.manual_seed(0)
    attention, x, seen = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(2, 5, 8), []
    attention.register_forward_hook(lambda module, args, output: seen.append(output[1]))
    with record(attention) as maps, record(attention, features=TOPOLOGY) as features:
        _, weights = attention(x, x, x, need_weights=False)
    assert weights is None
    assert seen == [None]
    torch.testing.assert_close(features.features(), TOPOLOGY(maps.attention()))


def test_queries_without_any_key_keep_their_output():
    model, x, padding = encoder(enable_nested_tensor=False), torch.randn(3, 6, 16), torch.zeros(3, 6).bool()
    padding[0], padding[1, :2] = True, True
    causal = torch.ones(6, 6).triu(1).bool()
    for mask in (None, causal):
        before = model(x, mask=mask, src_key_padding_mask=padding)
        with record(model, features=TOPOLOGY) as recorder:
            during = model(x, mask=mask, src_key_padding_mask=padding)
        assert before.isfinite().all()
        assert_same(before, during, exact=False)
        assert recorder.features().isfinite().all()
        assert not recorder.features()[0].any()


@pytest.mark.parametrize(
    ("name", "backend"),
    [("bert", "eager"), ("torch", "eager"), ("torch", "aot_eager"), ("torch", "inductor")],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_models(name, backend):
    if backend == "inductor" and not any(map(shutil.which, ("g++", "clang++"))):
        pytest.skip("inductor needs a C++ compiler")
    if name == "torch":
        model, inputs = encoder(enable_nested_tensor=False), {"src": torch.randn(2, 6, 16)}
    else:
        model, inputs, _ = hugging_face(name)
    torch.compiler.reset()
    compiled = torch.compile(model, backend=backend)
    with torch.no_grad():
        plain, before = model(**inputs), compiled(**inputs)
        with record(compiled, features=TOPOLOGY) as recorder:
            during = compiled(**inputs)
        with record(compiled) as maps:
            compiled(**inputs)
        after = compiled(**inputs)
    assert_same(plain, during, exact=False)
    for a, b in zip(tensors(before), tensors(during), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=BACKENDS[backend])
    assert_same(before, after, exact=True)
    expected = TOPOLOGY(maps.attention(), inputs.get("attention_mask"))
    torch.testing.assert_close(recorder.features(), expected)


@pytest.mark.parametrize("name", ["bert", "torch"])
def test_features_on_the_fly_hold_one_layer_at_a_time(name):
    if name == "torch":
        model, inputs = encoder(enable_nested_tensor=False), {"src": torch.randn(2, 6, 16)}
    else:
        model, inputs, _ = hugging_face(name)
    alive: list[weakref.ref[torch.Tensor]] = []
    most = []
    compute = AttentionTopology.features_of

    def watched(self, samples):
        gc.collect()
        most.append(sum(ref() is not None for ref in alive))
        storage = samples[0].attention
        alive.append(weakref.ref(storage._base if storage._base is not None else storage))
        return compute(self, samples)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(AttentionTopology, "features_of", watched)
        with record(model, features=TOPOLOGY) as recorder:
            for _ in range(3):
                model(**inputs)
    gc.collect()
    assert len(alive) == 6
    assert max(most) == 0  # the maps of the layer before are gone
    assert not any(ref() is not None for ref in alive)
    assert recorder.maps == []


class TimmLikeAttention(nn.Module):
    """The interface of timm's attention modules: a switch `fused_attn` and the dropout `attn_drop`."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.attn_drop, self.fused_attn = nn.Linear(8, 24), nn.Dropout(0.5), True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        if self.fused_attn:
            out = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5 if self.training else 0.0)
        else:
            out = self.attn_drop((q @ k.mT / 2).softmax(-1)) @ v
        return out.transpose(1, 2).flatten(2)


def test_timm_interface():
    model = nn.Sequential(TimmLikeAttention(), TimmLikeAttention())
    x = torch.randn(2, 5, 8)
    with record(model) as recorder:  # probabilities are taken before dropout, so training mode is fine
        model(x)
    torch.testing.assert_close(recorder.attention().sum(-1), torch.ones(2, 2, 2, 5))
    assert model[0].fused_attn
    model.eval()
    before = model(x)
    with record(model):
        torch.testing.assert_close(model(x), before, rtol=0, atol=1e-6)


def test_real_timm_model():
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_tiny_patch16_224", img_size=32).eval()
    with torch.no_grad(), record(model) as recorder:
        model(torch.randn(2, 3, 32, 32))
    assert recorder.attention().shape == (2, 12, 3, 5, 5)


def test_real_torchvision_model():
    models = pytest.importorskip("torchvision.models")
    model = models.VisionTransformer(32, 16, 2, 4, 16, 24).eval()
    with torch.no_grad(), record(model) as recorder:
        model(torch.randn(2, 3, 32, 32))
    assert recorder.attention().shape == (2, 2, 4, 5, 5)


def test_penalty_reaches_the_weights():
    model, inputs, _ = hugging_face("bert")
    penalty = AttentionTopology("barcode.h0.sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    values = []
    for _ in range(4):
        with record(model, features=penalty) as recorder:
            model(**inputs)
        loss = recorder.features().mean()
        values.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert values[-1] < values[0]


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning")
def test_penalties_of_checkpointed_models_are_the_same():
    gradients = []
    for checkpointed in (False, True):
        model, inputs, _ = hugging_face("bert")
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        if checkpointed:
            model.train().gradient_checkpointing_enable({"use_reentrant": False})
        with record(model, features=AttentionTopology(("barcode.h0", "entropy"))) as recorder:
            model(**inputs)
            recorder.features().mean().backward()
        gradients.append(model.get_input_embeddings().weight.grad)
    torch.testing.assert_close(*gradients)


def test_features_of_many_calls_and_clear():
    model = encoder(enable_nested_tensor=False)
    with torch.no_grad(), record(model, features=TOPOLOGY) as recorder:
        model(torch.randn(2, 6, 16))
        model(torch.randn(3, 4, 16))
        assert recorder.features().shape[0] == 5
        recorder.clear()
        with pytest.raises(InputError, match="has no features"):
            recorder.features()


def test_tokens_can_be_given():
    model = encoder(enable_nested_tensor=False)
    x, mask = torch.randn(2, 6, 16), tokens(6, 3)[1]
    with torch.no_grad(), record(model) as plain:
        model(x)
    strict = record(model, features=TOPOLOGY).set_tokens(mask)
    with torch.no_grad(), strict, pytest.raises(InputError, match="sums to"):
        model(x)  # the model attended to the padding
    free = TOPOLOGY.set_params(row_tolerance=float("inf"))
    try:
        with torch.no_grad(), record(model, features=free).set_tokens(mask) as recorder:
            model(x)
        torch.testing.assert_close(recorder.features(), free(plain.attention(), mask))
    finally:
        TOPOLOGY.set_params(row_tolerance=1e-2)


def test_everything_is_put_back_after_an_error():
    model, _, _ = hugging_face("bert")
    with pytest.raises(RuntimeError, match="stop"), record(model):
        raise RuntimeError("stop")
    assert model.config._attn_implementation == "sdpa"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: record(nn.Linear(2, 2)).__enter__(), InputError, "without attention to record"),
        (lambda: record(encoder(), layers="nothing").__enter__(), InputError, "without attention to record"),
        (lambda: record("bert"), TypeError, "model is a str"),
        (lambda: record(encoder(), features="graph"), TypeError, "features is a str"),
        (lambda: AttentionRecorder(encoder()).attention(), InputError, "has no maps"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_training_with_dropout_is_refused():
    model = encoder(enable_nested_tensor=False).train()
    with pytest.raises(InputError, match="training mode with attention dropout"), record(model):
        model(torch.randn(1, 3, 16))


def test_switching_is_said(caplog):
    with caplog.at_level(logging.INFO, logger="topodl"), record(encoder(enable_nested_tensor=False)):
        pass
    assert "instead of by scaled_dot_product_attention" in caplog.text
