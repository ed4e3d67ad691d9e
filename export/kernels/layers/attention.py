"""Attention over a picture and max-pools in a chain as operators: a kernel on a GPU, the reference elsewhere."""

from __future__ import annotations

import torch
from torch.library import triton_op, wrap_triton
from torch.nn import functional

from photofinish.export.kernels.layers import attention_triton


@triton_op("photofinish::attention", mutates_args=())
def attention(
    qkv: torch.Tensor, pe_weight: torch.Tensor, pe_bias: torch.Tensor, heads: int, key: int, scale: float
) -> torch.Tensor:
    """(n, h, w, heads · value) FP16 from qkv (n, h, w, heads · (2 key + value)): each head's query, key and value.

    pe_weight (9, heads · value) and pe_bias: a 3 × 3 depthwise convolution of the values that is added.
    """
    pictures, height, width, channels = qkv.shape
    value = channels // heads - 2 * key
    out = torch.empty((pictures, height, width, heads * value), dtype=qkv.dtype, device=qkv.device)
    rows = 16 if pictures == 1 else 32
    tiles = -(-height * width // rows)
    wrap_triton(attention_triton.attention_kernel)[(tiles * heads * pictures,)](
        qkv,
        pe_weight,
        pe_bias,
        out,
        HEIGHT=height,
        WIDTH=width,
        HEADS=heads,
        KEY=key,
        VALUE=value,
        SCALE=scale,
        PE=True,
        BM=rows,
        BL=64,
        num_warps=4,
        num_stages=3,
    )
    return out


@attention.register_kernel("cpu")
def attention_by_reference(
    qkv: torch.Tensor, pe_weight: torch.Tensor, pe_bias: torch.Tensor, heads: int, key: int, scale: float
) -> torch.Tensor:
    """What the kernel computes, in plain PyTorch and FP32."""
    pictures, height, width, channels = qkv.shape
    value = channels // heads - 2 * key
    parts = qkv.float().reshape(pictures, height * width, heads, channels // heads).permute(0, 2, 1, 3)
    q, k, v = parts.split([key, key, value], dim=3)
    found = ((q * scale) @ k.transpose(2, 3)).softmax(dim=3) @ v
    found = found.permute(0, 2, 1, 3).reshape(pictures, height, width, heads * value)
    image = v.permute(0, 1, 3, 2).reshape(pictures, heads * value, height, width)
    taps = pe_weight.float().t().reshape(heads * value, 1, 3, 3)
    local = functional.conv2d(image, taps, pe_bias.float(), padding=1, groups=heads * value)
    return (found + local.permute(0, 2, 3, 1)).to(qkv.dtype).contiguous()


@triton_op("photofinish::pools", mutates_args=())
def pools(x: torch.Tensor, offset: int, channels: int, radius: int, times: int) -> torch.Tensor:
    """(n, h, w, times · channels) FP16: max-pools in a chain, side by side. x: NHWC, `channels` of it from `offset`."""
    pictures, height, width, stride = x.shape
    out = torch.empty((pictures, height, width, times * channels), dtype=x.dtype, device=x.device)
    rows, columns = (16, 32) if channels % 32 == 0 else (16, 8)
    tiles = -(-pictures * height * width // rows) * (channels // columns)
    wrap_triton(attention_triton.pools_kernel)[(tiles,)](
        x,
        out,
        PIXELS=pictures * height * width,
        HEIGHT=height,
        WIDTH=width,
        CHANNELS=channels,
        OFFSET=offset,
        STRIDE=stride,
        RADIUS=radius,
        TIMES=times,
        BM=rows,
        BC=columns,
        num_warps=2,
        num_stages=1,
    )
    return out


@pools.register_kernel("cpu")
def pools_by_reference(x: torch.Tensor, offset: int, channels: int, radius: int, times: int) -> torch.Tensor:
    """What the kernel computes, by PyTorch's max-pool."""
    found = [x[..., offset : offset + channels].permute(0, 3, 1, 2)]
    for _ in range(times):
        found.append(functional.max_pool2d(found[-1], 2 * radius + 1, stride=1, padding=radius))
    return torch.cat(found[1:], dim=1).permute(0, 2, 3, 1).contiguous()
