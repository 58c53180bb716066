"""Boxes come back from every format, and through any chain of them, exactly as they were."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from offline.annotation.__main__ import main
from offline.annotation.convert import FORMATS, convert, read, write
from offline.annotation.labels import LabelError, Labelled, LabelSet, Picture, label_set

_NAME = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co")), min_size=1, max_size=8
).filter(lambda text: text == text.strip() and text.strip("\ufeff") == text)
_STEM = st.text("abc\u00e9\u9774-_ 0", min_size=1, max_size=6).filter(lambda text: text == text.strip())


@st.composite
def _sets(draw: st.DrawFn, *, ignored: bool = True) -> LabelSet:
    names = tuple(draw(st.lists(_NAME, min_size=1, max_size=4, unique=True)))
    files = draw(st.lists(st.tuples(st.sampled_from(["", "sub/", "\u5e97/"]), _STEM), max_size=4, unique=True))
    pictures = []
    for folder, stem in files:
        width, height = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
        boxes = []
        for _ in range(draw(st.integers(0, 3))):
            x = sorted(draw(st.lists(st.integers(0, 100 * width), min_size=2, max_size=2, unique=True)))
            y = sorted(draw(st.lists(st.integers(0, 100 * height), min_size=2, max_size=2, unique=True)))
            corners = (x[0] / 100, y[0] / 100, x[1] / 100, y[1] / 100)
            boxes.append(Labelled(corners, draw(st.sampled_from(names)), ignored and draw(st.booleans())))
        pictures.append(Picture(f"{folder}{stem}.png", width, height, tuple(boxes)))
    return label_set(names, pictures, Path())


def _with_pictures(labels: LabelSet, folder: Path) -> Path:
    for each in labels.pictures:
        (folder / each.file).parent.mkdir(parents=True, exist_ok=True)
        # One bit a pixel: large pictures are quick to make.
        Pillow.new("1", (each.width, each.height)).save(folder / each.file)
    return folder


_QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_QUICK
@given(labels=_sets())
@pytest.mark.parametrize("how", ["voc", "coco"])
def test_what_is_written_is_read(how, labels, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("labels") / "it"
    write(labels, target, how)
    if how == "voc" and not labels.pictures:
        return  # without a file there is nothing that could say so
    assert read(target, how) == labels


@settings(_QUICK, max_examples=25)
@given(labels=_sets(ignored=False), chain=st.lists(st.sampled_from(FORMATS), min_size=2, max_size=5))
def test_any_chain_of_formats_gives_back_the_same(labels, chain, tmp_path_factory: pytest.TempPathFactory) -> None:
    if not labels.pictures:
        return
    folder = tmp_path_factory.mktemp("chain")
    pictures = _with_pictures(labels, folder / "pictures")
    write(labels, folder / "0", chain[0])
    for step, (source, target) in enumerate(pairwise(chain)):
        convert(folder / str(step), source, folder / str(step + 1), target, pictures=pictures)
    assert read(folder / str(len(chain) - 1), chain[-1], pictures) == labels


def test_a_file_of_labelimg_is_read(tmp_path: Path) -> None:
    (tmp_path / "shelf.xml").write_text(
        """<annotation>
	<folder>photos</folder><filename>shelf.jpg</filename><path>C:\\photos\\shelf.jpg</path>
	<source><database>Unknown</database></source>
	<size><width>640</width><height>480</height><depth>3</depth></size><segmented>0</segmented>
	<object><name>shoe</name><pose>Unspecified</pose><truncated>0</truncated><difficult>1</difficult>
		<bndbox><xmin>1</xmin><ymin>20</ymin><xmax>640</xmax><ymax>400</ymax></bndbox></object>
