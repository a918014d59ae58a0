import inspect
import sys
from abc import ABC, abstractmethod
from importlib.metadata import entry_points

import pytest

from proxyhpo import _plugins as plugins
from proxyhpo.errors import ArgumentError, PluginError, UnknownNameError
from proxyhpo.pruners import Pruner, StructuredPruner
from proxyhpo.searchers import Searcher
from proxyhpo.stoppers import MedianStopper, Stopper
from proxyhpo.transfers import Transfer

TRANSFERS = "proxyhpo.transfers"

GOOD = """
from proxyhpo.transfers import Transfer

class Halving(Transfer):
    def exponents(self, space, history):
        return {"lr": -0.5}

class Needy(Transfer):
    def __init__(self, table, *, strict=True):
        self.table = table

    def exponents(self, space, history):
        return self.table

class Abstract(Transfer):
    pass

def not_a_class():
    return Halving()
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes distributions on disk: ``install(name, entry points, modules)``."""

    def install(distribution, entry_points, group=TRANSFERS, **modules):
        site = tmp_path / distribution
        info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2")
        lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entry_points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for module, source in modules.items():
            (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(site)

    return install


def test_a_good_plug_in_is_found_loaded_and_built(install):
    install("good", {"halving": "good_transfers:Halving"}, good_transfers=GOOD)
    assert "halving" in plugins.names(TRANSFERS)
    assert plugins.load(TRANSFERS, "halving").__name__ == "Halving"
    built = plugins.resolve(TRANSFERS, "halving", Transfer)
    assert built.exponents({}, None) == {"lr": -0.5}


def test_the_built_ins_come_through_the_same_door():
    assert {"identity", "power-law"} <= set(plugins.names(TRANSFERS))
    assert type(plugins.resolve(TRANSFERS, "identity", Transfer)).__name__ == "IdentityTransfer"


@pytest.mark.parametrize("name", ["identity", "power-law"])
def test_every_built_in_transfer_builds_from_its_name(name):
    assert isinstance(plugins.resolve(TRANSFERS, name, Transfer), Transfer)


def test_an_uninstalled_plug_in_is_no_longer_found(install, monkeypatch):
    install("fleeting", {"fleeting": "fleeting_transfers:Halving"}, fleeting_transfers=GOOD)
    assert "fleeting" in plugins.names(TRANSFERS)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("fleeting")])
    assert "fleeting" not in plugins.names(TRANSFERS)


def test_a_plug_in_that_exits_when_it_is_imported_ends_nothing(install):
    install("script", {"script": "a_script:main"}, a_script="raise SystemExit('usage: ...')")
    with pytest.raises(PluginError, match="cannot be loaded: SystemExit: usage"):
        plugins.load(TRANSFERS, "script")


def test_an_unknown_name_gets_the_nearest_one_and_all_there_are():
    with pytest.raises(
        UnknownNameError, match="unknown transfer 'powerlaw'; did you mean 'power-l"
    ):
        plugins.load(TRANSFERS, "powerlaw")


@pytest.mark.parametrize(
    ("group", "interface", "name", "hint"),
    [
        ("proxyhpo.pruners", Pruner, "median", "a stopper (stopper='median')"),
        ("proxyhpo.pruners", Pruner, "tpe", "a searcher (searcher='tpe')"),
        ("proxyhpo.stoppers", Stopper, "layerwise", "a transfer (transfer='layerwise')"),
        (TRANSFERS, Transfer, "random", "a pruner (pruner='random') and a searcher"),
    ],
)
def test_a_name_of_another_kind_names_its_argument(group, interface, name, hint):
    with pytest.raises(UnknownNameError) as caught:
        plugins.resolve(group, name, interface)
    assert f"it is the name of {hint}" in str(caught.value)


def test_an_unknown_group_is_refused():
    with pytest.raises(UnknownNameError, match=r"did you mean 'proxyhpo\.pruners'"):
        plugins.names("proxyhpo.pruner")


def test_a_broken_plug_in_fails_only_when_asked_for(install):
    install("broken", {"oops": "broken_transfers:Oops"}, broken_transfers="import no_such_thing_x")
    assert "oops" in plugins.names(TRANSFERS)
    assert plugins.load(TRANSFERS, "identity").__name__ == "IdentityTransfer"
    with pytest.raises(PluginError) as caught:
        plugins.load(TRANSFERS, "oops")
    for part in ("broken 1.2", "'oops'", "broken_transfers:Oops", TRANSFERS, "no_such_thing_x"):
        assert part in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_missing_attribute_is_a_broken_plug_in(install):
    install("lacking", {"lacking": "lacking_transfers:Nothing"}, lacking_transfers=GOOD)
    with pytest.raises(PluginError, match=r"lacking 1\.2.*Nothing"):
        plugins.load(TRANSFERS, "lacking")


def test_a_name_taken_twice_fails_only_when_asked_for_and_names_both(install):
    install("first", {"twice": "first_transfers:Halving"}, first_transfers=GOOD)
    install("second", {"twice": "second_transfers:Halving", "once": "second_transfers:Halving"},
            second_transfers=GOOD)  # fmt: skip
    assert plugins.names(TRANSFERS).count("twice") == 1
    assert plugins.load(TRANSFERS, "once").__name__ == "Halving"
    with pytest.raises(PluginError, match="provided by 2 distributions") as caught:
        plugins.load(TRANSFERS, "twice")
    assert "first 1.2" in str(caught.value)
    assert "second 1.2" in str(caught.value)


def test_a_built_in_name_cannot_be_taken_silently(install):
    install("thief", {"identity": "thief_transfers:Halving"}, thief_transfers=GOOD)
    with pytest.raises(PluginError, match="proxyhpo") as caught:
        plugins.load(TRANSFERS, "identity")
    assert "thief 1.2" in str(caught.value)


