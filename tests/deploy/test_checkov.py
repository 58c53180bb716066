"""checkov finds nothing in the manifests but what is argued here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from evaluation.programs import environment
from tests.deploy.chart import VALUES, render

_WHY_NOT = {
    "CKV_K8S_11": "CPU has no limit: throttling makes scans late and frees nothing that the requests have not reserved",
    "CKV_K8S_15": "tags are versions and never move, so that an image that is there need not be asked for again",
    "CKV_K8S_35": "settings come from the environment alone; nothing else runs in the containers that could read it",
    "CKV_K8S_40": "the bundled stores run as the users that their images were made for",
    "CKV_K8S_43": "images by digest are the user's to name, as ci/production.yaml does",
}
"""By check, why it does not hold for us."""


@pytest.mark.slow
def test_checkov_finds_only_what_is_argued(tmp_path: Path) -> None:
    programs = environment("checkov-3.3.30", ["checkov==3.3.30"]) / "bin"
    for values in VALUES:
        (tmp_path / f"{values}.yaml").write_text(render(values))
    command = [
        str(programs / "python"),
        str(programs / "checkov"),
        "--framework",
        "kubernetes",
        "--directory",
        str(tmp_path),
        "--output",
        "json",
    ]
    done = subprocess.run([*command, "--quiet", "--skip-download"], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 1000, done.stderr
    failed = {
        (each["file_path"].strip("/"), each["check_id"], each["resource"])
        for each in report["results"]["failed_checks"]
    }
    assert {check for _, check, _ in failed} == _WHY_NOT.keys(), failed
    assert {check for file, check, _ in failed if file == "production.yaml"} == {"CKV_K8S_11", "CKV_K8S_35"}
    assert {resource.split(".")[-1] for _, check, resource in failed if check == "CKV_K8S_40"} <= {
        "shiwu-database", "shiwu-milvus", "shiwu-triton",
    }  # fmt: skip