</annotation>"""
    )
    (picture,) = read(tmp_path, "voc").pictures
    assert picture == Picture("shelf.jpg", 640, 480, (Labelled((1.0, 20.0, 640.0, 400.0), "shoe", ignored=True),))


def test_six_digits_of_labelimg_give_whole_pixels(tmp_path: Path) -> None:
    Pillow.new("1", (4000, 3000)).save(tmp_path / "a.png")
    (tmp_path / "classes.txt").write_text("shoe\n")
    (tmp_path / "a.txt").write_text(f"0 {1234.5 / 4000:.6f} {1000.5 / 3000:.6f} {2469 / 4000:.6f} {1999 / 3000:.6f}\n")
    (picture,) = read(tmp_path, "yolo").pictures
    np.testing.assert_allclose(picture.boxes[0].corners, (0, 1, 2469, 2000), atol=0.01)


def test_names_of_ultralytics_and_a_picture_on_its_side(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (40, 20)).save(tmp_path / "images" / "a.jpg", exif=exif)
    (tmp_path / "data.yaml").write_text("names: {0: shoe, 1: bag}\n")
    (tmp_path / "labels" / "a.txt").write_text("1 .5 .5 1 .5\n\n")
    labels = read(tmp_path, "yolo")
    assert labels.labels == ("shoe", "bag")
    assert labels.pictures == (Picture("a.jpg", 20, 40, (Labelled((0.0, 10.0, 20.0, 30.0), "bag"),)),)


_XML = "<annotation><filename>a.png</filename><size><width>9</width><height>9</height></size>{}</annotation>"
_OBJECT = (
    "<object><name>shoe</name><bndbox><xmin>{}</xmin><ymin>0</ymin><xmax>{}</xmax><ymax>5</ymax></bndbox></object>"
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not readable XML"),
        ("<annotation>", "not readable XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "DTDForbidden"),
        ("<annotations/>", "<annotation> is expected"),
        ("<annotation/>", "no <filename>"),
        (_XML.replace("<height>9", "<height>0").format(""), "9 x 0 pixels"),
        (_XML.format("<object><name>shoe</name></object>"), "object 1: no <bndbox/xmin>"),
        (_XML.format("<object><name> </name></object>"), "no <"),
        (_XML.format(_OBJECT.format(1, "six")), "'six', not a number"),
        (_XML.format(_OBJECT.format(1, "nan")), "not all numbers"),
        (_XML.format(_OBJECT.format(1, 3) + _OBJECT.format(5, 5)), "object 2: box .* has no area"),
        (_XML.format(_OBJECT.format(1, 30)), "outside of its picture of 9 x 9"),
    ],
)
def test_broken_voc_is_named(content, said, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(LabelError, match=said) as caught:
        read(tmp_path, "voc")
    assert "a.xml" in str(caught.value)


_COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
    "categories": [{"id": 7, "name": "shoe"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": None}, "images must be a list"),
        ({"images": [{"id": 1, "file_name": "../a.png", "width": 9, "height": 9}]}, r"images\[0\]: '../a.png'"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": "9", "height": 9}]}, "width is '9', not a whole number"),
        ({"images": _COCO["images"] * 2}, "an id twice"),
        ({"images": [*_COCO["images"], {**_COCO["images"][0], "id": 2}]}, "picture 'a.png' is there twice"),
        ({"categories": [{"id": 7}]}, "name is None, not text"),
        ({"categories": [*_COCO["categories"], {"id": 8, "name": "shoe"}]}, "category 'shoe' is there twice"),
        ({"annotations": [{**_COCO["annotations"][0], "image_id": 5}]}, r"annotations\[0\]: image_id 5"),
        ({"annotations": [{**_COCO["annotations"][0], "category_id": 5}]}, "category_id 5 is not listed"),
        ({"annotations": [{**_COCO["annotations"][0], "bbox": [1, 2, 3]}]}, "bbox is"),
        ({"annotations": [{**_COCO["annotations"][0], "bbox": [1, 2, -3, 4]}]}, "outside|no area"),
        ({"annotations": [{**_COCO["annotations"][0], "iscrowd": 2}]}, "iscrowd is 2"),
    ],
)
def test_broken_coco_is_named(change, said, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(_COCO))
    assert len(read(path, "coco").pictures[0].boxes) == 1
    path.write_text(json.dumps({**_COCO, **change}))
    with pytest.raises(LabelError, match=said) as caught:
        read(path, "coco")
    assert "boxes.json" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 .5 .5 .2", "line 1: .*four shares"),
        ("0 .5 .5 .2 wide", "four shares"),
        ("3 .5 .5 .2 .2", "category 3, but there are 1"),
        ("0 .5 .5 2 .2", "outside of its picture"),
        ("0 .5 .5 0 .2", "no area"),
    ],
)
def test_broken_yolo_is_named(line, said, tmp_path: Path) -> None:
    Pillow.new("1", (90, 90)).save(tmp_path / "a.png")
    (tmp_path / "classes.txt").write_text("shoe\n")
    (tmp_path / "a.txt").write_text(line)
    with pytest.raises(LabelError, match=said) as caught:
        read(tmp_path, "yolo")
    assert "a.txt" in str(caught.value)


def test_what_yolo_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"classes.txt"):
        read(tmp_path, "yolo")
    (tmp_path / "classes.txt").write_text("shoe\n\nbag\n")
    with pytest.raises(LabelError, match="line 2: no name"):
        read(tmp_path, "yolo")
    (tmp_path / "classes.txt").write_text("shoe\n")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(LabelError, match=r"a.txt has no picture"):
        read(tmp_path, "yolo")
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(LabelError, match=r"a.png is not a picture"):
        read(tmp_path, "yolo")


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    box = Labelled((1.0, 1.0, 5.0, 5.0), "shoe", ignored=True)
    labels = LabelSet(("shoe",), (Picture("a.png", 9, 9, (box,)),))
    with pytest.raises(LabelError, match="to be ignored"):
        write(labels, tmp_path / "yolo", "yolo")
    twins = LabelSet(("shoe",), (Picture("a.jpg", 9, 9, ()), Picture("a.png", 9, 9, ())))
    for how in ("voc", "yolo"):
        with pytest.raises(LabelError, match=r"a.png and another picture"):
            write(twins, tmp_path / how, how)
    with pytest.raises(LabelError, match="XML cannot hold"):
        write(LabelSet(("a\x00",), (Picture("a.png", 9, 9, (Labelled(box.corners, "a\x00"),)),)), tmp_path / "x", "voc")
    with pytest.raises(LabelError, match="one line"):
        write(LabelSet(("a\nb",), ()), tmp_path / "y", "yolo")


def test_the_command_converts_and_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = LabelSet(("shoe",), (Picture("a.png", 9, 9, (Labelled((1.0, 1.0, 5.5, 5.0), "shoe", ignored=True),)),))
    write(labels, tmp_path / "voc", "voc")
    command = ["convert", "--from", "voc", "--to", "coco", str(tmp_path / "voc"), str(tmp_path / "boxes.json")]
    main(command)
    assert "1 boxes of 1 categories in 1 pictures" in capsys.readouterr().out
    assert read(tmp_path / "boxes.json", "coco") == labels
    with pytest.raises(SystemExit, match="already there"):
        main(command)
    main(
        [
            "convert",
            "--from",
            "coco",
            "--to",
            "yolo",
            "--drop-ignored",
            str(tmp_path / "boxes.json"),
            str(tmp_path / "y"),
        ]
    )
    assert (tmp_path / "y" / "labels" / "a.txt").read_text() == ""
