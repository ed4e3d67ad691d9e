"""The Triton kernel of rows.py: the best rows of one picture by one block of threads."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def ordered_bits(values):
    """int32 that compare as the FP32 values do; both zeros are one."""
    bits = (values + 0.0).to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def best_first(keys, place, scratch, start, count, ROWS: tl.constexpr, ROOM: tl.constexpr):
    """Places of the ROWS largest keys, largest first, equal ones by place: (ROOM,), of which ROWS count.

    keys, place: (n,), in the order of the places. start: a bound that at least ROWS keys reach, `count` of them. It is
    raised bit by bit until at most ROOM keys reach it; those are sorted. Where more than ROOM are equal there, the
    first of them are taken.
    """
    bound = tl.full((), 0, tl.int32) + start
    count = tl.full((), 0, tl.int32) + count
    bit = tl.full((), 31, tl.int32)
    while (bit >= 0) & (count > ROOM):
        raised = tl.where(bit == 31, 0, bound | (1 << bit))
        reached = tl.sum((keys >= raised).to(tl.int32), axis=0)
        enough = reached >= ROWS
        bound = tl.where(enough, raised, bound)
        count = tl.where(enough, reached, count)
        bit -= 1
    above = keys > bound
    equal = keys == bound
    above_count = tl.sum(above.to(tl.int32), axis=0)
    wanted = tl.where(count > ROOM, ROWS, count) - above_count
    both = above.to(tl.int32) + (equal.to(tl.int32) << 16)
    before = tl.cumsum(both, axis=0) - both
    equal_before = (before >> 16) & 0xFFFF
    taken = above | (equal & (equal_before < wanted))
    slot = (before & 0xFFFF) + tl.minimum(equal_before, wanted)
    tl.store(scratch + slot, (keys.to(tl.int64) << 32) | (0x7FFFFFFF - place), mask=taken)
    tl.debug_barrier()
    lane = tl.arange(0, ROOM)
    found = tl.load(scratch + lane, mask=lane < above_count + wanted, other=-0x7FFFFFFFFFFFFFFF)
    found = tl.sort(found, descending=True)
    tl.debug_barrier()
    return 0x7FFFFFFF - (found & 0x7FFFFFFF).to(tl.int32)


@triton.jit
def rows_kernel(
    best,
    scores,
    boxes,
    scratch,
    order,
    rows,
    ANCHORS: tl.constexpr,
    CLASSES: tl.constexpr,
    ROWS: tl.constexpr,
    SCORE_PICTURE: tl.constexpr,
    SCORE_ANCHOR: tl.constexpr,
    SCORE_CLASS: tl.constexpr,
    BOX_PICTURE: tl.constexpr,
    BOX_ANCHOR: tl.constexpr,
    BOX_SIDE: tl.constexpr,
    ANCHOR_ROOM: tl.constexpr,
    PAIR_ROOM: tl.constexpr,
    ROOM: tl.constexpr,
):
    """rows (pictures, ROWS, 6): the ROWS best anchors by their best class, then the ROWS best pairs among theirs."""
    lowest: tl.constexpr = -0x80000000
    picture = tl.program_id(0)
    scratch += picture * ROOM
    order += picture * ROOM
    lane = tl.arange(0, ROOM)
    anchor = tl.arange(0, ANCHOR_ROOM)
    there = anchor < ANCHORS
    keys = ordered_bits(tl.load(best + picture * ANCHORS + anchor, mask=there, other=0.0))
    keys = tl.where(there, keys, lowest)
    anchors = best_first(keys, anchor, scratch, lowest, ANCHORS, ROWS, ROOM)
    tl.store(order + lane, anchors, mask=lane < ROWS)
    tl.debug_barrier()
    # The worst of the anchors bounds the pairs from below: each anchor has one pair that reaches it.
    worst = tl.load(order + (ROWS - 1))
    bound = ordered_bits(tl.load(best + picture * ANCHORS + worst))
    pair = tl.arange(0, PAIR_ROOM)
    there = pair < ROWS * CLASSES
    owner = tl.load(order + pair // CLASSES, mask=there, other=0)
    at = scores + picture * SCORE_PICTURE + owner * SCORE_ANCHOR + (pair % CLASSES) * SCORE_CLASS
    keys = ordered_bits(tl.load(at, mask=there, other=0.0))
    keys = tl.where(there, keys, lowest)
    reached = tl.sum((keys >= bound).to(tl.int32), axis=0)
    start = tl.where(reached > ROOM, lowest, bound)
    count = tl.where(reached > ROOM, ROWS * CLASSES, reached)
    pairs = best_first(keys, pair, scratch, start, count, ROWS, ROOM)
    there = lane < ROWS
    pairs = tl.where(there, pairs, 0)
    owner = tl.load(order + pairs // CLASSES, mask=there, other=0)
    label = pairs % CLASSES
    confidence = tl.load(
        scores + picture * SCORE_PICTURE + owner * SCORE_ANCHOR + label * SCORE_CLASS, mask=there, other=0.0
    )
    out = rows + (picture * ROWS + lane) * 6
    for side in tl.static_range(4):
        value = tl.load(boxes + picture * BOX_PICTURE + owner * BOX_ANCHOR + side * BOX_SIDE, mask=there, other=0.0)
        tl.store(out + side, value, mask=there)
    tl.store(out + 4, confidence, mask=there)
    tl.store(out + 5, label.to(tl.float32), mask=there)
