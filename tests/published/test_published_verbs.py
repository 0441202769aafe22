"""The verbs published, claims and recommend, in processes of their own, as people call them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tiny_world import CLI, command, environment, tiny_data, tiny_model

ROOT = Path(__file__).parents[2]
RECORD = f"{ROOT / 'examples/real-small.yaml'}={ROOT / 'benchmarks/results/2026-11-22-real-small.jsonl'}"


def test_published_alone_and_on_the_record() -> None:
    assert "Published scores" in command("compare", "published")
    printed = command("compare", "published", "--records", RECORD, "--markdown")
    assert "### real-small: e5-small beside XLM-R Large" in printed
    cells = json.loads(command("compare", "published", "--records", RECORD, "--json", "-"))["cells"]
    assert {c["published"]["mark"] for c in cells} >= {"read", "recalled*"}


def test_claims_as_a_page_and_as_json(tmp_path: Path) -> None:
    page = tmp_path / "claims.md"
    command("claims", "--records", RECORD, "-o", page)
    assert page.read_text(encoding="utf-8").startswith("# The claims ledger")
    found = json.loads(command("claims", "--json", "-"))
    assert [c["id"] for c in found][::18] == ["C01", "C19"]


def test_recommend_ranks_a_record() -> None:
    found = json.loads(command("recommend", "tydiqa", "--records", RECORD, "--json", "-"))
    assert found["ranking"][0]["tasks"] == ["squad_v2"]


def test_a_probe_runs_through_the_engine_and_is_ranked(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("pawsx", "labels/pawsx", "multinli_1.0", "QQP"):
        shutil.copytree(tiny_data() / name, data / name)
    model = f"m={tiny_model(positions=258)}"  # a probe encodes as the paper does
    asked = ("recommend", "pawsx", "--data", data, "--store", tmp_path / "store", "--model", model)
    done = subprocess.run(
        [*CLI, *map(str, (*asked, "--probe", "--steps", 2, "--json", "-"))],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=140,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert {tuple(each["tasks"]) for each in found["ranking"]} == {("mnli",), ("qqp",)}
    assert {each["basis"] for each in found["ranking"]} == {"probe"}
    assert (tmp_path / "probe-pawsx-m.yaml").is_file()
