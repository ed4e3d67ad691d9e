"""Sums of products for one tile of a layer, each from another kind of input."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def activated(x, ACT: tl.constexpr):
    """x, or SiLU (1), ReLU (2), sigmoid (3) of it."""
    if ACT == 1:
        x = x / (1.0 + tl.exp(-x))
    elif ACT == 2:
        x = tl.maximum(x, 0.0)
    elif ACT == 3:
        x = 1.0 / (1.0 + tl.exp(-x))
    return x


@triton.jit
def product_of_sources(
    acc,
    x0,
    x1,
    x2,
    x3,
    w,
    m,
    half_m,
    m_mask,
    n,
    n_mask,
    C0: tl.constexpr,
    O0: tl.constexpr,
    S0: tl.constexpr,
    U0: tl.constexpr,
    C1: tl.constexpr,
    O1: tl.constexpr,
    S1: tl.constexpr,
    U1: tl.constexpr,
    C2: tl.constexpr,
    O2: tl.constexpr,
    S2: tl.constexpr,
    U2: tl.constexpr,
    C3: tl.constexpr,
    O3: tl.constexpr,
    S3: tl.constexpr,
    U3: tl.constexpr,
    W_STRIDE: tl.constexpr,
    BK: tl.constexpr,
):
    """acc + [x0 | x1 | x2 | x3] · w, the sources side by side along their channels, none of them copied.

    One loop runs over all of them, so that loads of the next overlap products of the last.
    """
    k = tl.arange(0, BK)
    for k0 in tl.range(0, C0 + C1 + C2 + C3, BK):
        at = m * S0 + O0 + k0
        if U0:
            at = half_m * S0 + O0 + k0
        x = x0
        if C1 > 0:
            second = k0 >= C0
            if U1:
                at1 = half_m * S1 + (O1 - C0) + k0
            else:
                at1 = m * S1 + (O1 - C0) + k0
            at = tl.where(second, at1, at)
            x = tl.where(second, x1, x)
        if C2 > 0:
            third = k0 >= C0 + C1
            if U2:
                at2 = half_m * S2 + (O2 - C0 - C1) + k0
            else:
                at2 = m * S2 + (O2 - C0 - C1) + k0
            at = tl.where(third, at2, at)
            x = tl.where(third, x2, x)
        if C3 > 0:
            fourth = k0 >= C0 + C1 + C2
            if U3:
                at3 = half_m * S3 + (O3 - C0 - C1 - C2) + k0
            else:
                at3 = m * S3 + (O3 - C0 - C1 - C2) + k0
            at = tl.where(fourth, at3, at)
            x = tl.where(fourth, x3, x)
        at = tl.multiple_of(at, 8)
        if (C0 + C1 + C2 + C3) % BK == 0:
            a = tl.load(x + at[:, None] + k[None, :], mask=m_mask[:, None], other=0.0)
            b = tl.load(w + (k0 + k)[:, None] * W_STRIDE + n[None, :], mask=n_mask[None, :], other=0.0)
        else:
            k_mask = k0 + k < C0 + C1 + C2 + C3
            a = tl.load(x + at[:, None] + k[None, :], mask=m_mask[:, None] & k_mask[None, :], other=0.0)
            b = tl.load(
                w + (k0 + k)[:, None] * W_STRIDE + n[None, :], mask=n_mask[None, :] & k_mask[:, None], other=0.0
            )
        acc = tl.dot(a, b, acc)
    return acc


@triton.jit
def product_of_window(
    acc,
    x,
    w,
    image,
    top,
    left,
    m_mask,
    n,
    n_mask,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    KERNEL: tl.constexpr,
    CHANNELS: tl.constexpr,
    OFFSET: tl.constexpr,
    STRIDE: tl.constexpr,
    W_STRIDE: tl.constexpr,
    BK: tl.constexpr,
):
    """acc + (the KERNEL × KERNEL window at each pixel) · w, w's rows ordered by tap, then channel."""
    k = tl.arange(0, BK)
    origin = image * (HEIGHT * WIDTH)
    for k0 in tl.range(0, KERNEL * KERNEL * CHANNELS, BK):
        if CHANNELS % BK == 0:
            tap = k0 // CHANNELS
            row = top + tap // KERNEL
            column = left + tap % KERNEL
            inside = m_mask & (row >= 0) & (row < HEIGHT) & (column >= 0) & (column < WIDTH)
            at = (origin + row * WIDTH + column) * STRIDE + (OFFSET + k0 % CHANNELS)
            at = tl.multiple_of(at, 8)
            a = tl.load(x + at[:, None] + k[None, :], mask=inside[:, None], other=0.0)
            b = tl.load(w + (k0 + k)[:, None] * W_STRIDE + n[None, :], mask=n_mask[None, :], other=0.0)
        else:
            taps = (k0 + k) // CHANNELS
            row = top[:, None] + (taps // KERNEL)[None, :]
            column = left[:, None] + (taps % KERNEL)[None, :]
            inside = (row >= 0) & (row < HEIGHT) & (column >= 0) & (column < WIDTH)
            inside = inside & m_mask[:, None] & (taps < KERNEL * KERNEL)[None, :]
            at = (origin[:, None] + row * WIDTH + column) * STRIDE + (OFFSET + (k0 + k) % CHANNELS)[None, :]
            at = tl.max_contiguous(tl.multiple_of(at, (1, 8)), (1, 8))
            a = tl.load(x + at, mask=inside, other=0.0)
            k_mask = k0 + k < KERNEL * KERNEL * CHANNELS
            b = tl.load(
                w + (k0 + k)[:, None] * W_STRIDE + n[None, :], mask=n_mask[None, :] & k_mask[:, None], other=0.0
            )
        acc = tl.dot(a, b, acc)
    return acc


@triton.jit
def product_of_depthwise(
    acc,
    x,
    dw,
    db,
    w,
    image,
    top,
    left,
    m_mask,
    n,
    n_mask,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    KERNEL: tl.constexpr,
    CHANNELS: tl.constexpr,
    OFFSET: tl.constexpr,
    STRIDE: tl.constexpr,
    DW_ACT: tl.constexpr,
    W_STRIDE: tl.constexpr,
    BK: tl.constexpr,
):
    """acc + activated(depthwise convolution of x + db) · w; CHANNELS is a multiple of BK."""
    k = tl.arange(0, BK)
    # As wide as what they are multiplied with: of one layout with it, so that nothing is exchanged between threads.
    rows = tl.zeros(top.shape, dtype=tl.int32)[:, None]
    origin = image * (HEIGHT * WIDTH)
    for k0 in tl.range(0, CHANNELS, BK):
        b = tl.load(w + (k0 + k)[:, None] * W_STRIDE + n[None, :], mask=n_mask[None, :], other=0.0)
        even = tl.load(db + rows + (k0 + k)[None, :]).to(tl.float32)
        odd = tl.zeros(even.shape, dtype=tl.float32)
        for tap in tl.static_range(KERNEL * KERNEL):
            row = top + tap // KERNEL
            column = left + tap % KERNEL
            inside = m_mask & (row >= 0) & (row < HEIGHT) & (column >= 0) & (column < WIDTH)
            at = (origin + row * WIDTH + column) * STRIDE + (OFFSET + k0)
            at = tl.multiple_of(at, 8)
            seen = tl.load(x + at[:, None] + k[None, :], mask=inside[:, None], other=0.0).to(tl.float32)
            seen *= tl.load(dw + rows + (tap * CHANNELS + k0 + k)[None, :]).to(tl.float32)
            if tap % 2:
                odd += seen
            else:
                even += seen
        # Two sums joined: the compiler turns their sum into the product's layout, once, and not each of the loads.
        a = activated(tl.sum(tl.join(even, odd), axis=2), DW_ACT)
        acc = tl.dot(a.to(tl.float16), b, acc)
    return acc


@triton.jit
def product_of_frames(
    acc,
    frames,
    w,
    image,
    top,
    left,
    m_mask,
    n,
    n_mask,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    KERNEL: tl.constexpr,
    W_STRIDE: tl.constexpr,
    BK: tl.constexpr,
):
    """acc + (the KERNEL × KERNEL window of uint8 RGB pixels, scaled to 0..1) · w."""
    k = tl.arange(0, BK)
    row_bytes: tl.constexpr = KERNEL * 3
    origin = image * (HEIGHT * WIDTH * 3)
    for k0 in tl.static_range(0, KERNEL * row_bytes, BK):
        dy = (k0 + k) // row_bytes
        row = top[:, None] + dy[None, :]
        byte = (left * 3)[:, None] + ((k0 + k) % row_bytes)[None, :]
        inside = (row >= 0) & (row < HEIGHT) & (byte >= 0) & (byte < WIDTH * 3)
        inside = inside & m_mask[:, None] & (dy < KERNEL)[None, :]
        seen = tl.load(frames + origin[:, None] + row * (WIDTH * 3) + byte, mask=inside, other=0)
        k_mask = k0 + k < KERNEL * row_bytes
        b = tl.load(w + (k0 + k)[:, None] * W_STRIDE + n[None, :], mask=n_mask[None, :] & k_mask[:, None], other=0.0)
        acc = tl.dot((seen.to(tl.float32) * (1.0 / 255.0)).to(tl.float16), b, acc)
    return acc


@triton.jit
def product_of_pairs(
    acc,
    frames,
    w,
    image,
    row,
    column,
    m_mask,
    n,
    n_mask,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    W_STRIDE: tl.constexpr,
):
    """acc + (what two neighbours of a 3 × 3 convolution of step 2 see of uint8 RGB pixels, scaled to 0..1) · w.

    Three rows of four words of four bytes: w's rows are ordered by the byte in a word, then row and word, 12 of 16.
    """
    k = tl.arange(0, 16)
    words = frames.to(tl.pointer_type(tl.uint32))
    y = (row * 2 - 1)[:, None] + (k // 4)[None, :]
    word = (column * 3 - 1)[:, None] + (k % 4)[None, :]
    inside = m_mask[:, None] & (k < 12)[None, :] & (y >= 0) & (y < HEIGHT) & (word >= 0)
    at = (image * HEIGHT)[:, None] * (WIDTH * 3 // 4) + y * (WIDTH * 3 // 4) + word
    seen = tl.load(words + at, mask=inside, other=0)
    for byte in tl.static_range(4):
        part = ((seen >> (8 * byte)) & 255).to(tl.float32) * (1.0 / 255.0)
        b = tl.load(w + (byte * 16 + k)[:, None] * W_STRIDE + n[None, :], mask=n_mask[None, :], other=0.0)
        acc = tl.dot(part.to(tl.float16), b, acc)
    return acc
