"""Weights that are missing, gated, of another network, or a trap."""

import time

import pytest
import torch

RUN = ("run", "--mpp", "0.5")


@pytest.fixture(scope="session")
def three_slides(write_slide, tissue, tmp_path_factory):
    """Three good slides."""
    folder = tmp_path_factory.mktemp("three")
    for name in "abc":
        write_slide(folder / f"{name}.tif", tissue)
    return folder


def test_unreachable_weights_end_the_run_at_once_with_the_lines_to_type(
    wsitools, three_slides, tmp_path
):
    log = tmp_path / "sockets"
    began = time.monotonic()
    command = (*RUN, three_slides, "-o", tmp_path / "proj")
    done = wsitools(*command, env={"TRIAL_SOCKETS": str(log)})
    assert time.monotonic() - began < 60  # seconds; hub libraries would try for minutes
    assert "('127.0.0.1', 9)" in log.read_text()
    assert (done.code, done.out) == (5, [])
    assert done.err == (
        "error: resnet50: no weights: http://127.0.0.1:9 does not answer; to go on, either\n"
        "  hf download timm/resnet50.tv_in1k --local-dir DIR   (where the hub is reached), then\n"
        "  wsitools embed PROJECT --backbone resnet50 --weights DIR\n"
        "  wsitools embed PROJECT --backbone resnet50 --weights FILE\n"
    )
    assert not (tmp_path / "proj" / "failures.csv").exists()


def test_gated_weights_say_where_the_licence_is_accepted(wsitools, three_slides, tmp_path):
    command = (*RUN, three_slides, "-o", tmp_path / "proj", "--backbone", "uni")
    done = wsitools(*command, "--mpp", "1", "--allow-geometry-mismatch")
    lines = done.err.splitlines()
    assert done.code == 5
    assert lines[1:3] == [
        "  accept the licence (CC-BY-NC-ND-4.0) at https://huggingface.co/MahmoodLab/UNI, then",
        "  HF_TOKEN=hf_... wsitools embed PROJECT --backbone uni",
    ]
    assert not (tmp_path / "proj" / "failures.csv").exists()


def test_offline_opens_no_internet_socket(wsitools, small_slide, tmp_path):
    log = tmp_path / "sockets"
    command = (*RUN, small_slide, "-o", tmp_path / "proj", "--offline")
    done = wsitools(*command, env={"TRIAL_SOCKETS": str(log)})
    assert done.code == 5
    assert done.err.startswith("error: resnet50: no weights: not in the local cache, and offline;")
    assert not log.exists()


def test_weights_of_another_network_are_exit_4(wsitools, test_data, three_slides, tmp_path):
    weights = test_data / "weights" / "resnet20-12fca82f.th"
    done = wsitools(*RUN, three_slides, "-o", tmp_path / "proj", "--weights", weights)
    assert (done.code, done.out) == (4, [])
    assert done.err.startswith(f"error: {weights}: not weights of resnet50: 170 keys missing")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "proj" / "failures.csv").exists()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


def test_a_checkpoint_with_code_is_refused_and_never_executed(wsitools, three_slides, tmp_path):
    sprung, checkpoint = tmp_path / "sprung", tmp_path / "trap.pth"
    torch.save({"state_dict": Trap(sprung)}, checkpoint)
    done = wsitools(*RUN, three_slides, "-o", tmp_path / "proj", "--weights", checkpoint)
    assert (done.code, done.out) == (4, [])
    assert done.err.startswith(f"error: {checkpoint}: not plain tensors, or a pickle that could ")
    assert done.err.count("\n") == 1
    assert not sprung.exists()


def test_weights_that_are_not_there_are_exit_4(wsitools, small_slide, tmp_path):
    done = wsitools(*RUN, small_slide, "-o", tmp_path / "proj", "--weights", tmp_path / "none.pth")
    assert done.code == 4
    assert done.err == f"error: {tmp_path}/none.pth: no such file or folder\n"


def test_tiles_that_a_backbone_was_not_made_for_are_a_misuse(wsitools, small_slide, tmp_path):
    project = tmp_path / "proj"
    wsitools("tile", small_slide, "-o", project, "--mpp", "1")
    refused = wsitools("embed", project, "--backbone", "uni")
    assert refused.code == 2
    assert refused.err == (
        "error: uni: made for 0.45 to 0.55 µm/px, and the tiles have 1; tile at --mpp 0.5, "
        "or add --allow-geometry-mismatch\n"
    )
