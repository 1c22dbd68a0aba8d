"""``covidcnn evidence``: the arms of a protocol, from the pilot to the ledger."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covidcnn.cli.common import open_data, open_data_of, print_table, say
from covidcnn.cli.trials import (
    AddressOption,
    CpusOption,
    ExecutorOption,
    GpusOption,
    KeepModelsOption,
    MemoryOption,
    ProcessesOption,
    ShardOption,
    executor_of,
    run_and_watch,
)

if TYPE_CHECKING:
    from covidcnn.data.dataset import DataSet
    from covidcnn.study.protocol import Protocol
    from covidcnn.trials.store import TrialStore

ImagesOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=(
    "The images that the protocol is about; covidcnn data resize makes them of the published ones. "
    "Without it: the folder that COVIDCNN_DATA names."))]
ArmArgument = Annotated[str, typer.Argument(metavar="ARM", help="As protocol.yaml names it; covidcnn evidence status.")]
ArmsArgument = Annotated[list[str], typer.Argument(metavar="ARM...", help=(
    "As protocol.yaml names them; covidcnn evidence status."))]
StudyOption = Annotated[str, typer.Option("--study", help=(
    "A folder of reports/ that holds a protocol.yaml: paper, recipe, models, subtype, teacher or ct."))]
MinutesOption = Annotated[float, typer.Option("--minutes", help=(
    "Begin no training that would probably end later."))]
OriginalsOption = Annotated[Path | None, typer.Option("--originals", metavar="DIR", help=(
    "Images of train at their original sizes: what pixel area and aspect alone tell."))]
PilotOption = Annotated[bool, typer.Option("--pilot", help=(
    "One seed, two epochs, validation only, into a store of its own: what the arm will cost."))]


def run(arms: ArmsArgument, data: ImagesOption = None, share: ShardOption = "1/1", pilot: PilotOption = False,
        study: StudyOption = "paper", processes: ProcessesOption = 1, executor: ExecutorOption = "local",
        address: AddressOption = "", trial_cpus: CpusOption = None, trial_gpus: GpusOption = None,
        trial_memory: MemoryOption = None, minutes: MinutesOption = float("inf"),
        keep_models: KeepModelsOption = False) -> None:
    """Run arms of a protocol into the store beside it: one after the other, or several trainings at once seed by seed.
    """
    from covidcnn.study.access_log import open_store
    from covidcnn.study.protocol import pilot as pilot_of
    from covidcnn.study.protocol import read_study
    from covidcnn.trials.sweep import one_by_one, shard

    where = executor_of(executor, processes, address, trial_cpus, trial_gpus, trial_memory)
    protocol = read_study(study)
    sweeps = [pilot_of(protocol.sweep(arm)) if pilot else protocol.sweep(arm) for arm in arms]
    dataset = _open_protocols_data(protocol, data)
    store = replace(open_store(protocol.store.with_name("pilot") if pilot else protocol.store), keep_models=keep_models)
    trials = [shard(sweep.trials(protocol.data, protocol.task), share) for sweep in sweeps]
    if where is not one_by_one:
        # The first seeds of all arms first: what is compared is complete early.
        in_turn = sorted(((sweep.seeds.index(trial.seed), trial) for sweep, of_arm in zip(sweeps, trials, strict=True)
                          for trial in of_arm), key=lambda place: place[0])
        # One that stands in two arms is one.
        trials = [list(dict.fromkeys(trial for _, trial in in_turn))]
    for together in trials:
        run_and_watch(together, store, dataset, where, minutes)


def pack(study: StudyOption = "paper") -> None:
    """Pack the store of a finished study into one file, which is read like the files that it takes the place of."""
    from covidcnn.study.protocol import read_study
    from covidcnn.trials.pack import PACKED
    from covidcnn.trials.pack import pack as pack_store

    folder = read_study(study).store
    say(f"{pack_store(folder)} trials: {folder / PACKED}")


def unpack(study: StudyOption = "paper") -> None:
    """Make the files of a packed store anew."""
    from covidcnn.study.protocol import read_study
    from covidcnn.trials.pack import unpack as unpack_store

    folder = read_study(study).store
    say(f"{unpack_store(folder)} trials: {folder}")


def select(arm: ArmArgument, study: StudyOption = "paper") -> None:
    """Choose by an arm's rule, on validation, and enter the outcome in selections.yaml."""
    from covidcnn.study.protocol import write_selection

    protocol, store = _open_study(study)
    print_table(write_selection(protocol, arm, store), f"{arm}: chosen on validation", ".4f")


