"""Triton kernels of the two blocks that are no convolutions: attention over a picture, and max-pools in a chain."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def attention_kernel(
    qkv,
    pe_weight,
    pe_bias,
    out,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    HEADS: tl.constexpr,
    KEY: tl.constexpr,
    VALUE: tl.constexpr,
    SCALE: tl.constexpr,
    PE: tl.constexpr,
    BM: tl.constexpr,
    BL: tl.constexpr,
):
    """softmax(q · k · SCALE) · v of one head for BM pixels, plus a 3 × 3 depthwise convolution of v where PE."""
    length: tl.constexpr = HEIGHT * WIDTH
    width: tl.constexpr = 2 * KEY + VALUE
    stride: tl.constexpr = HEADS * width
    tiles: tl.constexpr = (length + BM - 1) // BM
    tile = tl.program_id(0) % tiles
    head = (tl.program_id(0) // tiles) % HEADS
    picture = tl.program_id(0) // (tiles * HEADS)
    m = tile * BM + tl.arange(0, BM)
    line = tl.arange(0, BL)
    d = tl.arange(0, KEY)
    e = tl.arange(0, VALUE)
    m_mask = m < length
    base = qkv + picture * (length * stride) + head * width
    q = tl.load(base + m[:, None] * stride + d[None, :], mask=m_mask[:, None], other=0.0)
    q = (q.to(tl.float32) * SCALE).to(tl.float16)
    highest = tl.full((BM,), -1e30, dtype=tl.float32)
    total = tl.zeros((BM,), dtype=tl.float32)
    acc = tl.zeros((BM, VALUE), dtype=tl.float32)
    for start in tl.range(0, length, BL):
        seen = start + line
        mask = seen < length
        k = tl.load(base + KEY + seen[:, None] * stride + d[None, :], mask=mask[:, None], other=0.0)
        v = tl.load(base + 2 * KEY + seen[:, None] * stride + e[None, :], mask=mask[:, None], other=0.0)
        score = tl.dot(q, tl.trans(k))
        score = tl.where(mask[None, :], score, -1e30)
        raised = tl.maximum(highest, tl.max(score, axis=1))
        share = tl.exp(score - raised[:, None])
        fade = tl.exp(highest - raised)
        total = total * fade + tl.sum(share, axis=1)
        acc = tl.dot(share.to(tl.float16), v, acc * fade[:, None])
        highest = raised
    acc = acc / total[:, None]
    channel = head * VALUE + e
    if PE:
        row = m // WIDTH
        column = m % WIDTH
        for tap in tl.static_range(9):
            y = row + (tap // 3 - 1)
            x = column + (tap % 3 - 1)
            inside = m_mask & (y >= 0) & (y < HEIGHT) & (x >= 0) & (x < WIDTH)
            at = (y * WIDTH + x) * stride
            v = tl.load(base + 2 * KEY + at[:, None] + e[None, :], mask=inside[:, None], other=0.0)
            weight = tl.load(pe_weight + tap * (HEADS * VALUE) + channel)
            acc += v.to(tl.float32) * weight[None, :].to(tl.float32)
        acc += tl.load(pe_bias + channel)[None, :].to(tl.float32)
    at = (picture * length + m)[:, None] * (HEADS * VALUE) + channel[None, :]
    tl.store(out + at, acc.to(tl.float16), mask=m_mask[:, None])


@triton.jit
def pools_kernel(
    x,
    out,
    PIXELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    OFFSET: tl.constexpr,
    STRIDE: tl.constexpr,
    RADIUS: tl.constexpr,
    TIMES: tl.constexpr,
    BM: tl.constexpr,
    BC: tl.constexpr,
):
    """Max-pools of (2 RADIUS + 1)², up to three (TIMES) in a chain, each result written beside the last.

    A chain of max-pools is one max-pool over a wider window.
    """
    tiles: tl.constexpr = CHANNELS // BC
    m = (tl.program_id(0) // tiles) * BM + tl.arange(0, BM)
    c = (tl.program_id(0) % tiles) * BC + tl.arange(0, BC)
    m_mask = m < PIXELS
    image = m // (HEIGHT * WIDTH)
    row = (m // WIDTH) % HEIGHT
    column = m % WIDTH
    first = tl.full((BM, BC), float("-inf"), dtype=tl.float16)
    second = first
    third = first
    for dy in tl.range(-RADIUS * TIMES, RADIUS * TIMES + 1):
        y = row + dy
        narrow = tl.full((BM, BC), float("-inf"), dtype=tl.float16)
        middle = narrow
        wide = narrow
        for dx in tl.static_range(-RADIUS * TIMES, RADIUS * TIMES + 1):
            z = column + dx
            inside = m_mask & (y >= 0) & (y < HEIGHT) & (z >= 0) & (z < WIDTH)
            at = (image * (HEIGHT * WIDTH) + y * WIDTH + z) * STRIDE + OFFSET
            at = tl.multiple_of(at, 8)
            seen = tl.load(x + at[:, None] + c[None, :], mask=inside[:, None], other=float("-inf"))
            wide = tl.maximum(wide, seen)
            if (-RADIUS * 2 <= dx) & (dx <= RADIUS * 2):
                middle = tl.maximum(middle, seen)
            if (-RADIUS <= dx) & (dx <= RADIUS):
                narrow = tl.maximum(narrow, seen)
        first = tl.where((-RADIUS <= dy) & (dy <= RADIUS), tl.maximum(first, narrow), first)
        second = tl.where((-RADIUS * 2 <= dy) & (dy <= RADIUS * 2), tl.maximum(second, middle), second)
        third = tl.maximum(third, wide)
    at = m[:, None] * (TIMES * CHANNELS) + c[None, :]
    tl.store(out + at, first, mask=m_mask[:, None])
    if TIMES > 1:
        tl.store(out + at + CHANNELS, second, mask=m_mask[:, None])
    if TIMES > 2:
        tl.store(out + at + 2 * CHANNELS, third, mask=m_mask[:, None])