def test_the_same_distribution_found_twice_does_not_clash(install, tmp_path, monkeypatch):
    install("same", {"same": "same_transfers:Halving"}, same_transfers=GOOD)
    monkeypatch.syspath_prepend(tmp_path / "same")
    assert plugins.load(TRANSFERS, "same").__name__ == "Halving"


@pytest.mark.parametrize(
    "name, message",
    [("not_a_class", r"subclass of proxyhpo\.transfers\.Transfer"), ("Abstract", "exponents")],
)
def test_a_plug_in_of_another_kind_is_refused_by_its_distribution(install, name, message):
    module = f"odd_transfers_{name.lower()}"
    install("odd", {"odd": f"{module}:{name}"}, **{module: GOOD})
    with pytest.raises(PluginError, match=rf"odd 1\.2.*{message}"):
        plugins.resolve(TRANSFERS, "odd", Transfer)


def test_a_plug_in_that_needs_arguments_says_how_it_is_built(install):
    install("needy", {"needy": "needy_transfers:Needy"}, needy_transfers=GOOD)
    with pytest.raises(ArgumentError, match=r"'table'.*Needy\(table, \*, strict=True\)"):
        plugins.resolve(TRANSFERS, "needy", Transfer)


def test_an_error_inside_a_constructor_is_not_hidden(install):
    source = GOOD.replace("class Halving(Transfer):", "class Halving(Transfer):\n"
                          "    def __init__(self):\n        raise OSError('no disk')")  # fmt: skip
    install("failing", {"failing": "failing_transfers:Halving"}, failing_transfers=source)
    with pytest.raises(OSError, match="no disk"):
        plugins.resolve(TRANSFERS, "failing", Transfer)


class Interface(ABC):
    @abstractmethod
    def work(self): ...


class Part(Interface):
    def work(self):
        return 1


def test_an_instance_is_used_as_it_is():
    part = Part()
    assert plugins.resolve(TRANSFERS, part, Interface) is part


def test_a_class_is_distinguished_from_an_instance():
    with pytest.raises(TypeError, match=r"transfer=Part is a class.*Part\(\)"):
        plugins.resolve(TRANSFERS, Part, Interface)


@pytest.mark.parametrize("given", [None, 3, object(), ["tpe"], int])
def test_anything_else_is_refused_with_what_is_allowed(given):
    with pytest.raises(TypeError, match=r"searcher must be .*proxyhpo\.searchers\.Searcher"):
        plugins.resolve("proxyhpo.searchers", given, Searcher)


@pytest.mark.parametrize("as_class", [True, False])
def test_the_error_for_an_optuna_pruner_names_the_right_argument(as_class):
    optuna = pytest.importorskip("optuna")

    class Own(optuna.pruners.MedianPruner):
        pass

    for cls in (optuna.pruners.MedianPruner, Own):
        with pytest.raises(TypeError, match=r"is an Optuna pruner, which ends trials early"):
            plugins.resolve("proxyhpo.pruners", cls if as_class else cls(), Pruner)


@pytest.mark.parametrize("as_class", [True, False])
def test_stoppers_and_optuna_pruners_are_rejected_as_pruners(as_class):
    optuna = pytest.importorskip("optuna")
    given = MedianStopper if as_class else MedianStopper()
    with pytest.raises(TypeError, match=r"is a stopper, which .* use stopper= for that"):
        plugins.resolve("proxyhpo.pruners", given, Pruner)
    given = optuna.pruners.HyperbandPruner if as_class else optuna.pruners.HyperbandPruner()
    with pytest.raises(TypeError, match=r"finalist_stopper=.*'asha', 'lagging', 'median'"):
        plugins.resolve("proxyhpo.stoppers", given, Stopper, argument="finalist_stopper")


def test_an_optuna_sampler_is_sent_to_the_searcher_that_takes_it():
    optuna = pytest.importorskip("optuna")
    with pytest.raises(TypeError, match=r"OptunaSearcher\(RandomSampler\)"):
        plugins.resolve("proxyhpo.searchers", optuna.samplers.RandomSampler(), Searcher)


def classes_with_settings():
    """The classes of the built-in plug-ins that take settings; Optuna's samplers take any."""
    found = [
        entry.load()
        for kind in ("pruners", "searchers", "stoppers", "transfers")
        for entry in entry_points(group=f"proxyhpo.{kind}")
        if entry.value.startswith("proxyhpo.") and "optuna" not in entry.value
    ]
    return [each for each in dict.fromkeys(found) if inspect.signature(each).parameters]


@pytest.mark.parametrize("made", classes_with_settings())
def test_a_misspelt_setting_is_refused_with_the_nearest_name(made):
    name = next(iter(inspect.signature(made).parameters))
    said = rf"^unknown argument of {made.__name__}: '{name}s'; did you mean '{name}'\?"
    with pytest.raises(UnknownNameError, match=said):
        made(**{f"{name}s": 1})


def test_a_misspelt_setting_of_a_subclass_is_refused_by_the_constructor_that_lacks_it():
    class Inherits(StructuredPruner):
        def score(self, slices, *, generator):
            return slices[0].norm(dim=1)

    class Own(Inherits):
        def __init__(self, *, power=2, **others):
            super().__init__(**others)
            self.power = power

    with pytest.raises(UnknownNameError, match=r"argument of Inherits: 'round'.* 'round_to'"):
        Inherits(round=8)
    with pytest.raises(UnknownNameError, match=r"argument of StructuredPruner: 'powr'"):
        Own(powr=1)  # the constructor of Own allows further names
    assert Own(power=1, round_to=4).round_to == 4
