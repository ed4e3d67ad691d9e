from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from ultralytics.nn.modules.block import Attention

from photofinish.export.kernels.layers.attention import attention_by_reference, pools


def test_the_reference_is_ultralytics_attention_before_its_projection() -> None:
    torch.manual_seed(0)
    block = Attention(128, num_heads=2, attn_ratio=0.5).eval()
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    block.proj = torch.nn.Identity()
    images = torch.randn(2, 128, 6, 5)
    with torch.no_grad():
        expected = block(images)
        qkv = block.qkv(images).permute(0, 2, 3, 1).contiguous()
        norm = block.pe.bn
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = (block.pe.conv.weight * factor.view(-1, 1, 1, 1)).reshape(128, 9).t()
        found = attention_by_reference(
            qkv, weight, norm.bias - norm.running_mean * factor, block.num_heads, block.key_dim, block.scale
        )
    torch.testing.assert_close(found, expected.permute(0, 2, 3, 1), atol=1e-4, rtol=1e-4)


def test_the_kernels_give_what_the_references_give(interpreted: Callable[[str], dict[str, Any]]) -> None:
    off = interpreted("blocks")
    assert off["attention"] < 0.005
    assert off["pools"] == 0


def test_max_pools_in_a_chain_stand_side_by_side() -> None:
    images = torch.randn(1, 7, 9, 24).half()
    found = pools(images, 8, 16, 2, 2)
    first = functional.max_pool2d(images[..., 8:].permute(0, 3, 1, 2), 5, 1, 2)
    second = functional.max_pool2d(first, 5, 1, 2)
    assert torch.equal(found, torch.cat((first, second), dim=1).permute(0, 2, 3, 1))