def baseline(data: ImagesOption = None, originals: OriginalsOption = None) -> None:
    """Score the baseline, simple models on 16 x 16 pixels, into the store."""
    from covidcnn.paper.baseline_scores import compute_baseline, compute_sizes, read_baseline

    protocol, store = _open_study()
    # With scores in the store, the files' own sizes cost no further access to the test set.
    if not originals or read_baseline(store.folder) is None:
        compute_baseline(protocol, _open_protocols_data(protocol, data), store.folder)
    if originals:
        compute_sizes(open_data(originals), store.folder)
    say(f"baseline: {store.folder / 'floor'}")


def ledger() -> None:
    """Make tables, figures and the claims ledger of reports/paper, and tables and figures of the other studies of which
    something is finished, from their stores."""
    from covidcnn.paper.study_folders import evidence_of
    from covidcnn.paper.write import FURTHER, write_evidence, write_further
    from covidcnn.study.ledger import findings, remarks, summary
    from covidcnn.study.protocol import studies

    (first, store), others = _open_study(), {}
    evidence = evidence_of(first, store)
    for name in [name for name in FURTHER if name in studies()]:
        protocol, other_store = _open_study(name)
        others[name] = evidence_of(protocol, other_store)
        if others[name].finished:
            say(f"study '{name}': {write_further(protocol, others[name], evidence)}")
    claims = write_evidence(first, evidence, first.path.parent, others.get("recipe"))
    print_table(summary(findings(claims))["claims"].reset_index(), f"{len(findings(claims))} claims of the paper")
    if said := remarks(claims):
        say(said)
    say(f"ledger: {first.path.with_name('claims.md')}")


def numbers() -> None:
    """Make the numbers in README, docs and notebooks anew from the tables of all studies in reports/."""
    from covidcnn.report.blocks import pages, refresh

    stale = [page.name for page in pages() if refresh(page)]
    print(f"made anew: {', '.join(stale)}" if stale else "all as in the tables")


def complete(data: ImagesOption = None, originals: OriginalsOption = None) -> None:
    """Run whatever the protocol still lacks, the arms that choose first, then make the ledger: hours from an empty
    store, minutes from a full one."""
    from covidcnn.paper.baseline_scores import read_baseline

    protocol, store = _open_study()
    dataset = _open_protocols_data(protocol, data)
    # What is chosen on validation comes before the first test image.
    for name in sorted(protocol.arms, key=lambda name: not protocol.arm(name).select):
        say(f"arm {name}")
        trials = protocol.trials(name)
        run_and_watch(trials, store, dataset)
        if protocol.arm(name).select:
            # What another process has in hand is waited for, or taken over should it die.
            for trial in trials:
                store.run(dataset, trial)
            select(name)
    if originals or read_baseline(store.folder) is None:
        baseline(data, originals)
    ledger()


def status(study: StudyOption = "paper") -> None:
    """Which trials of a protocol are in its store."""
    import pandas as pd

    protocol, store = _open_study(study)
    rows = [(name, *(("", "") if trials is None else (len(trials), sum(map(store.is_finished, trials)))),
             "yes" if protocol.arm(name).sweep.get("score_test") else "no", protocol.arm(name).question)
            for name, trials in protocol.known_trials().items()]
    print_table(pd.DataFrame(rows, columns=["arm", "trials", "finished", "scores test", "question"], dtype=object))


def _open_study(name: str = "paper") -> "tuple[Protocol, TrialStore]":
    from covidcnn.study.access_log import open_store
    from covidcnn.study.protocol import read_study

    protocol = read_study(name)
    return protocol, open_store(protocol.store)


def _open_protocols_data(protocol: "Protocol", data: Path | None) -> "DataSet":
    makes = "covidcnn data fetch covid-ct" if str(protocol.task) == "covid" else "covidcnn data resize"
    return open_data_of(data, protocol.data, protocol.path, makes, protocol.task)
