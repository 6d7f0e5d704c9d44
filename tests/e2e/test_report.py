"""Pages in a real browser: from the file system, in light and dark, wide and narrow.

They want a Chromium: ``apt-get install chromium`` (or ``python -m playwright install chromium``);
without one they skip.
"""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
QUICK = ("--folds", "2", "--val", "0.2", "--epochs", "3", "--lr", "1e-3")
LABELS = ("--label", "grade", "--classes", "low,high")
FOLLOW_UPS = ("--time", "os_months", "--event", "died=1")


@pytest.fixture(scope="module")
def chromium():
    """A headless browser of this machine, in a sandbox of its own where it may have one."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as driver:
        if path is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip("no Chromium here: apt-get install chromium")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def look(chromium):
    """Open a page; give it, what it asked for, and what it complained of."""
    contexts = []

    def open_page(path, viewport=WIDE, scheme="light", **options):
        context = chromium.new_context(viewport=viewport, color_scheme=scheme, **options)
        contexts.append(context)
        page, asked, complaints = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page, asked, complaints

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def cohort(environment, tmp_path_factory):
    """(project, table) of 24 patients."""
    folder = tmp_path_factory.mktemp("cohort")
    script = ROOT / "sample_data" / "make_cohort.py"
    command = [sys.executable, script, folder, "--patients", "24"]
    subprocess.run(command, env=environment | {"PYTHONPATH": str(ROOT)}, check=True)
    return folder / "proj", folder / "cohort.csv"


@pytest.fixture(scope="module")
def report(wsitools, cohort, tmp_path_factory):
    """The page of a run of classes."""
    return made(wsitools, cohort, tmp_path_factory.mktemp("runs") / "classes", *LABELS)


@pytest.fixture(scope="module")
def survival_report(wsitools, cohort, tmp_path_factory):
    """The page of a run of follow-ups."""
    return made(wsitools, cohort, tmp_path_factory.mktemp("runs") / "survival", *FOLLOW_UPS)


@pytest.fixture(scope="module")
def sheet(wsitools, cohort, tmp_path_factory):
    """The contact sheet of the project, with a failure in it."""
    project = shutil.copytree(cohort[0], tmp_path_factory.mktemp("sheet") / "proj")
    failures = project / ".failures"
    failures.mkdir()
    record = {"slide_id": "bad", "path": "bad.svs", "stage": "open", "error": "SlideError"}
    hostile = {**record, "message": "<script>alert(1)</script>"}
    (failures / "bad.json").write_text(json.dumps(hostile))
    done = wsitools("status", project, "--html", project / "sheet.html")
    assert done.code == 0, done.err
    return project / "sheet.html"


def made(wsitools, cohort, run, *target):
    done = wsitools("train", *cohort, *target, *QUICK, "-o", run)
    assert done.code == 0, done.err
    done = wsitools("report", run, "--slides", "5")
    assert done.code == 0, done.err
    assert done.out == [str(run / "report.html")]
    return run / "report.html"


@pytest.fixture(params=["report", "survival_report", "sheet"])
def page_file(request):
    return request.getfixturevalue(request.param)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_page_opens_without_a_request_or_a_complaint(look, page_file, viewport, scheme):
    page, asked, complaints = look(page_file, viewport, scheme)
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    assert (
        page.evaluate("[...document.images].filter(i => !i.complete && i.loading != 'lazy')") == []
    )


@pytest.mark.slow
def test_a_page_follows_light_and_dark(look, page_file):
    seen = [
        look(page_file, WIDE, scheme)[0].evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert seen == ["rgb(251, 250, 247)", "rgb(20, 23, 27)"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_against_its_ground(look, page_file, scheme):
    """WCAG's contrast of 4.5, of every text that a page shows; of what SVG draws, too."""
    page, _, _ = look(page_file, WIDE, scheme)
    assert page.evaluate(FAINT_TEXTS) == []


