"""Networks that hear speech and music: Silero, DNSMOS, Resemblyzer and BeatNet."""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from benchmarks.checkpoints import sounds
from benchmarks.checkpoints.graphs import graph, runner
from benchmarks.checkpoints.judge import unequal
from benchmarks.checkpoints.network import Checkpoint, Network, Weights, Wheel
from benchmarks.checkpoints.states import arrays, lstm, state, tensors


def voice_activity(wheel: Wheel) -> Network:
    """Return Silero's detector of speech: an STFT, convolutions, an LSTM cell."""
    model = graph(wheel.read(ACTIVITY.member))
    sound = np.concatenate([sounds.speech(voice, 4) for voice in range(4)])
    noise = np.random.default_rng(0).standard_normal(sound.size).astype(np.float32)
    sound = sound + 0.003 * noise
    chunks = sound[: sound.size // 512 * 512].reshape(-1, 512)
    tails = np.concatenate([np.zeros((1, 64), np.float32), chunks[:-1, -64:]])

    def outputs(weights: Weights) -> np.ndarray:
        session, memory, found = model.session(weights), np.zeros((2, 1, 128), np.float32), []
        for chunk in np.concatenate([tails, chunks], axis=1)[:, None]:
            feed = {"input": chunk, "state": memory, "sr": np.array(16000)}
            probability, memory = session.run(None, feed)
            found.append(probability)
        return np.concatenate(found)[None]

    def score(found: np.ndarray, original: np.ndarray) -> float:
        return unequal(found > 0.5, original > 0.5)

    return Network(model.weights(), outputs, score)


def quality(wheel: Wheel) -> Network:
    """Return DNSMOS: how good listeners would find a recording."""
    model = graph(wheel.read(QUALITY.member))
    random = np.random.default_rng(0)
    feeds = []
    for voice, loud in enumerate((0, 0.001, 0.003, 0.01, 0.03, 0.1)):
        clean = sounds.speech(voice, 9.01)[:144160]
        noisy = clean + loud * random.standard_normal(clean.size).astype(np.float32)
        feeds.append({"input_1": noisy[None].astype(np.float32)})

    def score(found: np.ndarray, original: np.ndarray) -> float:
        return float(np.mean(np.abs(found - original)))

    return Network(model.weights(), runner(model, feeds), score)


def speakers(wheel: Wheel) -> Network:
    """Return Resemblyzer: three LSTMs, a vector of length 1 for each voice."""
    saved = state(wheel.read(SPEAKERS.member))["model_state"]
    window, filters = 400, sounds.bands(sounds.mel_edges(40, 8000), 400, 16000)
    mels = []
    for voice in range(12):
        sound = sounds.speech(voice, 6.5)
        power = sounds.spectra(sound, window, 160) ** 2 @ filters
        mels += [power[start : start + 160] for start in range(0, 640, 160)]
    frames = np.stack(mels).astype(np.float32)
    who = np.repeat(np.arange(12), 4)

    def outputs(weights: Weights) -> np.ndarray:
        t = tensors(weights)
        hidden = lstm(torch.from_numpy(frames), t, 3)[:, -1]
        found = torch.relu(functional.linear(hidden, t["linear.weight"], t["linear.bias"])).numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def nearest(vectors: np.ndarray) -> np.ndarray:
        return who[(vectors @ vectors.T - 2 * np.eye(len(vectors))).argmax(1)]

    def score(found: np.ndarray, original: np.ndarray) -> float:
        return unequal(nearest(found), nearest(original))

    return Network(arrays(saved), outputs, score)


def beats(wheel: Wheel) -> Network:
    """Return BeatNet: a convolution and two LSTMs on a spectrogram and its changes."""
    saved = state(wheel.read(BEATS.member))
    rate, random = 22050, np.random.default_rng(0)
    tracks = []
    for tempo in (90, 120, 140):
        sound = 0.002 * random.standard_normal(8 * rate)
        for beat in range(int(8 * tempo / 60)):
            start = round(beat * 60 / tempo * rate)
            hit = sounds.note(60 if beat % 4 else 120, 0.15, rate)[: sound.size - start]
            sound[start : start + hit.size] += hit
        tracks.append(sound)
    filters = sounds.bands(np.geomspace(30, 11000, 138), 2048, rate)
    frames = []
    for sound in tracks:
        logs = np.log10(1 + sounds.spectra(sound, 2048, 441) @ filters)
        rises = np.maximum(0, np.diff(logs, axis=0, prepend=logs[:1]))
        frames.append(np.concatenate([logs, rises], axis=1))
    inputs = np.stack(frames).astype(np.float32)

    def outputs(weights: Weights) -> np.ndarray:
        t = tensors(weights)
        x = torch.from_numpy(inputs).reshape(-1, 1, 272)
        x = functional.relu(functional.conv1d(x, t["conv1.weight"], t["conv1.bias"]))
        x = functional.max_pool1d(x, 2).flatten(1)
        x = functional.linear(x, t["linear0.weight"], t["linear0.bias"])
        x = lstm(x.reshape(*inputs.shape[:2], 150), t, 2)
        return functional.linear(x, t["linear.weight"], t["linear.bias"]).softmax(-1).numpy()

    def score(found: np.ndarray, original: np.ndarray) -> float:
        return unequal(found.argmax(-1), original.argmax(-1))

    return Network(arrays(saved), outputs, score)


ACTIVITY = Checkpoint(
    "Silero VAD (convolutions, LSTM)",
    "silero_vad",
    "MIT",
    "silero_vad/data/silero_vad_16k_op15.onnx",
    "decisions unlike the original's, %",
    voice_activity,
    "as it is",
)
QUALITY = Checkpoint(
    "DNSMOS (convolutions)",
    "speechmos",
    "MIT",
    "speechmos/dnsmos_models/sig_bak_ovr.onnx",
    "difference of scores, points of 5",
    quality,
    "as it is",
)
SPEAKERS = Checkpoint(
    "Resemblyzer (LSTM)",
    "Resemblyzer",
    "Apache-2.0",
    "resemblyzer/pretrained.pt",
    "other speakers than the original hears, %",
    speakers,
    "pt",
)
BEATS = Checkpoint(
    "BeatNet (convolution, LSTM)",
    "BeatNet",
    "CC-BY-4.0",
    "BeatNet/models/model_1_weights.pt",
    "frames unlike the original's, %",
    beats,
    "as it is",
)
CHECKPOINTS = (ACTIVITY, QUALITY, SPEAKERS, BEATS)
