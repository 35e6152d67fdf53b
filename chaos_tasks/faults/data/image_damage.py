"""Damaged images: blurred, noisy, cut short in transfer, or with bytes that rotted."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data import columns
from chaos_tasks.faults.data.drawing import Mask, Scored, uniforms
from chaos_tasks.faults.data.rows import ColumnChange, change_columns
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets.formats.folders import CONTENT

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image  # Pillow comes with matplotlib

KIND = "data.image_damage"
HEADER = 64
"""Bytes at the start that `rot` leaves alone: a file that is not even known as an image is another fault."""


class ImageDamageParams(VersionParams):
    """How many images, and what happens to each."""

    intensity_field: ClassVar[str | None] = "fraction"
    fraction: float = Field(ge=0, le=1, description="Share (0..1) of the images that are damaged, exactly.")
    damage: Literal["blur", "noise", "truncate", "rot"] = Field(
        "blur",
        description="blur and noise: the image can still be read; truncate: its end is missing; rot: bytes are others.",
    )
    strength: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share (0..1): blur: its radius, of the shorter side; noise: its standard deviation, of the range "
        "of a channel; truncate and rot: of the bytes, at least one.",
    )


class ImageDamage(VersionFault[ImageDamageParams]):
    """What happens to an image depends on the seed and its bytes alone; what is re-encoded keeps no metadata."""

    kind = KIND
    summary = "Damage a share of the images: blur, noise, cut short, or rotten bytes"
    cause = "A lens out of focus, a sensor in the dark, an upload cut off (Hendrycks and Dietterich, ICLR 2019)"
    params_type = ImageDamageParams
    formats = ("images",)

    def blast_radius(self, place: Place, params: ImageDamageParams) -> float:
        """The fraction: the other images are left alone."""
        return params.fraction

    def change(self, handle: Handle, file: Path, params: ImageDamageParams, ctx: FaultContext) -> Change:
        """Damage, and say how many.  Who is hit is drawn without reading an image."""

        def score(batch: pa.RecordBatch, first: int) -> Scored:
            drawn = uniforms(handle.seed, KIND, "", first, batch.num_rows)
            return drawn, np.ones(batch.num_rows, dtype=np.bool_)

        def mutate(batch: pa.RecordBatch, hit: Mask) -> pa.Array:
            return _damaged(batch.column(CONTENT), hit, handle.seed, params)

        named = _any_column(file)
        (hit,) = change_columns(handle, file, ctx, [ColumnChange(CONTENT, named, score, mutate)], params.fraction)
        return Change(
            summary=f"{params.damage} in {hit.changed} of {hit.eligible} images",
            effective=hit.changed > 0,
            evidence={"damage": params.damage, **hit.evidence()},
        )


def _any_column(folder: Path) -> tuple[str, ...]:
    from chaos_tasks.targets.formats.folders import Images

    return (Images().schema(folder).names[0],)


def _damaged(column: pa.Array, hit: Mask, seed: int, params: ImageDamageParams) -> pa.Array:
    import pyarrow as pa

    contents: list[bytes | None] = [None] * len(column)
    for row in np.flatnonzero(hit):
        content = column[int(row)].as_py()
        if content is None:
            raise InjectError("the index names an image that is not there", remedy="correct the index")
        key = hashlib.blake2b(content, key=f"{seed}{KIND}".encode()[:64], digest_size=16).digest()
        generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
        contents[row] = DAMAGES[params.damage](content, params.strength, generator)
    return columns.replaced(column, hit, pa.array(contents, pa.binary()))


def truncate(content: bytes, strength: float, generator: np.random.Generator) -> bytes:
    """Without its end; one byte stays."""
    return content[: max(1, len(content) - max(1, round(strength * len(content))))]


def rot(content: bytes, strength: float, generator: np.random.Generator) -> bytes:
    """Bytes behind the header are others."""
    header = min(HEADER, len(content) - 1)
    count = max(1, round(strength * (len(content) - header)))
    places = header + generator.choice(len(content) - header, count, replace=False)
    rotten = np.frombuffer(content, np.uint8).copy()
    rotten[places] ^= generator.integers(1, 256, count, dtype=np.uint8)
    return rotten.tobytes()


def blur(content: bytes, strength: float, generator: np.random.Generator) -> bytes:
    """Gaussian."""
    from PIL import ImageFilter

    def act(image: Image) -> Image:
        return image.filter(ImageFilter.GaussianBlur(strength * min(image.size)))

    return _redrawn(content, act)


def noise(content: bytes, strength: float, generator: np.random.Generator) -> bytes:
    """Gaussian, in each channel but that of transparency."""
    from PIL import Image as Pillow

    def act(image: Image) -> Image:
        pixels = np.asarray(image).astype(np.float64)
        drawn = generator.normal(0.0, 255 * strength, pixels.shape)
        if image.mode in ("LA", "RGBA"):
            drawn[..., -1] = 0.0
        return Pillow.fromarray(np.clip(np.round(pixels + drawn), 0, 255).astype(np.uint8), image.mode)

    return _redrawn(content, act)


def _redrawn(content: bytes, act: Callable[[Image], Image]) -> bytes:
    """Decoded, changed, and encoded as it was: a JPEG with its own quantisation, so that nothing else is lost."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(content)) as image:
            name, options = image.format, _options(image)
            usual = image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")
            changed = act(usual)
    except (OSError, ValueError) as error:
        raise InjectError(
            "an image that was drawn cannot be decoded", remedy="`truncate` and `rot` need no decoding"
        ) from error
    buffer = io.BytesIO()
    changed.save(buffer, name, **options)
    return buffer.getvalue()


def _options(image: Image) -> Mapping[str, Any]:
    if image.format != "JPEG":
        return {}
    from PIL.JpegImagePlugin import get_sampling

    tables = getattr(image, "quantization", None)
    return {"qtables": tables, "subsampling": get_sampling(image)} if tables else {}


DAMAGES: Mapping[str, Callable[[bytes, float, np.random.Generator], bytes]] = {
    "blur": blur,
    "noise": noise,
    "truncate": truncate,
    "rot": rot,
}
