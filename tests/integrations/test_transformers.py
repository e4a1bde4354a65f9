"""A penalty on attention trains a stock BERT: with its dropout, checkpointed, accumulated."""

import copy

import pytest
import torch

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from topodl.attention import AttentionTopology, record  # noqa: E402
from topodl.errors import InputError  # noqa: E402
from topodl.integrations.transformers import AttentionPenaltyTrainer  # noqa: E402

TOPOLOGY = AttentionTopology("barcode.h0.mean")


def bert(**options):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        **options,
    )
    return transformers.BertForSequenceClassification(config)


def sentences(n=4, length=6):
    generator = torch.Generator().manual_seed(1)
    return [
        {"input_ids": torch.randint(30, (length,), generator=generator), "labels": torch.tensor(i % 2)}
        for i in range(n)
    ]


def cross_entropy(outputs, labels, num_items_in_batch):
    # BERT's own ignores that batches are accumulated
    total = torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum")
    return total / num_items_in_batch if num_items_in_batch is not None else total / len(labels)


def train(model, folder, *, penalty_weight, topology=TOPOLOGY, **options):
    args = transformers.TrainingArguments(
        str(folder),
        max_steps=options.pop("max_steps", 2),
        per_device_train_batch_size=options.pop("per_device_train_batch_size", 2),
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        **options,
    )
    trainer = AttentionPenaltyTrainer(
        model,
        args,
        train_dataset=sentences(),
        compute_loss_func=cross_entropy,
        topology=topology,
        penalty_weight=penalty_weight,
    )
    trainer.train()
    return trainer


def test_a_stock_bert_trains_with_a_penalty_and_is_put_back(tmp_path):
    model = bert()
    before = model.config._attn_implementation
    rates = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert max(rates) > 0
    trainer = train(model, tmp_path, penalty_weight=1.0)
    assert trainer.state.global_step == 2
    assert model.config._attn_implementation == before
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == rates
    with torch.no_grad():
        model.eval()(sentences()[0]["input_ids"][None])


def attention_value(model):
    ids = torch.stack([s["input_ids"] for s in sentences()])
    with torch.no_grad(), record(model.eval(), features=TOPOLOGY) as recorder:
        model(ids)
    return float(recorder.features().mean())


def test_the_penalty_pulls_at_what_it_measures(tmp_path):
    values = {}
    for weight in (0.0, 100.0):
        model = bert(hidden_dropout_prob=0.0)
        train(model, tmp_path, penalty_weight=weight, max_steps=10)
        values[weight] = attention_value(model)
    assert values[100.0] < values[0.0] - 1e-4


@pytest.mark.filterwarnings("ignore")  # of options that are named otherwise in newer versions
@pytest.mark.parametrize(
    "options",
    [
        {"gradient_checkpointing": True, "per_device_train_batch_size": 4},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    ],
)
def test_checkpointing_and_accumulation_give_the_same_weights(tmp_path, options):
    plain = bert(hidden_dropout_prob=0.0)
    other = copy.deepcopy(plain)
    start = copy.deepcopy(plain)
    train(plain, tmp_path, penalty_weight=5.0, per_device_train_batch_size=4, optim="sgd", max_steps=1)
    train(other, tmp_path, penalty_weight=5.0, optim="sgd", max_steps=1, **options)
    moved = [(a - b).abs().max() for a, b in zip(plain.parameters(), start.parameters(), strict=True)]
    assert max(moved) > 1e-4
    for a, b in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_evaluation_has_no_penalty(tmp_path):
    model = bert()
    trainer = train(model, tmp_path, penalty_weight=100.0)
    loss = trainer.evaluate(sentences())["eval_loss"]
    assert loss < 5.0


def test_a_negative_weight_is_named(tmp_path):
    with pytest.raises(InputError, match="penalty_weight"):
        train(bert(), tmp_path, penalty_weight=-1.0)


def test_dropout_is_refused_unless_it_is_switched_off():
    model = bert().train()
    ids = torch.zeros(1, 4, dtype=torch.long)
    with record(model, features=TOPOLOGY), pytest.raises(InputError, match='attention_dropout="off"'):
        model(ids)
    with record(model, features=TOPOLOGY, attention_dropout="off") as recorder:
        model(ids)
    assert recorder.features().requires_grad
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True).train()
    with record(layer, attention_dropout="off") as recorder:
        layer(torch.randn(1, 5, 8))
    torch.testing.assert_close(recorder.attention().sum(-1), torch.ones(1, 1, 2, 5))
    assert layer.self_attn.dropout == 0.5
