"""Contrastive pretraining from scratch with open_clip's loss -> WORK/zeroshot.pt. Stops and resumes at checkpoints."""
import random
import sys
import time
from pathlib import Path

import torch
from open_clip import ClipLoss

from concepts import STYLE, caption
from model import Data, augment, build, cosine, decay_groups, tokenizer

STEPS, BATCH, LR, WD, WARMUP, SEED, SAVE_EVERY = 1200, 256, 1.5e-3, 0.1, 100, 1, 50


def pool_of(data):
    """Concept -> its drawings that pretraining may see: [(style, row)]."""
    pool = {}
    for (i, s), row in data.rows.items():
        if STYLE[s].pretrain == "all" or STYLE[s].pretrain == data.part[i] == "train":
            pool.setdefault(i, []).append((s, row))
    return pool


def main(work):
    torch.set_num_threads(2)  # fixed, so that sums are split the same way on any machine
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    data, tok, loss_fn = Data(work), tokenizer(), ClipLoss()
    pool = pool_of(data)
    print(f"pretraining on {sum(map(len, pool.values()))} drawings of {len(pool)} concepts", flush=True)
    clip = build().train()
    opt = torch.optim.AdamW(decay_groups(clip.named_parameters(), WD), lr=LR, betas=(0.9, 0.98))
    queue, step, seconds = [], 0, 0.0
    saved = work / "pretrain.ckpt"
    if saved.exists():
        c = torch.load(saved, weights_only=False)  # our own file: it holds Python's random state too
        clip.load_state_dict(c["clip"])
        opt.load_state_dict(c["opt"])
        torch.set_rng_state(c["torch_rng"])
        rng.setstate(c["rng"])
        queue, step, seconds = c["queue"], c["step"], c["seconds"]
        print(f"resuming at step {step}", flush=True)
    started = time.time() - seconds
    while step < STEPS:
        for g in opt.param_groups:
            g["lr"] = LR * cosine(step, STEPS, WARMUP)
        if len(queue) < BATCH:  # concepts are distinct within a batch
            queue = sorted(pool)
            rng.shuffle(queue)
        batch, queue = queue[:BATCH], queue[BATCH:]
        chosen = [rng.choice(pool[i]) for i in batch]
        texts = [caption(data.concepts[i], STYLE[s], rng) for i, (s, _) in zip(batch, chosen)]
        images = augment(data.pixels[[row for _, row in chosen]], gray=0.25, strength=1.0)
        # The same caption twice in a batch: the two columns are equal, so that the one-hot targets' gradient
        # is that of a target shared between both. No special case is needed.
        loss = loss_fn(
            clip.encode_image(images, normalize=True),
            clip.encode_text(tok(texts), normalize=True),
            clip.logit_scale.exp().clamp(max=100),
        )
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        opt.step()
        step += 1
        if step % SAVE_EVERY == 0 or step == STEPS:
            seconds = time.time() - started
            state = {
                "clip": clip.state_dict(), "opt": opt.state_dict(), "torch_rng": torch.get_rng_state(),
                "rng": rng.getstate(), "queue": queue, "step": step, "seconds": seconds,
            }
            torch.save(state, saved.with_suffix(".tmp"))
            saved.with_suffix(".tmp").rename(saved)
            scale = clip.logit_scale.exp().item()
            print(f"step {step}/{STEPS}  {seconds:.0f} s  loss {loss.item():.3f}  scale {scale:.1f}", flush=True)
    torch.save({k: v for k, v in clip.state_dict().items() if k != "attn_mask"}, work / "zeroshot.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
