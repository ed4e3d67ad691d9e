"""One Triton kernel for a convolution with bias, activation and residual, and up to two 1×1 convolutions behind it."""

from __future__ import annotations

import triton
import triton.language as tl

from photofinish.export.kernels.layers.products_triton import (
    activated,
    product_of_depthwise,
    product_of_frames,
    product_of_pairs,
    product_of_sources,
    product_of_window,
)


@triton.jit
def read_bias(bias, n, n_mask):
    """The biases of a tile, one for each column."""
    return tl.load(bias + n, mask=n_mask, other=0.0)[None, :].to(tl.float32)


@triton.jit
def read_residual(residual, m, n, mask, OFFSET: tl.constexpr, STRIDE: tl.constexpr):
    """What is added to a tile after its activation."""
    return tl.load(residual + m[:, None] * STRIDE + (OFFSET + n)[None, :], mask=mask, other=0.0)


@triton.jit
def read_weight(w, k, n, n_mask, P: tl.constexpr):
    """Weights between a tile of channels k and a tile of channels n."""
    return tl.load(w + k[:, None] * P + n[None, :], mask=n_mask[None, :], other=0.0)


@triton.jit
def layer_kernel(
    x0,
    x1,
    x2,
    x3,
    dw,
    db,
    w0,
    b0,
    r0,
    y0,
    e10,
    e11,
    w1,
    b1,
    r1,
    y1,
    e20,
    e21,
    w2,
    b2,
    r2,
    y2,
    MODE: tl.constexpr,
    M: tl.constexpr,
    HI: tl.constexpr,
    WI: tl.constexpr,
    HO: tl.constexpr,
    WO: tl.constexpr,
    KERNEL: tl.constexpr,
    STEP: tl.constexpr,
    PAD: tl.constexpr,
    DW_ACT: tl.constexpr,
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
    N0: tl.constexpr,
    P0: tl.constexpr,
    ACT0: tl.constexpr,
    RES0: tl.constexpr,
    RO0: tl.constexpr,
    RS0: tl.constexpr,
    LAST0: tl.constexpr,
    STORE0: tl.constexpr,
    EC10: tl.constexpr,
    EO10: tl.constexpr,
    ES10: tl.constexpr,
    EU10: tl.constexpr,
    EC11: tl.constexpr,
    EO11: tl.constexpr,
    ES11: tl.constexpr,
    EU11: tl.constexpr,
    N1: tl.constexpr,
    P1: tl.constexpr,
    ACT1: tl.constexpr,
    RES1: tl.constexpr,
    RO1: tl.constexpr,
    RS1: tl.constexpr,
    LAST1: tl.constexpr,
    STORE1: tl.constexpr,
    EC20: tl.constexpr,
    EO20: tl.constexpr,
    ES20: tl.constexpr,
    EU20: tl.constexpr,
    EC21: tl.constexpr,
    EO21: tl.constexpr,
    ES21: tl.constexpr,
    EU21: tl.constexpr,
    N2: tl.constexpr,
    P2: tl.constexpr,
    ACT2: tl.constexpr,
    RES2: tl.constexpr,
    RO2: tl.constexpr,
    RS2: tl.constexpr,
    LAST2: tl.constexpr,
    STORE2: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BN1: tl.constexpr,
    BK1: tl.constexpr,
    BN2: tl.constexpr,
    BK2: tl.constexpr,
):
    """A tile of BM pixels through one to three stages; layer.py says what they are. P: N padded to 16."""
    blocks: tl.constexpr = (N0 + BN - 1) // BN
    tile = tl.program_id(0)
    m = (tile // blocks) * BM + tl.arange(0, BM)
    n = (tile % blocks) * BN + tl.arange(0, BN)
    n1 = tl.arange(0, BN1)
    m_mask = m < M
    n_mask = n < P0
    mask = m_mask[:, None] & (n < N0)[None, :]
    image = m // (HO * WO)
    row = (m // WO) % HO
    column = m % WO
    half_m = (image * (HO // 2) + row // 2) * (WO // 2) + column // 2
    # Nothing here waits for the sums: begun first, these loads take no time of their own.
    bias = read_bias(b0, n, n_mask)
    if RES0:
        residual = read_residual(r0, m, n, mask, RO0, RS0)
    if N1 > 0:
        bias1 = read_bias(b1, n1, n1 < P1)
        if BN * BN1 <= 4096:
            weight1 = read_weight(w1, tl.arange(0, BN), n1, n1 < P1, P1)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    if MODE == 0:
        acc = product_of_sources(
            acc, x0, x1, x2, x3, w0, m, half_m, m_mask, n, n_mask,
            C0, O0, S0, U0, C1, O1, S1, U1, C2, O2, S2, U2, C3, O3, S3, U3, P0, BK,
        )  # fmt: skip
    elif MODE == 4:
        acc = product_of_pairs(acc, x0, w0, image, row, column, m_mask, n, n_mask, HI, WI, P0)
    else:
        top = row * STEP - PAD
        left = column * STEP - PAD
        if MODE == 1:
            acc = product_of_window(
                acc, x0, w0, image, top, left, m_mask, n, n_mask, HI, WI, KERNEL, C0, O0, S0, P0, BK
            )
        elif MODE == 2:
            acc = product_of_depthwise(
                acc, x0, dw, db, w0, image, top, left, m_mask, n, n_mask, HI, WI, KERNEL, C0, O0, S0, DW_ACT, P0, BK
            )
        else:
            acc = product_of_frames(acc, x0, w0, image, top, left, m_mask, n, n_mask, HI, WI, KERNEL, P0, BK)
    acc = activated(acc + bias, ACT0)
    if RES0:
        acc += residual.to(tl.float32)
    acc = activated(acc, LAST0)
    if STORE0:
        tl.store(y0 + m[:, None] * N0 + n[None, :], acc.to(y0.dtype.element_ty), mask=mask)
    if N1 > 0:
        y = acc.to(tl.float16)
        if BN * BN1 > 4096:
            weight1 = read_weight(w1, tl.arange(0, BN), n1, n1 < P1, P1)
        acc = later_stage(
            y, weight1, bias1, e10, e11, w1, r1, y1, m, half_m, m_mask, n1,
            N1, P1, EC10, EO10, ES10, EU10, EC11, EO11, ES11, EU11, ACT1, RES1, RO1, RS1, LAST1, STORE1, BK1,
        )  # fmt: skip
        # A last stage that is wider than its tile takes further turns; one that others follow never is.
        for start in tl.static_range(BN1, N1, BN1):
            next1 = start + n1
            later_stage(
                y, read_weight(w1, tl.arange(0, BN), next1, next1 < P1, P1), read_bias(b1, next1, next1 < P1),
                e10, e11, w1, r1, y1, m, half_m, m_mask, next1,
                N1, P1, EC10, EO10, ES10, EU10, EC11, EO11, ES11, EU11, ACT1, RES1, RO1, RS1, LAST1, STORE1, BK1,
            )  # fmt: skip
        if N2 > 0:
            y = acc.to(tl.float16)
            for start in tl.static_range(0, N2, BN2):
                n2 = start + tl.arange(0, BN2)
                later_stage(
                    y, read_weight(w2, n1, n2, n2 < P2, P2), read_bias(b2, n2, n2 < P2),
                    e20, e21, w2, r2, y2, m, half_m, m_mask, n2,
                    N2, P2, EC20, EO20, ES20, EU20, EC21, EO21, ES21, EU21, ACT2, RES2, RO2, RS2, LAST2, STORE2, BK2,
                )  # fmt: skip


@triton.jit
def later_stage(
    y,
    weight,
    bias,
    e0,
    e1,
    w,
    r,
    out,
    m,
    half_m,
    m_mask,
    n,
    N: tl.constexpr,
    P: tl.constexpr,
    EC0: tl.constexpr,
    EO0: tl.constexpr,
    ES0: tl.constexpr,
    EU0: tl.constexpr,
    EC1: tl.constexpr,
    EO1: tl.constexpr,
    ES1: tl.constexpr,
    EU1: tl.constexpr,
    ACT: tl.constexpr,
    RES: tl.constexpr,
    RO: tl.constexpr,
    RS: tl.constexpr,
    LAST: tl.constexpr,
    STORE: tl.constexpr,
    BK: tl.constexpr,
):
    """A 1×1 convolution of the tile y and of up to two more tensors: its tile of results, stored if STORE."""
    mask = m_mask[:, None] & (n < N)[None, :]
    if RES:
        residual = read_residual(r, m, n, mask, RO, RS)
    acc = tl.dot(y, weight)
    if EC0 > 0:
        acc = product_of_sources(
            acc, e0, e1, e0, e0, w + y.shape[1] * P, m, half_m, m_mask, n, n < P,
            EC0, EO0, ES0, EU0, EC1, EO1, ES1, EU1, 0, 0, 0, 0, 0, 0, 0, 0, P, BK,
        )  # fmt: skip
    acc = activated(acc + bias, ACT)
    if RES:
        acc += residual.to(tl.float32)
    acc = activated(acc, LAST)
    if STORE:
        tl.store(out + m[:, None] * N + n[None, :], acc.to(out.dtype.element_ty), mask=mask)
    return acc
