"""The experiment of Lee & Yim (arXiv:2205.08695): search on a pruned network, or on the network.

    python -m benchmarks.paper --folder data --download             # all of it: weeks of a GPU
    python -m benchmarks.paper --folder data --data cifar10 --network resnet56 --searcher tpe
    python -m benchmarks.paper --folder data --data cifar10 --download --smoke       # on a CPU

Three data sets, four networks, three searchers; for each a search on the full network, and one on
the proxy that each of three pruners makes. As in the paper's public code the learning rate is
searched, with 100 trials of 160 epochs, and a proxy keeps three tenths of the channels of the
untrained network. Otherwise than there, every training starts from a fresh network, searches select
by validation images that are held out, and all trainings of the full network are charged.

A search on a proxy is read in two ways: its three best are ranked again on the full network (what
``ProxyHPO`` does), or its single best is taken (what the paper does; with its learning rate as it
is: ``--transfer identity``). What was chosen is then trained anew on the full network, under seeds
that no search has used, and tested once. That is measuring, the same for all, and is not charged.

Each finished search and test is a line of the file of results, and each study has a store beside
it: the command may be killed at any moment, and goes on where it was. Several may run side by side,
each with a data set or network of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.paper_data import DATA_SETS
from benchmarks.paper_networks import NETWORKS
from benchmarks.paper_training import Training, Trainings
from benchmarks.rows import Row, Rows, key_of
from proxyhpo import Config, Float, ProxyHPO, Result, Rung
from proxyhpo.searchers import GridSearcher

SEARCHERS = ("grid", "bayesian", "tpe")
PRUNERS = ("l1-structured", "random", "magnitude")
SMOKE = {"finalists": 2, "trials": 4, "epochs": 1, "examples": 256}
BATCH_SIZE = 256
SPACE = {
    "lr": Float(1e-5, 0.2, log=True),
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "batch_size": BATCH_SIZE,
}


@dataclass(frozen=True)
class Search:
    """One search of the experiment.

    Args:
        data: name of a data set.
        network: name of a network.
        searcher: name.
        pruner: name; None searches on the full network.
        density: of the proxy.
        finalists: how many are ranked again on the full network.
        transfer: how the learning rate follows the width.
        trials: how many.
        epochs: of a training.
        examples: how many of each part of the data, None for all of them.
        seed: of the search.
    """

    data: str
    network: str
    searcher: str
    pruner: str | None
    density: float = 0.3
    finalists: int = 3
    transfer: str = "power-law"
    trials: int = 100
    epochs: int = 160
    examples: int | None = None
    seed: int = 0

    @property
    def on_the_base(self) -> Search:
        """The search on the full network that this one is compared with."""
        own = Search(self.data, self.network, self.searcher, None)
        return replace(
            own, trials=self.trials, epochs=self.epochs, examples=self.examples, seed=self.seed
        )

    @property
    def store(self) -> str:
        """Name of the file that its study is kept in."""
        digest = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:8]
        return f"{self.data}-{self.network}-{self.searcher}-{self.pruner or 'base'}-{digest}.db"

    def study(self, training: Training, store: Path) -> ProxyHPO:
        """As ``ProxyHPO`` runs it."""
        ladder = [Rung(1)]
        if self.pruner is not None:
            ladder.insert(0, Rung(self.density, keep=self.finalists))
        images, _ = training.data.train
        return ProxyHPO(
            partial(NETWORKS[self.network], training.data.classes),
            training,
            SPACE,
            example_inputs=training.scaled(images[:BATCH_SIZE]).cpu(),
            direction="maximize",
            pruner=self.pruner or PRUNERS[0],
            # One hyperparameter is searched: a grid has a point for each trial.
            searcher=GridSearcher(points=self.trials) if self.searcher == "grid" else self.searcher,
            transfer=self.transfer,
            ladder=ladder,
            stopper=None,  # the paper has none: what is saved is the pruning's
            store=store,
            seed=self.seed,
            device=str(training.device),
            progress=sys.stderr.isatty(),
        )


def run(searches: Iterable[Search], results: Rows, trainings: Trainings, repeats: int) -> None:
    """Searches and tests what has not been measured yet."""
    stores = results.path.with_suffix("")
    stores.mkdir(exist_ok=True)
    for search in searches:
        found = results.get(asdict(search))
        if found is None:
            print(f"searching: {search.store}", file=sys.stderr)
            study = search.study(
                trainings.of(search.data, search.epochs, search.examples), stores / search.store
            )
            found = results.add(asdict(search), decisions(study.run(search.trials)))
        for decision, repeat in product(found["decisions"].values(), range(repeats)):
            test = test_of(search, decision["config"], repeat)
            if results.get(test) is None:
                print(f"testing: {test}", file=sys.stderr)
                results.add(
                    test,
                    {
                        "accuracy": tested(
                            search, test, trainings.of(search.data, search.epochs, search.examples)
                        )
                    },
                )


def decisions(result: Result) -> Row:
    """What can be concluded from a search, and the seconds that it took."""
    if result.interrupted:
        sys.exit("interrupted: run again to go on")
    best = result.best_record
    seconds = result.cost.seconds
    found = {"best": {"config": best.config, "validation": best.value, "seconds": seconds}}
    if len(result.ladder) > 1:
        winner = result.leaderboard(0)[0]
        finalists = [record for record in result.records if record.rung == 1]
        others = sum(record.seconds for record in finalists if record.trial != winner.trial)
        found["single best"] = {"config": winner.config, "seconds": seconds - others}
    return {
        "decisions": found,
        "failed": len(result.failures),
        "width_ratio": result.openings[0].width_ratio,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def test_of(search: Search, config: Config, repeat: int) -> Row:
    """What a test is of: searches that found the same config share it."""
    names = ("data", "network", "epochs", "examples", "seed")
    return {
        **{name: getattr(search, name) for name in names}, "config": config, "repeat": repeat
    }  # fmt: skip


def tested(search: Search, test: Row, training: Training) -> float:
    """Test accuracy of the full network, trained with a config under a seed of this test's own."""
    torch.manual_seed(int(hashlib.sha256(key_of(test).encode()).hexdigest()[:8], 16))
    network = NETWORKS[search.network](training.data.classes)
    training.to_the_end(network, test["config"])
    return training.accuracy(network, training.data.test)


