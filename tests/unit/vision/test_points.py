"""Points of a pyramid and what distances from them mean."""

import numpy as np

from shiwu.vision.points import PointGrid

GRID = PointGrid((8, 32))


def test_points_stand_in_the_middle_of_their_cells_row_by_row() -> None:
    boxes = GRID.boxes(64)
    assert len(boxes) == 8 * 8 + 2 * 2
    assert boxes[0].tolist() == [-4, -4, 12, 12]
    assert boxes[1].tolist() == [4, -4, 20, 12]
    assert boxes[64 + 2].tolist() == [-16, 16, 48, 80]


def test_distances_of_nought_mean_one_stride() -> None:
    boxes = GRID.boxes(64)
    np.testing.assert_allclose(GRID.decode(np.zeros_like(boxes), boxes), boxes)


def test_distances_by_hand() -> None:
    point = GRID.boxes(64)[[0]]  # at (4, 4), stride 8
    outputs = np.log(np.array([[0.5, 0.25, 2.0, 3.0]], np.float32))
    np.testing.assert_allclose(GRID.decode(outputs, point), [[0, 2, 20, 28]], atol=1e-5)


def test_decode_undoes_encode() -> None:
    rng = np.random.default_rng(0)
    points = GRID.boxes(64)
    centre = (points[:, :2] + points[:, 2:]) / 2
    boxes = np.concatenate(
        [centre - rng.uniform(1, 90, centre.shape), centre + rng.uniform(1, 90, centre.shape)], axis=1
    )
    boxes = boxes.astype(np.float32)
    np.testing.assert_allclose(GRID.decode(GRID.encode(boxes, points), points), boxes, rtol=1e-4, atol=1e-3)


def test_wild_outputs_stay_finite() -> None:
    points = GRID.boxes(64)
    assert np.isfinite(GRID.decode(np.full_like(points, 1e38), points)).all()
