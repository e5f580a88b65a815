"""The report of whole, partial, hostile, damaged and large runs."""

import json
import re
import shutil
import subprocess
import tracemalloc
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from made_run import make_rows, make_run, make_skills, rejection, stage, write_lines

from datagen.errors import ConfigError
from datagen.report import summary, summary_json, write_report
from datagen.report.coverage import expected_combinations, expected_used
from datagen.report.figures import dollars, duration, percent, short
from datagen.report.files import read_lines
from datagen.report.markup import escape, tag
from datagen.report.plots import Mark, bins, histogram
from datagen.report.scan import scan
from datagen.rows import make_row

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "</style><img src=x onerror=document.title='owned'>",
    '" onmouseover="document.title=\'owned\'" x="',
    "javascript:document.title='owned'",
    "</title><svg onload=document.title='owned'>",
    "--><img src='http://127.0.0.1:9/owned.png'><!--",
    "a\x00b\x1b[31m\x9b\ud800\u202eend",
)


class Page(HTMLParser):
    """Elements, attributes and text of a page; unbalanced elements are an error."""

    void = ("meta", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += [(name, *each) for each in attributes]
        if name not in self.void:
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        self.tags.append(name)
        self.attributes += [(name, *each) for each in attributes]

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.text.append(data)


def read(run):
    return write_report(run).read_text(encoding="utf-8")


def text_of(run):
    """The page's text without its style, white space run together."""
    page = re.sub(r"<style>.*?</style>", "", read(run), flags=re.S)
    return " ".join(" ".join(Page(page).text).split())


def hostile_rows():
    """One row for each hostile text: in prompt, completion, skills, topics and query type."""
    rows = []
    for position, bad in enumerate(HOSTILE):
        facts = {"generator": bad, "split": "train", "position": position, "skills": [bad, "b"],
                 "topics": [[bad], []], "query_type": bad, "model": bad}  # fmt: skip
        row = make_row([{"role": "user", "content": "x"}], [], facts).model_dump()
        # As JSON escapes, which is how lone surrogates come into a file.
        row["prompt"] = [{"role": "user", "content": f"{bad} asked"}]
        row["completion"] = [{"role": bad, "content": f"{bad} answered"}]
        row["provenance"] = json.dumps(facts)
        rows.append(row)
    return rows


@pytest.fixture
def hostile(tmp_path):
    bad = "".join(HOSTILE)
    skills = [{"skill": each, "topics": [each]} for each in HOSTILE]
    rejected = [rejection(i, each, each, each) for i, each in enumerate(HOSTILE)]
    return make_run(tmp_path / "run", rows=hostile_rows(), skills=skills, rejected=rejected,
                    model=bad, faults=dict.fromkeys(HOSTILE, 1))  # fmt: skip


# ---- what it says --------------------------------------------------------------------------------


def test_a_whole_run(tmp_path):
    page = text_of(make_run(tmp_path / "my-run", n=40))
    assert "my-run" in page
    assert "Complete: all 40 planned rows were made." in page
    assert "teacher-1" in page
    assert "seed 42" in page
    assert "5_rows 40 40 0 120 60,000 12,000" in page
    # 130 requests of 600e-6 dollars.
    assert "$0.0780" in page
    assert "and 5 held out" in page


def test_a_run_with_rejections_is_partial_and_shows_two_of_each(tmp_path):
    rejected = [rejection(i, "cut_off", f"detail {i}", f"raw answer {i}") for i in range(3)]
    rejected += [rejection(9, "echo", "the response repeats", "Echo! Echo!")]
    run = make_run(tmp_path / "run", n=36, rejected=rejected)
    page = text_of(run)
    assert "Partial: 4 of 40 planned rows were rejected." in page
    assert "cut_off 3 · 7.5 %" in page  # 3 of 40
    assert "detail 0" in page
    assert "raw answer 1" in page
    assert "raw answer 2" not in page
    assert summary_json(run)["rejections"] == {"5_rows": {"cut_off": 3, "echo": 1}}


def test_a_long_rejected_answer_is_cut_and_says_so(tmp_path):
    rejected = [rejection(0, "too_long", "", "y" * 10_000)]
    page = text_of(make_run(tmp_path / "run", rejected=rejected))
    assert "6,000 more characters" in page
    assert "y" * 4001 not in page


def test_what_a_filter_dropped_is_no_rejected_answer(tmp_path):
    run = make_run(tmp_path / "run", rejected=[rejection(0, "echo", "", "")])
    write_lines(run / "rejected" / "6_dedup.jsonl", [rejection(1, "dedup_exact", "same", "x")] * 7)
    page = text_of(run)
    assert "Rejected 1 2.1 % of all positions" in page  # 1 of 1 + 4 + 1 + 41
    assert "6_dedup: 7 rejections" in page


def test_faults_and_filters_are_counted(tmp_path):
    page = text_of(make_run(tmp_path / "run", faults={"http_429": 37, "odd_one": 2}))
    assert "39 faults survived" in page
    assert "http_429 the server asked to slow down 37" in page
    assert "odd_one 2" in page
    assert "dedup_rouge_l only counted 40 0 0 %" in page


def test_coverage_beside_its_expectation(tmp_path):
    run = make_run(tmp_path / "run", n=40)
    found = summary_json(run)["skills"]
    rows = [json.loads(row["provenance"]) for row in make_rows(40, make_skills(12))]
    assert found["skills"] == 12
    assert found["used"] == len({name for row in rows for name in row["skills"]})
    assert found["combinations"] == len({tuple(sorted(row["skills"])) for row in rows})
    # 12 (1 - (10/12)^40) = 11.992
    assert found["expected_used"] == pytest.approx(11.992, abs=1e-3)
    assert sum(int(times) * n for times, n in found["uses"].items()) == 80


def test_expected_coverage_of_the_released_1000_rows():
    # Notes on the paper: K = 1143, k = 2, n = 1000: 944.6 skills, 1000 - 0.77 pairs.
    assert expected_used(1143, 2, 1000) == pytest.approx(944.6, abs=0.05)
    assert expected_combinations(1143, 2, 1000) == pytest.approx(1000 - 0.77, abs=0.01)


@pytest.mark.parametrize(("skills", "k", "rows", "combinations"), [
    (2, 2, 50, 1), (4, 1, 0, 0), (1, 2, 5, 0), (3000, 40, 100, 100),
    (3, 1, 2, 3 * (1 - (2 / 3) ** 2)),  # 5/3 of 3 choices
])  # fmt: skip
def test_expected_combinations_at_the_edges(skills, k, rows, combinations):
    assert expected_combinations(skills, k, rows) == pytest.approx(combinations)


def test_unused_query_types_are_shown(tmp_path):
    run = make_run(tmp_path / "run", n=3)
    assert summary_json(run)["query_types"] == {
        "Help-Seeking": 1, "Comparative": 1, "Planning": 1, "Narrative": 0}  # fmt: skip
    assert "Narrative 0" in text_of(run)


def test_topics_count_rows_once(tmp_path):
    rows = [make_row([], [], {"position": i, "skills": ["a", "b"], "topics": [["t"], ["t"]]})
            for i in range(3)]  # fmt: skip
    assert scan(row.model_dump() for row in rows).topics == {"t": 3}


def test_twenty_rows_are_drawn_and_always_the_same(tmp_path):
    run = make_run(tmp_path / "run", n=60)
    page = read(run)
    assert page.count('class="row"') == 20
    assert read(run) == page


def test_a_row_says_how_to_trace_it(tmp_path):
    run = make_run(tmp_path / "odd name", n=1)
    row = json.loads((run / "dataset" / "train.jsonl").read_text())
    assert f"datagen trace 'odd name' {row['id'][:8]}" in text_of(run)
    assert row["completion"][0]["content"] in text_of(run)


def test_diversity_is_beside_the_released_figures(tmp_path):
    page = text_of(make_run(tmp_path / "run", n=40))
    assert "This run, 40 rows Released, 100 rows Released, 1,000 rows" in page
    assert "Different openings" in page
    assert "0.842" in page  # distinct-3 of the released 1,000 instructions


def test_more_than_1000_rows_are_drawn_from(tmp_path):
    run = make_run(tmp_path / "run", n=1100, heldout=0)
    sizes = [sample["used"] for sample in summary_json(run)["diversity"]["instruction"]]
    assert sizes == [1000, 100]
    assert "Measured on 1,000 rows drawn from 1,100" in text_of(run)


def test_another_generator_is_not_compared_with_the_paper(tmp_path):
    rows = make_rows(5, make_skills(5))
    write_lines(tmp_path / "dataset" / "train.jsonl", [{**r, "provenance": "{}"} for r in rows])
    (tmp_path / "manifest.json").write_text("{}")
    page = text_of(tmp_path)
    assert "Released" not in page
    assert "Complete: 5 rows." in page


def test_secrets_in_endpoints_are_not_shown(tmp_path):
    run = make_run(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["model"]["base_url"] = [
        "https://me:s3cret@host.example/v1?api-key=s3cret",
        "http://b/v1",
    ]
    (run / "config.json").write_text(json.dumps(config))
    page = text_of(run)
    assert "s3cret" not in page
    assert '["https://host.example/v1", "http://b/v1"]' in page


# ---- what may be missing -------------------------------------------------------------------------


def test_an_unfinished_run_reports_its_finished_blocks(tmp_path):
    rows = make_rows(6, make_skills(5))
    write_lines(tmp_path / "blocks/5_rows/000000/rows.jsonl", rows[:4])
    write_lines(tmp_path / "blocks/5_rows/000001/rows.jsonl", rows[4:])
    write_lines(tmp_path / "blocks/5_rows/000001/rejected.jsonl",
                [rejection(7, "echo", "it repeats", "raw")])  # fmt: skip
    metrics = {"generator": "skillmix", "stages": [stage("5_rows", 20, 6, {"echo": 2}, 30)]}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    page = text_of(tmp_path)
    assert "Unfinished: 6 of 20 rows so far." in page
    assert "dataset/train.jsonl is not there: these rows come from the stage's files." in page
    assert "echo 2 · 10 %" in page  # the metrics know one more than the blocks that are finished
    assert summary_json(tmp_path)["rows"] == 6


def test_an_empty_run_still_has_a_report(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    page = text_of(tmp_path)
    assert "Unfinished: 0 rows so far." in page
    assert "metrics.json is not there" in page
    assert "Unfinished" in summary(tmp_path)


@pytest.mark.parametrize("broken", [
    b"{", b"[1]", b'{"seconds": "soon"}', b'{"stages": [{"planned": 1}]}', b"\xff",
    b'{"cost": NaN}',
])  # fmt: skip
def test_damaged_metrics_are_said(tmp_path, broken):
    run = make_run(tmp_path / "run")
    (run / "metrics.json").write_bytes(broken)
    assert "metrics.json is damaged" in text_of(run)
    assert summary_json(run)["rows"] == 40


def test_a_cut_line_is_left_out_and_said(tmp_path):
    run = make_run(tmp_path / "run", n=5)
    train = run / "dataset" / "train.jsonl"
    train.write_bytes(train.read_bytes()[:-40])
    assert "train.jsonl: 1 line is cut or damaged and left out." in text_of(run)
    assert summary_json(run)["rows"] == 4


@pytest.mark.parametrize("provenance", ["", "{", "[]", 5, None, '{"skills": 3, "topics": [1]}'])
def test_rows_with_odd_provenance_are_counted(provenance):
    row = {"id": 7, "prompt": "no list", "completion": [3], "provenance": provenance}
    assert scan([row, {}]).rows == 2


def test_only_a_run_folder_will_do(tmp_path):
    with pytest.raises(ConfigError, match="not a folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="not a run folder"):
        write_report(tmp_path)


def test_changed_files_change_the_report(tmp_path):
    run = make_run(tmp_path / "run", n=5)
    before = summary_json(run)["rows"]
    write_lines(run / "dataset" / "train.jsonl", make_rows(3, make_skills(5)))
    assert (before, summary_json(run)["rows"]) == (5, 3)


# ---- hostile text --------------------------------------------------------------------------------


def test_nothing_hostile_becomes_an_element_or_an_attribute(hostile):
    page = Page(read(hostile))
    drawn = {"svg", "g", "rect", "line", "title"}
    plain = {"html", "head", "meta", "style", "body", "header", "main", "section", "footer", "nav",
             "a", "h1", "h2", "h3", "p", "div", "span", "dl", "dt", "dd", "table", "thead", "tbody",
             "tfoot", "tr", "th", "td", "details", "summary", "pre", "code", "bdi", "figure",
             "figcaption"}  # fmt: skip
    assert set(page.tags) <= drawn | plain
    assert not [each for each in page.attributes if each[1].startswith("on")]
    assert all(value.startswith("#") for _, key, value in page.attributes if key == "href")
    assert not [each for each in page.attributes if each[1] in ("src", "srcset", "action")]
    styles = [value for _, key, value in page.attributes if key == "style"]
    assert all(re.fullmatch(r"(left|right):[\d.]+%?", style) for style in styles)


def test_hostile_text_is_shown_as_it_is(hostile):
    page = Page(read(hostile))
    shown = "".join(page.text)
    for bad in HOSTILE[:-1]:
        assert f"{bad} asked" in shown
        assert f"{bad} answered" in shown


def test_no_control_character_reaches_the_page(hostile):
    data = write_report(hostile).read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", data)


def test_the_page_forbids_everything_but_its_own_style(tmp_path):
    page = Page(read(make_run(tmp_path / "run")))
    policy = next(v for name, key, v in page.attributes if key == "content" and "default" in v)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script" not in page.tags


def test_no_address_but_the_settings_own_is_in_the_page(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "config.json").write_text("{}")
    assert "//" not in re.sub(r"<style>.*?</style>", "", read(run), flags=re.S)
    assert "url(" not in read(run)


def test_a_terminal_gets_no_control_characters(hostile):
    said = summary(hostile)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said)
    said.encode()
    json.dumps(summary_json(hostile))


def test_escaping():
    assert escape("<a b='c'>&\"") == "&lt;a b=&#x27;c&#x27;&gt;&amp;&quot;"
    assert tag("b", tag("i", "<"), title='"') == '<b title="&quot;"><i>&lt;</i></b>'
    assert escape("a\x00\r\nb\ud800") == "a\ufffd\nb\ufffd\ufffd\ufffd"


# ---- plots and words -----------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [
    {0: 5}, {7: 1, 8: 3}, dict.fromkeys(range(400), 1), {30: 100, 31: 100, 90_000: 1}, {10**9: 1},
])  # fmt: skip
def test_bins_hold_every_count_once(counts):
    found = bins(counts)
    assert sum(bar.count for bar in found) == sum(counts.values())
    assert len(found) <= 38
    assert all(a.high == b.low for a, b in pairwise(found))


def test_a_far_tail_is_one_bar():
    last = bins({**dict.fromkeys(range(30, 60), 100), 5000: 2})[-1]
    assert (last.low, last.high, last.count) == (60, float("inf"), 2)


def test_histogram_of_nothing_is_nothing():
    assert bins({}) == []
    assert histogram([], "none", "words") == ""


def test_histogram_draws_a_bar_for_each_bin():
    drawn = histogram(bins({1: 4, 2: 8}), "Words", "words", [Mark(1.5, "median 1.5")], (1, 2))
    # Eight bins (the fewest drawn) and the band.
    assert drawn.count("<rect") == 8 + 1
    assert "<title>2 words: 8</title>" in drawn
    assert 'height="100"' in drawn  # the highest bar fills the plot
    assert "median 1.5" in drawn


@pytest.mark.parametrize(("made", "said"), [
    (short(9_999), "9,999"), (short(12_340), "12.3 k"), (short(5_000_000), "5.0 M"),
    (dollars(None), "not known"), (dollars(0.0279), "$0.0279"), (dollars(0.0), "$0.00"),
    (dollars(1234.5), "$1,234.50"), (percent(1, 200), "0.5 %"), (percent(1, 0), "0 %"),
    (duration(4.25), "4.2 s"), (duration(754), "12 min 34 s"), (duration(7300), "2 h 1 min"),
    (duration(200_000), "2 d 7 h"),
])  # fmt: skip
def test_numbers_in_words(made, said):
    assert made == said


def test_summary_is_short_and_complete(tmp_path):
    run = make_run(tmp_path / "run", faults={"timeout": 3},
                   rejected=[rejection(0, "echo", "", "")])  # fmt: skip
    said = summary(run)
    assert len(said.splitlines()) <= 12
    for part in ("Partial: 1 of 41", "teacher-1 (openai)", "130 requests", "$0.0780", "timeout 3",
                 "5_rows: echo 1", "12 min 34 s in 2 sessions", "distinct-2"):  # fmt: skip
        assert part in said


# ---- size ----------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_rows(tmp_path):
    rows = make_rows(1000, make_skills(50))
    for name, times in (("small", 2), ("large", 6)):
        write_lines(tmp_path / f"{name}.jsonl", rows * times)

    def peak(name):
        tracemalloc.start()
        scan(read_lines([tmp_path / f"{name}.jsonl"], Counter()))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak("small")  # imports are not the rows'
    # 4,000 rows more are 6 MB of file; 8 bytes a row are kept for combinations, and sorted once.
    assert peak("large") - peak("small") < 400_000


# ---- in a browser --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_a_browser_runs_nothing_of_a_hostile_page(hostile, tmp_path, force):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on PATH")
    page = write_report(hostile)
    if force:  # a page that does run a script and load an image: the test would notice
        broken = page.read_text(encoding="utf-8").replace("Content-Security-Policy", "X-None")
        broken = broken.replace("</body>", f"{HOSTILE[0]}<p {HOSTILE[6]}</body>")
        page.write_text(broken, encoding="utf-8")
    dom = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={tmp_path / 'net.json'}",
         "--virtual-time-budget=2000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True).stdout  # fmt: skip
    assert ("<title>owned</title>" in dom) == force
    asked = (tmp_path / "net.json").read_text(errors="replace")
    assert ("http://127.0.0.1:9/owned.png" in asked) == force