HEAD = (
    "data", "network", "searcher", "pruner", "hours on N_B", "time saved",
    "single best: time saved", "test: N_B's config", "N_P's", "N_P's single best",
)  # fmt: skip


def table(searches: Iterable[Search], results: Rows, repeats: int) -> Iterator[str]:
    """As markdown: the searches on a proxy for which everything has been measured."""
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    for search in searches:
        base, own = results.get(asdict(search.on_the_base)), results.get(asdict(search))
        if search.pruner is None or base is None or own is None:
            continue
        read = [base["decisions"]["best"], *own["decisions"].values()]
        full, ranked, single = (decision["seconds"] for decision in read)
        tests = [_mean_test(search, decision["config"], results, repeats) for decision in read]
        if None in tests:
            continue
        cells = [search.data, search.network, search.searcher, search.pruner, f"{full / 3600:.3g}"]
        cells += [f"{1 - seconds / full:.0%}" for seconds in (ranked, single)]
        yield f"| {' | '.join([*cells, *map(str, tests)])} |"


def _mean_test(search: Search, config: Config, results: Rows, repeats: int) -> str | None:
    """Mean accuracy, and the range where there are several; None if one has not been measured."""
    rows = [results.get(test_of(search, config, repeat)) for repeat in range(repeats)]
    found = [row["accuracy"] for row in rows if row is not None]
    if len(found) < repeats:
        return None
    spread = f" [{min(found):.2%}, {max(found):.2%}]" if repeats > 1 else ""
    return f"{fmean(found):.2%}{spread}"


def searches_of(arguments: argparse.Namespace) -> list[Search]:
    """All that the command asks for; of a kind, the search on the full network comes first."""
    names = ("density", "finalists", "transfer", "trials", "epochs", "seed")
    options = {name: getattr(arguments, name) for name in names}
    if arguments.smoke:
        options.update(SMOKE)
    found = []
    for data, network, searcher in product(arguments.data, arguments.network, arguments.searcher):
        searches = [
            Search(data, network, searcher, pruner, **options) for pruner in arguments.pruner
        ]
        found += [searches[0].on_the_base, *searches]
    return found


def main() -> None:
    arguments = _parser().parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    searches, results = searches_of(arguments), Rows(arguments.out)
    repeats = 1 if arguments.smoke else arguments.repeats
    if not arguments.report_only:
        trainings = Trainings(arguments.folder, device, download=arguments.download)
        run(searches, results, trainings, repeats)
    print("\n".join(table(searches, results, repeats)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, allowed in (
        ("data", list(DATA_SETS)),
        ("network", list(NETWORKS)),
        ("searcher", SEARCHERS),
        ("pruner", PRUNERS),
    ):
        parser.add_argument(f"--{name}", nargs="+", choices=allowed, default=allowed)
    parser.add_argument("--folder", type=Path, default=Path("data"), help="of the data sets")
    parser.add_argument("--download", action="store_true", help="CIFAR, if it is not there")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--density", type=float, default=0.3)
    parser.add_argument("--finalists", type=int, default=3)
    parser.add_argument("--transfer", choices=("power-law", "identity"), default="power-law")
    parser.add_argument("--repeats", type=int, default=3, help="tests of a chosen config")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE}")
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/data/paper.jsonl"))
    return parser


if __name__ == "__main__":
    main()