FAINT_TEXTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(
      v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const ground = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const found = rgba(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const each of document.body.querySelectorAll('*')) {
    const own = [...each.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !each.getClientRects().length || each.closest('script, title, desc')) continue;
    const style = getComputedStyle(each);
    const ink = light(rgba(each.closest('svg') ? style.fill : style.color));
    const paper = light(ground(each));
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    if (ratio < 4.5) faint.push([each.textContent.trim().slice(0, 40), ratio.toFixed(2)]);
  }
  return faint;
}"""


@pytest.mark.slow
def test_the_slider_changes_what_is_shown_by_keyboard_alone(look, report):
    page, _, _ = look(report)
    slide = page.locator(".slide").first
    slider, layers = slide.locator("input"), slide.locator(".layers")
    before = layers.screenshot()
    slider.focus()
    page.keyboard.press("Home")
    assert slide.locator(".heat").evaluate("e => getComputedStyle(e).opacity") == "0"
    without = layers.screenshot()
    page.keyboard.press("End")
    assert slide.locator(".heat").evaluate("e => getComputedStyle(e).opacity") == "1"
    assert len({before, without, layers.screenshot()}) == 3
    others = page.locator(".slide .heat").nth(1)
    assert others.evaluate("e => getComputedStyle(e).opacity") == "0.55"


@pytest.mark.slow
def test_one_slider_moves_all(look, report):
    page, _, _ = look(report)
    page.locator("#all-heat").focus()
    page.keyboard.press("Home")
    shown = page.locator(".heat").evaluate_all("all => all.map(e => getComputedStyle(e).opacity)")
    assert shown == ["0"] * 5


@pytest.mark.slow
def test_the_heat_lies_on_its_slide(look, report):
    page, _, _ = look(report)
    for slide in page.locator(".slide").all():
        under, heat = (each.bounding_box() for each in slide.locator(".layers img").all())
        assert under == pytest.approx(heat)


@pytest.mark.slow
def test_a_page_shows_everything_without_its_script(look, report, sheet):
    page, _, _ = look(report, java_script_enabled=False)
    assert page.locator(".controls:visible").count() == 0
    assert page.locator(".slide:visible").count() == 5
    page, _, _ = look(sheet, java_script_enabled=False)
    assert page.locator(".sheet .card:visible").count() == 31


@pytest.mark.slow
def test_a_survival_run_shows_its_risk_groups(look, survival_report):
    page, _, _ = look(survival_report)
    titles = page.locator("#curves ~ .grid h3").all_inner_texts()
    assert titles == ["Survival by predicted risk", "AUC over time", "Calibration of survival"]
    assert page.locator("svg:has-text('os_months')").count() >= 1


@pytest.mark.slow
def test_slides_are_found_filtered_and_ordered(look, sheet):
    page, _, _ = look(sheet)
    shown = page.locator(".sheet .card:visible")
    assert shown.first.get_attribute("data-name") == "bad"
    assert shown.first.locator(".problem").inner_text() == "open: <script>alert(1)</script>"
    page.locator("#find").fill("p003")
    assert shown.count() == 1
    assert page.locator("#shown").inner_text() == "1 of 31 shown"
    page.locator("#find").fill("")
    page.locator("#show").select_option("failed")
    assert shown.count() == 1
    page.locator("#show").select_option("")
    page.locator("#order").select_option("tiles")
    tiles = [int(each.get_attribute("data-tiles")) for each in shown.all()]
    assert tiles == sorted(tiles)
    assert tiles[0] < tiles[-1]


@pytest.mark.slow
def test_a_page_prints(look, report, tmp_path):
    page, _, _ = look(report)
    content = page.pdf(format="A4")
    assert content.startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("nav:visible, .controls:visible").count() == 0


def test_a_report_without_its_cohort_warns_and_is_made(wsitools, cohort, report, tmp_path):
    run = shutil.copytree(report.parent, tmp_path / "run")
    options = json.loads((run / "run.json").read_text())
    options["made_by"]["command"]["options"]["cohort"] = str(tmp_path / "gone.csv")
    (run / "run.json").write_text(json.dumps(options))
    done = wsitools("report", run, "--slides", "0", "-o", tmp_path / "page.html")
    assert done.code == 0
    assert "--cohort" in done.err
    done = wsitools("report", run, "--cohort", tmp_path / "gone.csv", "-o", tmp_path / "page.html")
    assert done.code == 4


def test_a_report_writes_over_no_file_of_yours(wsitools, report, tmp_path):
    with (mine := tmp_path / "mine.csv").open("w", newline="") as stream:
        csv.writer(stream).writerow(["precious"])
    done = wsitools("report", report.parent, "--slides", "0", "-o", mine)
    assert done.code == 4
    assert mine.read_text().strip() == "precious"


def test_a_dry_run_writes_nothing(wsitools, report, tmp_path):
    done = wsitools("report", report.parent, "--dry-run", "-o", tmp_path / "page.html")
    assert done.rows == [
        {"page": str(tmp_path / "page.html"), "folds": 2, "slides": 30, "pictures": 12}
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_refused(wsitools, cohort):
    done = wsitools("report", cohort[0])
    assert done.code == 4
    assert "wsitools train" in done.err
