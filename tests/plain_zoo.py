"""Plain networks in stock layers, small, one of each well-known form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Basic(nn.Module):
    """ResNet's (He and others, 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class Bottleneck(nn.Module):
    """ResNet-50's, in groups ResNeXt's and RegNet's."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        middle = outputs // 2
        self.body = nn.Sequential(
            conv(inputs, middle, 1),
            conv(middle, middle, 3, stride, groups),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(x)
        y = self.body(x)
        y += identity
        return self.act(y)


class ResNet(nn.Module):
    def __init__(self, block: Callable[..., nn.Module] = Basic) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(block(16, 16), block(16, 16))
        self.layer2 = nn.Sequential(block(16, 32, 2), block(32, 32))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.avgpool(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(x, 1))


class Excite(nn.Module):
    """Squeeze-excite by 1 x 1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(F.silu(self.reduce(scale))))


class Inverted(nn.Module):
    """MobileNetV2's and V3's."""

    def __init__(self, inputs: int, outputs: int, stride: int, se: bool) -> None:
        super().__init__()
        middle = 4 * inputs
        self.conv = nn.Sequential(
            conv(inputs, middle, 1),
            conv(middle, middle, 3, stride, middle),
            Excite(middle) if se else nn.Identity(),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNet(nn.Module):
    def __init__(self, se: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv(3, 16, 3, 2),
            Inverted(16, 16, 1, se),
            Inverted(16, 24, 2, se),
            Inverted(24, 24, 1, se),
            Inverted(24, 24, 1, se),
            conv(24, 64, 1),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(64, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class Vgg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


class Dense(nn.Module):
    """DenseNet: each layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(16 + 8 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(16 + 8 * i, 8, 3, padding=1) for i in range(3))
        self.last, self.head = nn.BatchNorm2d(40), nn.Linear(40, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, layer(F.relu(norm(x)))], 1)
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class UNet(nn.Module):
    """Down and up again, beside what was there."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = conv(3, 16), conv(16, 32, 3, 2)
        self.up, self.merge = nn.ConvTranspose2d(32, 16, 2, 2), conv(32, 16)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        up = self.up(self.down2(one))
        return self.out(self.merge(torch.cat((up, one), dim=1)))


class ChannelNorm(nn.LayerNorm):
    """A LayerNorm of maps."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Next(nn.Module):
    """ConvNeXt's block (Liu and others, 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1, self.act = nn.Linear(width, 4 * width), nn.GELU()
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(self.act(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 2, 2), ChannelNorm(16, 1e-6))
        self.blocks = nn.Sequential(Next(16), Next(16))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.stem(x)).mean([-2, -1])))


