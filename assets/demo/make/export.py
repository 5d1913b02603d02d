"""Writes what is shipped: fp16 checkpoints, their config, and the datasets as WebDataset. Same input, same bytes."""
import io
import json
import struct
import sys
import tarfile
from pathlib import Path

import torch
from PIL import Image

from concepts import CLASS_NAMES, ID, OOD, TEMPLATES, corpus
from finetune import RECIPES
from model import CONFIG, PREPROCESS, Data, tokenizer

NOTES = {
    "zeroshot": "tiny CLIP pretrained on emoji drawings; token rows outside its corpus are zero",
    "finetuned": "image tower and head, fine-tuned on the noto style",
    "finetuned-failed": "image tower and head, fine-tuned on the noto style with too large a learning rate",
    "finetuned-hot": "constructed: as finetuned, but visual.transformer.resblocks.1.mlp learnt 20 times faster",
}


def write_safetensors(path, tensors, note):
    """safetensors by hand: tensors by name, metadata in order, so that the bytes do not vary from run to run."""
    header, blobs, at = {"__metadata__": {"format": "pt", "alphascope.note": note}}, [], 0
    for name in sorted(tensors):
        half = tensors[name].to(torch.float16).contiguous()
        if not torch.isfinite(half).all():
            raise ValueError(f"{path.name}: {name} does not fit float16")
        blob = half.numpy().tobytes()
        header[name] = {"dtype": "F16", "shape": list(half.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(blobs))


def write_tar(path, samples):
    """samples: (key, pixels [48,48,3], label), as `key.png` and `key.cls`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, pixels, label in sorted(samples, key=lambda s: s[0]):
            png = io.BytesIO()
            Image.fromarray(pixels).save(png, "PNG", optimize=True)
            for suffix, blob in (("cls", str(label).encode()), ("png", png.getvalue())):
                info = tarfile.TarInfo(f"{key}.{suffix}")  # owner 0, time 0
                info.size = len(blob)
                tar.addfile(info, io.BytesIO(blob))
    (path.parent / "nshards.txt").write_text("1\n")


def main(work, out):
    data, tok = Data(work), tokenizer()
    used = {0, tok.sot_token_id, tok.eot_token_id}
    for text in corpus(data.concepts):
        used.update(tok.encode(text))
    clip = torch.load(work / "zeroshot.pt")
    mask = torch.zeros(CONFIG["text_cfg"]["vocab_size"], 1)
    mask[sorted(used)] = 1
    clip["token_embedding.weight"] = clip["token_embedding.weight"] * mask
    print(f"token rows kept: {len(used)} of {len(mask)}")
    write_safetensors(out / "zeroshot.safetensors", clip, NOTES["zeroshot"])
    for name in RECIPES:
        write_safetensors(out / f"{name}.safetensors", torch.load(work / f"{name}.pt"), NOTES[name])
    config = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")

    for style in [ID, *OOD]:
        folder = out / "data" / style
        for part in ("test", "train") if style == ID else ("test",):
            ids, rows, labels = data.dataset(style, part)
            write_tar(
                folder / part / "0.tar",
                [(data.concepts[i].hex, data.pixels[r].numpy(), int(y)) for i, r, y in zip(ids, rows, labels)],
            )
            print(f"{style}/{part}: {len(ids)} images")
        (folder / "classnames.txt").write_text("\n".join(CLASS_NAMES) + "\n")
        (folder / "zeroshot_classification_templates.txt").write_text("\n".join(TEMPLATES) + "\n")
        (folder / "dataset_type.txt").write_text("classification\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
