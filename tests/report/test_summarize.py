from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flowmint.evaluate.compare import Run, Shown
from flowmint.evaluate.scores import FAMILIES
from flowmint.report import summarize
from flowmint.report.verdict import SENTENCES, TONES

COMPARISON = ("f1", "detectors", "distribution", "privacy", "columns", "correlations", "projection")
COMPARISON += ("time", "leakage", "failures", "settings")
EVALUATION = ("distribution", "diversity", "privacy", "classes", "columns", "correlations", "projection")
EVALUATION += ("leakage", "failures", "settings")


def blocks_of(document, kind):
    return [block for section in document["sections"] for block in section["blocks"] if block["block"] == kind]


def section_of(document, name):
    return next(section for section in document["sections"] if section["name"] == name)


def test_a_comparison_has_every_section_in_order(comparison):
    document = summarize(comparison)
    assert tuple(section["name"] for section in document["sections"]) == COMPARISON


def test_an_evaluation_has_every_section_in_order(evaluation):
    document = summarize(evaluation)
    assert tuple(section["name"] for section in document["sections"]) == EVALUATION


def test_sections_stand_and_say_so_where_there_are_no_rows_to_look_at(comparison):
    document = summarize(comparison)
    assert "Not available" in section_of(document, "projection")["blocks"][0]["text"]


def test_the_dict_survives_json(document):
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_same_input_gives_the_same_dict(comparison, picture):
    assert summarize(comparison, pictures=[picture]) == summarize(comparison, pictures=[picture])


def test_every_figure_has_a_description_and_a_table_with_rows(document):
    figures = blocks_of(document, "figure")
    assert figures
    for figure in figures:
        assert figure["description"]
        assert figure["panels"]
        assert figure["table"]["rows"]


def test_rows_of_tables_have_as_many_cells_as_columns(document):
    tables = blocks_of(document, "table") + [figure["table"] for figure in blocks_of(document, "figure")]
    for table in tables:
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}, table["title"]


def test_a_run_brings_the_rows_to_look_at(comparison, picture):
    shown = Shown(
        task="mitm", generator="vae", rows=8, seed=0, real=picture.real, minted=picture.minted, train=picture.train
    )
    document = summarize(Run(comparison, (shown,)))
    assert any("mitm: vae with 8 real rows" in figure["title"] for figure in blocks_of(document, "figure"))


def test_the_verdict_tells_the_gain_and_who_is_behind(comparison):
    verdict = summarize(comparison)["verdict"]
    assert verdict["tone"] == "good"
    assert verdict["sentence"] == "Rows minted by latent_diffusion help to detect ARP_Spoofing."
    assert "+0.350, 95 % interval 0.320 to 0.380" in verdict["details"][0]
    assert verdict["details"][0].endswith("It is ahead of smote and vae.")


@pytest.mark.parametrize("word", SENTENCES)
def test_each_verdict_has_a_sentence_and_a_tone(comparison, word):
    summaries = tuple(replace(summary, verdict=word) for summary in comparison.summaries)
    verdict = summarize(replace(comparison, summaries=summaries))["verdict"]
    assert verdict["tone"] == TONES[word]
    assert "ARP_Spoofing" in verdict["sentence"]


def test_several_tasks_are_counted(comparison):
    other = replace(comparison.tasks[0], name="flood")
    twins = tuple(replace(summary, task="flood", verdict="hurts") for summary in comparison.summaries)
    document = summarize(replace(comparison, tasks=(*comparison.tasks, other), summaries=comparison.summaries + twins))
    sentence = "Of 2 comparisons, rows minted by latent_diffusion help in 1 and hurt in 1."
    assert document["verdict"]["sentence"] == sentence
    assert document["verdict"]["tone"] == "even"
    assert len(document["verdict"]["details"]) == 2


def test_several_tasks_with_one_verdict_are_told_at_once(comparison):
    other = replace(comparison.tasks[0], name="flood")
    twins = tuple(replace(summary, task="flood") for summary in comparison.summaries)
    document = summarize(replace(comparison, tasks=(*comparison.tasks, other), summaries=comparison.summaries + twins))
    sentence = "All 2 comparisons: Rows minted by latent_diffusion help to detect the attack."
    assert document["verdict"]["sentence"] == sentence


def test_a_lead_whose_interval_holds_zero_is_no_lead(comparison):
    lead = replace(comparison.summaries[0].metrics["f1"], mean=0.01, low=-0.01, high=0.03)
    summaries = tuple(
        replace(summary, ours_ahead=lead) if summary.generator == "vae" else summary for summary in comparison.summaries
    )
    details = summarize(replace(comparison, summaries=summaries))["verdict"]["details"]
    assert details[0].endswith("It is ahead of smote; not told apart from vae.")


def test_without_a_generator_of_its_own_the_best_one_is_told(comparison):
    document = summarize(replace(comparison, plan=replace(comparison.plan, ours=None)))
    assert "latent_diffusion help" in document["verdict"]["sentence"]
    assert not any("ahead by" in name for table in blocks_of(document, "table") for name in table["columns"])


def test_a_comparison_without_any_result_is_still_a_report(comparison):
    document = summarize(replace(comparison, summaries=()))
    assert document["verdict"]["tone"] == "unknown"
    assert section_of(document, "failures")["blocks"][0]["rows"]


def test_a_single_number_of_rows_is_shown_by_dots(comparison):
    summaries = tuple(summary for summary in comparison.summaries if summary.rows in {25, None})
    document = summarize(replace(comparison, plan=replace(comparison.plan, rows=(25,)), summaries=summaries))
    panels = section_of(document, "f1")["blocks"][0]["panels"]
    assert [panel["panel"] for panel in panels] == ["dots", "dots"]


def test_the_best_mean_of_each_column_is_marked_and_real_rows_are_not(comparison):
    table = section_of(summarize(comparison), "f1")["blocks"][1]
    marked = [row[0] for row in table["rows"] for cell in row[1:] if isinstance(cell, dict) and cell["best"]]
    assert set(marked) == {"latent_diffusion"}


def test_failures_are_listed_with_their_reason(comparison):
    table = section_of(summarize(comparison), "failures")["blocks"][0]
    assert table["title"] == "1 of 2 cells failed"
    assert table["rows"][0][-1] == "ValueError: no rows of ARP_Spoofing"


def test_a_score_that_is_not_available_tells_its_reason(comparison, evaluation):
    assert "fewer than 20 rows" in json.dumps(section_of(summarize(comparison), "privacy"))
    assert "only 8 training rows" in json.dumps(section_of(summarize(evaluation), "privacy"))


def test_an_evaluation_counts_the_scores_as_good_as_real_rows(evaluation):
    verdict = summarize(evaluation)["verdict"]
    assert verdict["sentence"] == "Minted rows are about as good as real rows in 1 of 3 scores."
    assert "Wasserstein (0.400, real rows 0.020)" in verdict["details"][0]


def test_an_evaluation_without_references_claims_nothing(evaluation):
    scores = tuple(replace(score, reference=None) for score in evaluation.scores)
    assert summarize(replace(evaluation, scores=scores))["verdict"]["tone"] == "unknown"


def test_every_family_has_a_lead(evaluation):
    for family in FAMILIES:
        scores = tuple(replace(score, family=family) for score in evaluation.scores)
        document = summarize(replace(evaluation, scores=scores))
        assert section_of(document, family)["lead"]