class Encoder(nn.Module):
    """A transformer's block, attention by torch's own module."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln2(x))


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.positions = nn.Parameter(torch.randn(1, 4, 16))
        self.blocks = nn.Sequential(Encoder(16), Encoder(16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.blocks(x).mean(1))


class Heads(nn.Module):
    """Attention whose queries, keys and values come of one layer, in heads of width / heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.num_heads, c // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class FreeHeads(nn.Module):
    """Attention of three layers, in heads of a size of their own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, 4
        self.query, self.key, self.value = (nn.Linear(width, heads * 4) for _ in range(3))
        self.proj = nn.Linear(heads * 4, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, self.size)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    def __init__(self, attention: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = attention(16, 4)
        self.mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class ClassToken(nn.Module):
    """A vision transformer (Dosovitskiy and others, 2021) with a token for the class."""

    def __init__(self, attention: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 5, 16))
        self.blocks = nn.Sequential(Transformer(attention), Transformer(attention))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class Lite(nn.Module):
    """EfficientNet-Lite's: no squeeze-excite, ReLU6, kernels of 5 too."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 16, 24)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        self.act = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleList()
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            for i in range(2):
                first, middle = inputs if i == 0 else outputs, 6 * outputs
                self.blocks.append(
                    nn.Sequential(
                        *(nn.Conv2d(first, middle, 1, bias=False), nn.BatchNorm2d(middle)),
                        nn.ReLU6(inplace=True),
                        nn.Conv2d(middle, middle, 5, 1, 2, groups=middle, bias=False),
                        *(nn.BatchNorm2d(middle), nn.ReLU6(inplace=True)),
                        *(nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
                    )
                )
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for i, block in enumerate(self.blocks):
            y = block(x)
            x = x + y if i % 2 else y
        return self.fc(self.dropout(F.adaptive_avg_pool2d(x, (1, 1)).squeeze(-1).squeeze(-1)))


class Fire(nn.Module):
    """SqueezeNet's (Iandola and others, 2016)."""

    def __init__(self, inputs: int, squeezed: int, outputs: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.one, self.three = (nn.Conv2d(squeezed, outputs, k, padding=k // 2) for k in (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x), inplace=True)
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)


class Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
            *(Fire(16, 8, 16), Fire(32, 8, 16)),
        )
        self.last = nn.Conv2d(32, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(F.adaptive_avg_pool2d(self.last(self.features(x)), 1), 1)


class Inception(nn.Module):
    """GoogLeNet's branches (Szegedy and others, 2015)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.one = conv(inputs, 8, 1)
        self.three = nn.Sequential(conv(inputs, 8, 1), conv(8, 16))
        self.five = nn.Sequential(conv(inputs, 4, 1), conv(4, 8, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in (self.one, self.three, self.five, self.pool)], 1)


class Google(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv(3, 16), nn.Linear(40, 5)
        self.first, self.second = Inception(16), Inception(40)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(self.stem(x))).mean((-1, -2)))


class Shuffled(nn.Module):
    """ShuffleNetV2's block (Ma and others, 2018): half of the channels pass, then all are mixed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            conv(half, half, 1),
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            conv(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        one, two = x.chunk(2, dim=1)
        x = torch.cat((one, self.branch(two)), dim=1)
        b, c, h, w = x.shape
        return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class Shuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16)
        self.blocks = nn.Sequential(Shuffled(16), Shuffled(16))
        self.last, self.fc = conv(16, 32, 1), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.last(self.blocks(self.stem(x))).mean([2, 3]))


class Mixing(nn.Module):
    """MLP-Mixer's block (Tolstikhin and others, 2021)."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.ln1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.ln2(x))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.blocks = nn.Sequential(Mixing(4, 16), Mixing(4, 16))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


class Grouped(nn.Module):
    """A ResNet that normalises by groups, before its convolutions (He and others, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(4, 16) for _ in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(4))
        self.last, self.fc = nn.GroupNorm(2, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i in range(0, 4, 2):
            y = self.convs[i](F.relu(self.norms[i](x)))
            x = x + self.convs[i + 1](F.relu(self.norms[i + 1](y)))
        return self.fc(F.silu(self.last(x)).mean((2, 3)))


class Decoder(nn.Module):
    """Down to vectors, and by transposed convolutions up to an image."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2))
        self.up1 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.norm = nn.BatchNorm2d(16)
        self.up2 = nn.ConvTranspose2d(16, 3, 3, 2, 1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up2(F.leaky_relu(self.norm(self.up1(self.down(x))), 0.1)))


class Functional(nn.Module):
    """All that has no weights is a function or a method."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(32 * 4, 64), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(self.conv2(x).relu(), 2)
        x = F.interpolate(x, scale_factor=0.5)
        x = F.dropout(F.relu6(self.fc1(x.flatten(1))), 0.2, self.training)
        return F.log_softmax(self.fc2(x), dim=-1)


class Tied(nn.Module):
    """One layer used twice, and two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = conv(3, 16), conv(16, 16)
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16, bias=False)
        self.two.weight = self.one.weight
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.again(self.stem(x))).mean((2, 3))
        return self.head(self.two(F.relu(self.one(x))))


class Branches(nn.Module):
    """The image as it is and at half its side, in two branches that meet."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = conv(3, 16, 3, 2), conv(3, 24)
        self.gate = nn.Conv2d(24, 16, 1)
        self.body, self.head = conv(40, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.fine(x), self.coarse(F.avg_pool2d(x, 2))
        fine = fine * torch.sigmoid(self.gate(coarse))
        return self.head(self.body(torch.cat([coarse, fine], dim=1)).amax((2, 3)))


ZOO: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "resnet": (ResNet, (3, 16, 16)),
    "resnet50": (lambda: ResNet(Bottleneck), (3, 16, 16)),
    "regnet": (lambda: ResNet(lambda *args: Bottleneck(*args, groups=2)), (3, 16, 16)),  # type: ignore[misc]
    "resnext": (lambda: ResNet(lambda *args: Bottleneck(*args, groups=4)), (3, 16, 16)),  # type: ignore[misc]
    "mobilenet": (MobileNet, (3, 16, 16)),
    "mobilenet-se": (lambda: MobileNet(se=True), (3, 16, 16)),
    "efficientnet-lite": (Lite, (3, 16, 16)),
    "vgg": (Vgg, (3, 16, 16)),
    "densenet": (Dense, (3, 8, 8)),
    "squeezenet": (Squeeze, (3, 10, 10)),
    "googlenet": (Google, (3, 8, 8)),
    "shufflenet": (Shuffle, (3, 8, 8)),
    "unet": (UNet, (3, 8, 8)),
    "decoder": (Decoder, (3, 8, 8)),
    "convnext": (ConvNext, (3, 8, 8)),
    "vit": (Vit, (3, 8, 8)),
    "vit-heads": (lambda: ClassToken(Heads), (3, 8, 8)),
    "vit-free": (lambda: ClassToken(FreeHeads), (3, 8, 8)),
    "mixer": (Mixer, (3, 8, 8)),
    "groupnorm": (Grouped, (3, 8, 8)),
    "functional": (Functional, (3, 16, 16)),
    "tied": (Tied, (3, 8, 8)),
    "branches": (Branches, (3, 8, 8)),
}
