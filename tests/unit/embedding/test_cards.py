import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_tools.embedding.cards import BACKBONES, feature_key, find_card, name_of_key
from wsi_tools.errors import InputError


def test_the_cards_say_what_is_published():
    said = {
        name: (card.source, card.width, card.px, card.mpp, card.gated)
        for name, card in BACKBONES.items()
    }
    assert said == {
        "resnet50": ("timm:resnet50.tv_in1k", 1024, 224, None, False),
        "resnet50-full": ("timm:resnet50.tv_in1k", 2048, 224, None, False),
        "uni": ("hf-hub:MahmoodLab/UNI", 1024, 224, (0.45, 0.55), True),
    }


@pytest.mark.slow
def test_listing_the_cards_does_not_import_torch():
    program = (
        "import sys; from wsi_tools.embedding.cards import BACKBONES; list(BACKBONES.values());"
        "print(sys.modules.keys() & {'torch', 'timm', 'huggingface_hub'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.parametrize(
    ("name", "scheme", "reference", "revision"),
    [
        ("timm:vit_small_patch16_224.dino", "timm", "vit_small_patch16_224.dino", None),
        ("torchvision:squeezenet1_1", "torchvision", "squeezenet1_1", None),
        ("hf-hub:MahmoodLab/UNI", "hf-hub", "MahmoodLab/UNI", None),
        ("hf-hub:bioptimus/H0-mini@4b1e0ab", "hf-hub", "bioptimus/H0-mini", "4b1e0ab"),
        ("local-dir:/models/a@b", "local-dir", "/models/a@b", None),
    ],
)
def test_an_open_prefix_names_a_source_and_guesses_nothing(name, scheme, reference, revision):
    card = find_card(name)
    assert (card.scheme, card.reference, card.revision) == (scheme, reference, revision)
    assert (card.width, card.px, card.mpp, card.mean) == (None, None, None, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "MahmoodLab/UNI",
            "MahmoodLab/UNI: say where it is: hf-hub:MahmoodLab/UNI or local-dir:MahmoodLab/UNI",
        ),
        (
            "resnet18",
            "resnet18: no such backbone; choose from resnet50, resnet50-full, uni, "
            "or write timm:resnet18",
        ),
        (
            "hub:a/b",
            "hub:a/b: hub: is no source; choose from timm:, torchvision:, hf-hub:, local-dir:",
        ),
        ("timm:", "timm:: nothing follows the colon; name a model, repository or folder"),
        (
            "hf-hub:UNI",
            "hf-hub:UNI: a repository is written hf-hub:ORG/NAME or hf-hub:ORG/NAME@REV",
        ),
    ],
)
def test_a_name_that_says_too_little_is_refused_with_what_to_type(name, message):
    with pytest.raises(InputError) as refused:
        find_card(name)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("resnet50", "resnet50"),
        ("resnet50-full", "resnet50-full"),
        ("hf-hub:MahmoodLab/UNI", "hf-hub=MahmoodLab+UNI"),
        ("timm:resnet50.a1_in1k", "timm=resnet50.a1_in1k"),
        ("local-dir:/data/my models/ä~b@c", "local-dir=+data+my~20models+~C3~A4~7Eb~40c"),
        ("local-dir:a=b+c", "local-dir=a~3Db~2Bc"),
    ],
)
def test_a_name_becomes_a_readable_key(name, key):
    assert feature_key(name) == key
    assert name_of_key(key) == name


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=15))
def test_a_key_can_be_reversed_and_is_safe_in_a_path(name):
    key = feature_key(name)
    assert name_of_key(key) == name
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._=+~")


def test_a_path_too_long_for_an_array_name_is_refused():
    with pytest.raises(InputError, match="link the folder to a short path"):
        feature_key("local-dir:" + "/long" * 50)
