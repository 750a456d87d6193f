"""The baselines that stay on this machine, and how all of them are asked for by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from engine.errors import BundleError, DeviceError, FatalError, SettingsError, TaskError
from engine.load import load_engine
from engine.task import load_task
from export.baselines.bert import bert_graph
from export.baselines.bundle import BundleWay
from export.baselines.known import NAMES, Machine, Outside, baselines
from export.baselines.sentences import SentenceEmbedding, SentencesWay
from export.baselines.words import WordsWay
from export.evaluating.ways import Way
from export.examples import LabelledExample
from mimamori.cli.baselines import announce, settle, ways_from
from tests.fakes.chat_server import ChatServer
from tests.fakes.tiny_bert import CONFIG, write_settings, write_tiny_bert
from tests.fakes.tiny_bundle import TASK as TINY
from tests.fakes.tiny_bundle import write_tiny_bundle

TIRED = ["so tired of it all", "tired, always tired", "I am tired", "too tired to go on"]
WELL = ["lunch at noon?", "nice hat", "see you at lunch", "what a nice day"]
EXAMPLES = [LabelledExample(t, at_risk=True) for t in TIRED] + [
    LabelledExample(t, at_risk=False) for t in WELL
]
TEXTS = ["tired tired", "a nice lunch", "", "tired again"]
MODULES = [{"path": "", "type": "a.Transformer"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("bert") / "model")


@pytest.fixture(scope="module")
def embedding(folder: Path) -> SentenceEmbedding:
    return SentenceEmbedding(folder, device="cpu", threads=1)


def learnt(way: Way) -> list[float]:
    read: list[int] = []
    risks = way.risks(EXAMPLES, TEXTS, read.append)
    assert sum(read) == len(TEXTS)
    assert risks.shape == (len(TEXTS),)
    assert ((risks >= 0) & (risks <= 1)).all()
    return list(risks)


def test_words_learn_from_the_examples_alone() -> None:
    way = WordsWay(seed=3)
    risks = learnt(way)
    assert risks[0] > 0.5 > risks[1]
    assert risks[3] > 0.5
    assert risks == learnt(WordsWay(seed=3))
    assert way.messages_per_second is not None
    turned = [LabelledExample(each.text, not each.at_risk) for each in EXAMPLES]
    assert way.risks(turned, TEXTS, lambda _: None)[0] < 0.5


def test_sentences_learn_from_the_examples_alone(embedding: SentenceEmbedding) -> None:
    way = SentencesWay(embedding, seed=3)
    risks = learnt(way)
    assert risks == pytest.approx(learnt(SentencesWay(embedding, seed=3)))
    assert way.messages_per_second is not None
    known = list(way.risks(EXAMPLES, [each.text for each in EXAMPLES], lambda _: None))
    assert min(known[:4]) > max(known[4:])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_two_examples_are_enough(embedding: SentenceEmbedding, count: int) -> None:
    some = [EXAMPLES[0], *EXAMPLES[8 - count + 1 :]]
    for way in (WordsWay(), SentencesWay(embedding)):
        assert way.fewest == 2
        assert np.isfinite(way.risks(some, TEXTS, lambda _: None)).all()


def test_one_kind_of_example_is_not(embedding: SentenceEmbedding) -> None:
    for way in (WordsWay(), SentencesWay(embedding)):
        with pytest.raises(TaskError, match=r"at risk and one not: there are 4 and 0"):
            way.risks(EXAMPLES[:4], TEXTS, lambda _: None)


def test_examples_without_words_are_refused() -> None:
    bare = [LabelledExample("?!", at_risk=True), LabelledExample("...", at_risk=False)]
    with pytest.raises(TaskError, match="found no words"):
        WordsWay().risks(bare, TEXTS, lambda _: None)


def test_no_texts_have_no_risks(embedding: SentenceEmbedding) -> None:
    for way in (WordsWay(), SentencesWay(embedding)):
        assert way.risks(EXAMPLES, [], lambda _: None).shape == (0,)


def test_a_vector_does_not_depend_on_its_neighbours(embedding: SentenceEmbedding) -> None:
    alone = np.concatenate([embedding.vectors([text]) for text in TIRED])
    assert len({len(text) for text in TIRED}) > 1  # they are padded when read together
    np.testing.assert_allclose(embedding.vectors(TIRED), alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1.0, atol=1e-5)


def test_both_cpu_devices_give_the_same_vectors(folder: Path, embedding: SentenceEmbedding) -> None:
    other = SentenceEmbedding(folder, device="openvino", precision="fp32", threads=1)
    assert (embedding.runs, other.runs) == ("cpu fp32", "openvino fp32")
    np.testing.assert_allclose(other.vectors(TIRED), embedding.vectors(TIRED), atol=1e-4)
    with pytest.raises(DeviceError, match="int8"):
        SentenceEmbedding(folder, device="openvino", precision="int8")


def test_a_graph_that_is_there_is_taken(folder: Path, tmp_path: Path, embedding: SentenceEmbedding) -> None:
    """As optimum exports it: with token types, and the states under another name."""
    model = onnx.load_from_string(bert_graph(folder))
    model.graph.input.append(
        helper.make_tensor_value_info("token_type_ids", onnx.TensorProto.INT64, ["B", "L"])
    )
    model.graph.output[0].name = model.graph.node[-1].output[0] = "token_embeddings"
    write_settings(tmp_path / "other")
    (tmp_path / "other" / "onnx").mkdir()
    onnx.save(model, tmp_path / "other" / "onnx" / "model.onnx")
    read = SentenceEmbedding(tmp_path / "other", device="cpu").vectors(TIRED)
    np.testing.assert_allclose(read, embedding.vectors(TIRED), atol=1e-5)


def test_the_poolings_are_those_of_the_folder(folder: Path, tmp_path: Path) -> None:
    graph = bert_graph(folder)
    read = {}
    for mode in ("mean_tokens", "cls_token", "max_tokens"):
        write_settings(tmp_path / mode, normalised=False, **{f"pooling_mode_{mode}": True})
        (tmp_path / mode / "model.onnx").write_bytes(graph)
        read[mode] = SentenceEmbedding(tmp_path / mode, device="cpu").vectors(["a", "a tired one"])
    states = {mode: vectors[0] for mode, vectors in read.items()}
    assert (states["max_tokens"] >= np.maximum(states["mean_tokens"], states["cls_token"]) - 1e-5).all()
    assert len({vector.tobytes() for vector in states.values()}) == 3


def test_settings_of_the_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(folder, tmp_path / "model")
    settings = {"max_seq_length": 4, "do_lower_case": True}
    (changed / "sentence_bert_config.json").write_text(json.dumps(settings))
    prompts = {"prompts": {"query": "q"}, "default_prompt_name": "query"}
    (changed / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    plain, other = SentenceEmbedding(folder, device="cpu"), SentenceEmbedding(changed, device="cpu")
    np.testing.assert_allclose(other.vectors(["A and more"]), plain.vectors(["qa"]), atol=1e-6)


def broken(folder: Path, file: str, content: Any) -> None:
    path = folder / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer.json", b"{}", "cannot read .*tokenizer.json"),
        ("model.safetensors", None, "has neither onnx/model.onnx nor model.safetensors"),
        ("model.safetensors", b"12345678" * 9, "cannot read tensors from"),
        ("config.json", None, "cannot read .*config.json"),
        ("config.json", b"{", "config.json: "),
        ("config.json", {"model_type": "mpnet"}, "describes mpnet .* put onnx/model.onnx beside it"),
        ("config.json", CONFIG | {"num_hidden_layers": 10**9}, "its sizes are not those of a BERT"),
        ("config.json", CONFIG | {"num_hidden_layers": 3}, "has no tensor encoder.layer.2"),
        ("config.json", CONFIG | {"hidden_size": 24}, "has other sizes than"),
        ("modules.json", [MODULES[0], {"path": "1", "type": "a.Dense"}], "lists Transformer, Dense"),
        ("modules.json", [MODULES[0], {"path": "../x", "type": "a.Pooling"}], "must be a folder in"),
        ("1_Pooling/config.json", {"pooling_mode_lasttoken": True}, "asks for mean_tokens and lasttoken"),
        ("sentence_bert_config.json", {"max_seq_length": -1}, "max_seq_length cannot be -1"),
        ("onnx/model.onnx", b"nonsense", "is not an ONNX graph"),
    ],
)
def test_a_broken_folder_is_refused_in_one_line(
    folder: Path, tmp_path: Path, file: str, content: Any, line: str
) -> None:
    damaged = shutil.copytree(folder, tmp_path / "model")
    broken(damaged, file, content)
    with pytest.raises(FatalError, match=line) as raised:
        SentenceEmbedding(damaged, device="cpu")
    assert "\n" not in str(raised.value)


def test_a_graph_that_names_files_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "model")
    model = onnx.load_from_string(bert_graph(folder))
    onnx.save(model, damaged / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert len(SentenceEmbedding(damaged, device="cpu").vectors(["a"])) == 1
    (damaged / "w.bin").rename(tmp_path / "w.bin")
    with pytest.raises(BundleError, match=r"takes weights from w\.bin, which is not a file beside it"):
        SentenceEmbedding(damaged, device="cpu")


def test_a_bundle_is_read_as_it_is(tmp_path: Path) -> None:
    engine = load_engine(write_tiny_bundle(tmp_path / "bundle"), device="cpu", threads=1)
    way = BundleWay("tiny", engine)
    assert (way.name, way.fewest) == ("tiny, prompted", 0)
    assert learnt(way) == [scores.risk for scores in engine.read(TEXTS)]
    assert way.messages_per_second is not None


def test_every_baseline_has_a_name(folder: Path, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "bundle")
    asked = ["tf-idf", f"embedding:{folder}", f"bundle:{tmp_path / 'bundle'}"]
    asked += ["endpoint:llama3:8b", "endpoint-few-shot:llama3:8b", "tf-idf"]
    outside = Outside("https://api.example.com/v1", "api.example.com")
    made: list[Way] = [*baselines(asked, TINY, machine=Machine("cpu"), outside=outside)]
    assert {each.partition(":")[0] for each in asked} == set(NAMES)
    assert [(way.name, way.fewest) for way in made] == [
        ("TF-IDF + logistic regression", 2),
        ("sentence embedding + logistic regression", 2),
        ("tiny, prompted", 0),
        ("llama3:8b at api.example.com, zero-shot", 0),
        ("llama3:8b at api.example.com, few-shot", 1),
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("gpt-4", "no baseline 'gpt-4': there are tf-idf, embedding:FOLDER, bundle:FOLDER, endpoint:MODEL"),
        ("embedding", "no baseline 'embedding'"),
        ("tf-idf:words", "no baseline 'tf-idf:words'"),
        ("endpoint:m", "needs --endpoint, such as"),
    ],
)
def test_an_unknown_name_is_refused(name: str, line: str) -> None:
    with pytest.raises(SettingsError, match=line):
        baselines([name], TINY)


def test_consent_is_asked_for_before_anything_is_opened() -> None:
    outside = Outside("https://api.example.com/v1")
    with pytest.raises(SettingsError, match=r"agree with --send-texts-to api\.example\.com"):
        baselines(["embedding:/nowhere", "endpoint:m"], TINY, outside=outside)


def test_a_bundle_for_another_task_is_refused(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "bundle")
    with pytest.raises(SettingsError, match="is for the task tiny, and what is measured is stress"):
        baselines([f"bundle:{tmp_path / 'bundle'}"], load_task("stress"), machine=Machine("cpu"))


def test_the_options_reach_the_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert ways_from(None, TINY, None) == []
    with ChatServer() as server:
        ways = ways_from(
            ["endpoint:judge", "endpoint-few-shot:judge"],
            load_task("stress"),
            Path("train.csv"),
            endpoint=server.url,
            send_texts_to="127.0.0.1",
            price_in=1.0,
            price_out=2.0,
            max_cost=1.0,
            answer_tokens=9,
        )
        announce(ways, [[], EXAMPLES[:1], EXAMPLES[:2]], TEXTS)
        assert not server.bodies
        told = capsys.readouterr().err
        for way in ways:
            way.risks(EXAMPLES[: way.fewest], TEXTS, lambda _: None)
        settle(ways)
        settled = capsys.readouterr().err
    assert "note: sending 4 questions to judge at 127.0.0.1" in told
    assert "note: sending 8 questions to judge at 127.0.0.1" in told
    assert f"judge at {server.url.split('/')[2]} answered 8 questions: 400 tokens in, 8 out; 0.00" in settled
    assert "52 for a million such questions" in settled
    assert len(server.bodies) == 8
    assert server.bodies[0]["max_tokens"] == 9
