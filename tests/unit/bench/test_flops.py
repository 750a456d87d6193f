from pathlib import Path

from bench.yardstick.flops import Shape, mean_flop, message_flop, shape_of
from export.building.recipe import read_recipe, shipped_recipe

# Two layers of hidden size 4, one head of 4, an MLP of 8: q k v o are 4 x 4, gate up down 4 x 8.
_TINY = Shape(layers=2, weights=2 * (4 * 16 + 3 * 32), heads=1, head_dim=4, label_weights=4 * 2)


def test_a_message_costs_what_a_hand_count_gives() -> None:
    # 3 own tokens behind 5: projections 2 * 3 * 320 = 1920; pairs 3 * 5 + (1 + 2 + 3) = 21, each 2 products
    # of 4 multiply-adds in 2 layers: 21 * 2 * 4 * 2 * 2 = 672; label rows 2 * 8 = 16.
    assert message_flop(_TINY, 5, 3) == 1920 + 672 + 16


def test_the_mean_is_over_messages_not_lengths() -> None:
    assert mean_flop(_TINY, 5, [1, 3]) == (message_flop(_TINY, 5, 1) + message_flop(_TINY, 5, 3)) / 2


def test_the_shapes_come_from_the_graph(tmp_path: Path) -> None:
    packed = read_recipe(shipped_recipe("stress"))
    (tmp_path / "model.onnx").write_bytes(packed.model)
    (tmp_path / "bundle.json").write_bytes(packed.bundle_json)
    # SmolLM2-135M: q and o 576 x 576, k and v 576 x 192, three of 576 x 1536, thirty times; five labels.
    layer = 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536
    assert shape_of(tmp_path) == Shape(30, 30 * layer, 9, 64, 5 * 576)
