"""`mimamori evaluate`: measure a bundle on labelled examples that it has not seen."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

import msgspec

from engine.bundle import Bundle
from engine.errors import SettingsError, extra_for
from mimamori.cli.baselines import (
    AnswerTokensOption,
    AtOnceOption,
    BaselineOption,
    ConsentOption,
    EndpointOption,
    KeyFileOption,
    KeyVariableOption,
    MaxCostOption,
    PriceInOption,
    PriceOutOption,
    RequestsOption,
    StructuredOption,
    TimeoutOption,
    TokensOption,
    announce,
    settle,
    ways_from,
)
from mimamori.cli.evaluated import show_evaluated
from mimamori.cli.labelled import FILES, Device, Examples, Folder, Json, Precision, Threads, print_report
from mimamori.cli.measured import (
    AtRisk,
    CostPerHour,
    Depths,
    Draws,
    LabelColumn,
    NotAtRisk,
    Prevalence,
    ReportOption,
    Seed,
    SeverityColumn,
    ShotsOption,
    ShowText,
    SliceOption,
    TextColumn,
    Traffic,
    TrainOption,
    columns_of,
    numbers,
)
from mimamori.cli.progress import bars
from mimamori.cli.reading import SeparatorOption, notice
from mimamori.cli.traffic import read_traffic, require_source
from worker.settings_source import load_settings
from worker.telemetry.logs import configure_logs

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("evaluate", help=f"{inspect.getdoc(evaluate_command)}\n{FILES}", rich_help_panel="Model")(
        evaluate_command
    )


def evaluate_command(
    bundle: Folder,
    examples: Examples,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    as_json: Json = False,
    separator: SeparatorOption = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    severity_column: SeverityColumn = None,
    at_risk: AtRisk = None,
    not_at_risk: NotAtRisk = None,
    slice_: SliceOption = None,
    report: ReportOption = None,
    show_text: ShowText = False,
    prevalence: Prevalence = None,
    cost_per_hour: CostPerHour = None,
    seed: Seed = 1,
    train: TrainOption = None,
    shots: ShotsOption = "0,1,5,10,25,50",
    draws: Draws = 5,
    traffic: Traffic = None,
    depths: Depths = "1,4",
    baseline: BaselineOption = None,
    endpoint: EndpointOption = None,
    send_texts_to: ConsentOption = None,
    api_key_env: KeyVariableOption = None,
    api_key_file: KeyFileOption = None,
    price_in: PriceInOption = None,
    price_out: PriceOutOption = None,
    max_cost: MaxCostOption = None,
    requests_per_minute: RequestsOption = None,
    tokens_per_minute: TokensOption = None,
    at_once: AtOnceOption = 4,
    reply_timeout: TimeoutOption = 60.0,
    answer_tokens: AnswerTokensOption = 16,
    structured: StructuredOption = False,
) -> None:
    r"""Measure a bundle on labelled examples that it has not seen: who is missed, and what it costs.

    Any labelled file will do, and columns that are not asked for are left out:

        mimamori evaluate BUNDLE --examples posts.csv --text-column post \
            --label-column label --at-risk stress --not-at-risk none --slice source

    --report writes what it finds as one page of HTML that needs no network, for
    reading, printing and signing, with its JSON beside it:

        mimamori evaluate BUNDLE --examples test.jsonl --report march.html \
            --prevalence 0.02 --cost-per-hour 0.35

    With --train it also tells how few labels are enough. Readings of a full
    bundle are fitted to draws of so many labelled examples, and measured on
    --examples: zero-shot, the head that adapt fits and, with --traffic,
    distilled ones and cascades. Texts that are in both files are left out of the test.

        mimamori evaluate FULL --examples test.csv --train train.csv \
            --report shots.html

    Each --baseline is measured on the same draws. One behind an endpoint is
    sent the messages of both files: agree to that by naming its host.

        mimamori evaluate FULL --examples test.csv --train train.csv \
            --baseline tf-idf --baseline embedding:all-MiniLM-L6-v2 \
            --baseline endpoint:gpt-4o --endpoint https://api.openai.com/v1 \
            --send-texts-to api.openai.com --api-key-env OPENAI_API_KEY \
            --price-in 2.50 --price-out 10 --max-cost 5

    As for `mimamori run`, MIMAMORI_BUNDLE_FINGERPRINT and MIMAMORI_BUNDLE_PUBLIC_KEY say which bundle to
    accept, and MIMAMORI_LOWER and MIMAMORI_UPPER replace its thresholds. The bundle's own thresholds hold
    only for scores made as when they were fitted, in the same precision for example. Otherwise the command
    stops with an error.
    """
    with extra_for("evaluating", "adapt,cpu"):
        from export.adapting.traffic import MOST
        from export.evaluating.evaluate import judge, score
        from export.evaluating.labelled import Columns, apart, notes_on, read_labelled
        from export.evaluating.report import Asked
        from export.evaluating.shots import draw
        from export.evaluating.table import TableAsked, table
        from export.evaluating.writing import require_room, write_report
    from engine.load import load_engine

    configure_logs("console", logging.WARNING)  # The report already says what runs.
    settings = load_settings()
    asked = TableAsked(numbers("--shots", shots), draws, seed, None, numbers("--depths", depths))
    asked = asked._replace(device=device, precision=precision, threads=threads, cost_per_hour=cost_per_hour)
    if report is not None:
        require_room(report)
    if traffic is not None:
        require_source(traffic)
        if train is None:
            raise SettingsError("--traffic is for readings distilled on draws of --train: give that too")
    loaded = Bundle.load(bundle, trust=settings.trust)
    task = loaded.manifest.task
    others = ways_from(
        baseline,
        task,
        train,
        device=device,
        precision=precision,
        threads=threads,
        seed=seed,
        endpoint=endpoint,
        send_texts_to=send_texts_to,
        api_key_env=api_key_env,
        api_key_file=api_key_file,
        price_in=price_in,
        price_out=price_out,
        max_cost=max_cost,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        at_once=at_once,
        reply_timeout=reply_timeout,
        answer_tokens=answer_tokens,
        structured=structured,
    )
    columns = Columns(
        columns_of(text_column, label_column, severity_column),
        slice_ or (),
        at_risk or (),
        not_at_risk or (),
        severity_column != "-",
    )
    test, ours = read_labelled(examples, task, columns, separator), None
    notes = notes_on(test)
    if train is not None:
        if loaded.manifest.layer is not None:
            raise SettingsError("--train fits new heads: give the full bundle that this one was adapted from")
        ours = read_labelled(train, task, columns._replace(slices=()), separator)
        test, left_out = apart(test, ours)
        notes += left_out
        drawn = draw(ours.examples, asked.shots, draws, seed)
        announce(others, [each.examples for each in drawn], [each.text for each in test.examples])
    for each in notes:
        notice(each)
    engine = load_engine(loaded, device=device, precision=precision, threads=threads)
    with bars() as progress:
        scores = score(engine, test.examples, lambda done, total: progress("read the examples", done, total))
        made = judge(
            engine,
            loaded,
            test.examples,
            scores,
            lower=settings.lower,
            upper=settings.upper,
            asked=Asked(prevalence, cost_per_hour, show_text, seed),
            data=test.path.name,
            places=test.places,
            columns=test.slices,
            notes=notes,
        )
        del engine  # It holds the model; the table opens its own.
        if ours is not None:
            heard = traffic and read_traffic(traffic, separator, progress, MOST)
            asked = asked._replace(traffic=heard or None)
            found = table(loaded, ours, test, scores, made.messages_per_second, asked, progress, others)
            made = msgspec.structs.replace(made, shots=found)
    settle(others)
    for each in (*made.notes[len(notes) :], *(made.shots.notes if made.shots else ())):
        notice(each)
    if report is not None:
        write_report(made, report)
    print_report(made, lambda told: show_evaluated(told, report), as_json=as_json)
