"""The pictures that calibration sees, prepared as the product prepares them: detect, align, crop. numpy only, not fast."""

import subprocess

import numpy as np

from .files import BuildError

# Five points of the 128-pixel template of reid-0095: eyes, nose tip, mouth corners (left in the image first).
TEMPLATE_128 = 128 * np.array([(.31556875, .46157410), (.68262291, .46157410), (.50026249, .64050535),
                               (.34947187, .82469196), (.65343645, .82469196)])
# dlib's 150-pixel chip: outer and inner corner of the eye right in the image, of the eye left in the image, nose base.
TEMPLATE_150 = 150 * (0.25 + np.array([(.8595674595992, .2134981538014), (.6460604764104, .2289674387677),
                                       (.1205750620789, .2137274526848), (.3340850613712, .2290642403242),
                                       (.4901123135679, .6277975316475)])) / 1.5
# The same five points in FaceMesh's numbering.
MESH_150 = [263, 362, 33, 133, 2]
EYE_LEFT_IN_IMAGE, EYE_RIGHT_IN_IMAGE = (33, 133), (362, 263)


def decode(path: str, width: int, height: int) -> np.ndarray:
    """Frames as u8 [n, height, width, 3] in BGR, by ffmpeg, which reads the clip and the portrait alike."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise BuildError("calibrate needs ffmpeg in PATH to decode its sample clip; install the package ffmpeg") from None
    if done.returncode != 0:
        raise BuildError(f"ffmpeg could not decode {path}: {done.stderr.decode(errors='replace').strip()}")
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def warp(image: np.ndarray, matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bilinear; `matrix` (2x3) maps image points to output points; outside is black."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    x, y, _ = np.tensordot(inverse, np.stack([columns, rows, np.ones_like(rows)]), 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]

    def pixel(row, column):
        inside = (row >= 0) & (row < image.shape[0]) & (column >= 0) & (column < image.shape[1])
        return image[row.clip(0, image.shape[0] - 1), column.clip(0, image.shape[1] - 1)] * inside[..., None]

    upper = pixel(top, left) * (1 - fx) + pixel(top, left + 1) * fx
    lower = pixel(top + 1, left) * (1 - fx) + pixel(top + 1, left + 1) * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares rotation, scale and shift (2x3) that takes source points to target points."""
    n = len(source)
    rows = np.zeros((2 * n, 4))
    rows[:n] = np.c_[source[:, 0], -source[:, 1], np.ones(n), np.zeros(n)]
    rows[n:] = np.c_[source[:, 1], source[:, 0], np.zeros(n), np.ones(n)]
    a, b, dx, dy = np.linalg.lstsq(rows, np.r_[target[:, 0], target[:, 1]], rcond=None)[0]
    return np.array([[a, -b, dx], [b, a, dy]])


def square(center, side: float, angle: float, size: int) -> np.ndarray:
    """The 2x3 matrix that takes a square of the image, turned by `angle`, to size x size."""
    k, c, s = size / side, np.cos(-angle), np.sin(-angle)
    x, y = center
    return np.array([[k * c, -k * s, size / 2 - k * (c * x - s * y)], [k * s, k * c, size / 2 - k * (s * x + c * y)]])


def tensor(image: np.ndarray, order: str, lo: float, hi: float) -> np.ndarray:
    """BGR pixels 0..255 [h, w, 3] to a network's input [1, 3, h, w]."""
    planes = image[..., ::-1] if order == "rgb" else image
    return np.ascontiguousarray((lo + (hi - lo) * planes / 255).transpose(2, 0, 1)[None], dtype=np.float32)


def scale_to_fit(image: np.ndarray, size: int) -> tuple:
    """The image in the top left corner of size x size, as YuNet wants it; and the scale."""
    k = size / max(image.shape[:2])
    return warp(image, np.array([[k, 0, 0], [0, k, 0]]), size, size), k


def centred_square(image: np.ndarray, size: int) -> np.ndarray:
    """The image in the middle of a black square, as BlazeFace wants it."""
    height, width = image.shape[:2]
    return warp(image, square((width / 2, height / 2), max(height, width), 0.0, size), size, size)


def best_face(outputs: dict, scale: float):
    """YuNet's surest face as (box x, y, w, h; five points), or None."""
    best = None
    for stride in (8, 16, 32):
        cls, obj, box, points = (outputs[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
        scores = np.sqrt(cls.clip(0, 1) * obj.clip(0, 1))[:, 0]
        i = int(scores.argmax())
        if scores[i] < 0.6 or (best and scores[i] <= best[0]):
            continue
        side = int(np.sqrt(len(scores)))
        row, column = divmod(i, side)
        w, h = np.exp(box[i, 2:]) * stride
        x, y = (column + box[i, 0]) * stride - w / 2, (row + box[i, 1]) * stride - h / 2
        best = (scores[i], np.array([x, y, w, h]) / scale, (points[i].reshape(5, 2) + (column, row)) * stride / scale)
    return best[1:] if best else None


def pad_crop(image: np.ndarray, box: np.ndarray, factor: float, size: int) -> np.ndarray:
    """MiniFASNet's crop: the box enlarged about its centre, made to fit, moved back into the frame."""
    height, width = image.shape[:2]
    x, y, w, h = box
    factor = min(factor, (height - 1) / h, (width - 1) / w)
    w, h, cx, cy = w * factor, h * factor, x + w / 2, y + h / 2
    left, top = min(max(cx - w / 2, 0), width - 1 - w), min(max(cy - h / 2, 0), height - 1 - h)
    return warp(image, np.array([[size / w, 0, -left * size / w], [0, size / h, -top * size / h]]), size, size)
