"""Hugging Face's Trainer trains proxies of a tiny BERT."""

import pytest
import torch
from torch.utils.data import Dataset

from proxyhpo import Float, ProxyHPO, Rung
from proxyhpo.errors import ArgumentError, EvaluatorError
from tests.integrations.reports import Reports, run

transformers = pytest.importorskip("transformers")
from proxyhpo.integrations.transformers import ReportCallback, TrainerEvaluator  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

TEXTS = torch.randint(5, 60, (32, 10), generator=torch.Generator().manual_seed(0))


class Texts(Dataset):
    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, index):
        text = TEXTS[index]
        return {
            "input_ids": text,
            "attention_mask": torch.ones_like(text),
            "labels": int(text[0] > 30),
        }


def network():
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    return transformers.BertForSequenceClassification(config)


def make_trainer(folder, *, strategy="epoch", **options):
    def make(module, config):
        arguments = transformers.TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=2,
            per_device_train_batch_size=16,
            learning_rate=config.get("lr", 1e-3),
            eval_strategy=strategy,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        return transformers.Trainer(
            module, arguments, train_dataset=Texts(), eval_dataset=Texts(), **options
        )

    return make


def test_each_evaluation_is_reported_with_its_other_numbers(tmp_path):
    reports = Reports()
    make_trainer(tmp_path, callbacks=[ReportCallback(reports)])(network(), {}).train()
    assert len(reports) == 2
    assert "eval_runtime" in reports[0][1]


def test_a_training_ends_when_it_must(tmp_path):
    reports = Reports(most=1)
    TrainerEvaluator(make_trainer(tmp_path)).evaluate(network(), {}, reports, trial=run())
    assert len(reports) == 1


def test_a_budget_shortens_the_training(tmp_path):
    reports = Reports()
    evaluator = TrainerEvaluator(make_trainer(tmp_path))
    evaluator.evaluate(network(), {}, reports, trial=run(budget=0.5))
    assert len(reports) == 1


def test_a_training_that_never_evaluates_is_evaluated_at_its_end(tmp_path):
    reports = Reports()
    evaluator = TrainerEvaluator(make_trainer(tmp_path, strategy="no"))
    evaluator.evaluate(network(), {}, reports, trial=run())
    assert len(reports) == 1


def test_each_training_has_the_seed_of_its_trial(tmp_path):
    seeds = []

    class Seeds(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **_):
            seeds.append((torch.initial_seed(), args.seed))

    make = make_trainer(tmp_path, strategy="no", callbacks=[Seeds()])
    TrainerEvaluator(make).evaluate(network(), {}, Reports(), trial=run(seed=2**32 + 7))
    assert seeds == [(7, 7)]


@pytest.mark.parametrize("options", [{"model_init": network}, {"model": network()}])
def test_a_trainer_of_another_network_is_refused(tmp_path, options):
    def make(module, config):
        arguments = transformers.TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
        return transformers.Trainer(args=arguments, **options)

    with pytest.raises(EvaluatorError, match="pass the given network to the Trainer"):
        TrainerEvaluator(make).evaluate(network(), {}, Reports(), trial=run())


def test_a_network_inside_an_adapter_is_trained(tmp_path):
    class Adapter(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, attention_mask, labels):
            return self.inner(input_ids, attention_mask, labels=labels)

    make, reports = make_trainer(tmp_path), Reports()
    TrainerEvaluator(lambda module, config: make(Adapter(module), config)).evaluate(
        network(), {}, reports, trial=run()
    )
    assert len(reports) == 2


def test_an_unknown_metric_is_refused_with_the_nearest_name(tmp_path):
    evaluator = TrainerEvaluator(make_trainer(tmp_path), monitor="eval_los")
    with pytest.raises(EvaluatorError, match="eval_loss"):
        evaluator.evaluate(network(), {}, Reports(), trial=run())


def test_anything_but_a_function_is_refused():
    with pytest.raises(ArgumentError, match="make_trainer"):
        TrainerEvaluator(3)


def test_a_search(tmp_path):
    batch = {"input_ids": TEXTS[:8], "attention_mask": torch.ones_like(TEXTS[:8])}
    hpo = ProxyHPO(
        network,
        TrainerEvaluator(make_trainer(tmp_path)),
        {"lr": Float(1e-4, 1e-2, log=True)},
        example_inputs=batch,
        direction="minimize",
        ladder=[Rung(0.5, keep=1), Rung(1)],
        transfer="layerwise",
        searcher="random",
        progress=False,
    )
    result = hpo.run(2)
    assert result.best_value is not None
    assert {record.state for record in result.records} <= {"finished", "stopped"}
