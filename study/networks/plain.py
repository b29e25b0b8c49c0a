"""One member's networks as textbooks have them: a torch.nn.Sequential of torch's own layers.

They compute what `study.networks.dcgan` and `study.networks.mlp` compute; only where a number lies differs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from study.networks.dcgan import SLOPE

MAP = 4  # side of the map between an image network's convolutions and its linear layer


def plain_generator(sample_shape: tuple[int, ...], latent_dim: int, width: int) -> nn.Sequential:
    """(B, latent_dim) -> (B, *sample_shape), on the meta device: it has no numbers yet."""
    with torch.device("meta"):
        if len(sample_shape) == 1:
            return nn.Sequential(*_mlp(latent_dim, width, sample_shape[0]))
        channels, side, _ = sample_shape
        n = width * side // (2 * MAP)
        layers = [nn.Linear(latent_dim, n * MAP * MAP, bias=False), nn.Unflatten(1, (n, MAP, MAP))]
        while n > width:
            layers += [nn.BatchNorm2d(n), nn.ReLU(), nn.ConvTranspose2d(n, n // 2, 4, 2, 1, bias=False)]
            n //= 2
        layers += [nn.BatchNorm2d(n), nn.ReLU(), nn.ConvTranspose2d(n, channels, 4, 2, 1), nn.Tanh()]
        return nn.Sequential(*layers)


def plain_critic(sample_shape: tuple[int, ...], width: int, *, batch_norm: bool) -> nn.Sequential:
    """(B, *sample_shape) -> scores (B,), on the meta device; `batch_norm` concerns images only."""
    with torch.device("meta"):
        if len(sample_shape) == 1:
            return nn.Sequential(*_mlp(sample_shape[0], width, 1), nn.Flatten(0))
        channels, side, _ = sample_shape
        n = width
        layers = [nn.Conv2d(channels, n, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        while n < width * side // (2 * MAP):
            layers.append(nn.Conv2d(n, 2 * n, 4, 2, 1, bias=not batch_norm))
            n *= 2
            layers += [nn.BatchNorm2d(n)] if batch_norm else []
            layers.append(nn.LeakyReLU(SLOPE))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n * MAP * MAP, 1), nn.Flatten(0))


def has_batch_norm(network: nn.Sequential) -> bool:
    return any(isinstance(layer, nn.BatchNorm2d) for layer in network)


def fill(network: nn.Sequential, values: Tensor, statistics: Sequence[Tensor]) -> nn.Sequential:
    """Give a plain network copies of one member's numbers.

    Args:
        values: (P,), the member's row of `Player.values`.
        statistics: mean and variance (C,) of each batch norm, in the order of the layers.

    Raises:
        ValueError: they are those of another network.
    """
    sizes = [parameter.numel() for parameter in network.parameters()]
    norms = sum(isinstance(layer, nn.BatchNorm2d) for layer in network)
    needed, there = (sum(sizes), 2 * norms), (values.numel(), len(statistics))
    if needed != there:
        raise ValueError(f"another network's numbers: {there} where {needed} are needed")
    blocks, moments = iter(values.split(sizes)), iter(statistics)
    layers, state = list(network), {}
    neighbours = zip([None, *layers[:-1]], layers, [*layers[1:], None], strict=True)
    for place, (before, layer, after) in enumerate(neighbours):
        for name, _ in layer.named_parameters():
            block = next(blocks)
            state[f"{place}.{name}"] = block if name == "bias" else _weight(block, before, layer, after)
        if isinstance(layer, nn.BatchNorm2d):
            state[f"{place}.running_mean"], state[f"{place}.running_var"] = next(moments), next(moments)
            state[f"{place}.num_batches_tracked"] = torch.tensor(1)
    copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    network.load_state_dict(copies, assign=True)
    return network


def _mlp(n_in: int, width: int, n_out: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Linear(n_in, width), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return [*layers, nn.Linear(width, n_out)]


def _weight(block: Tensor, before: nn.Module | None, layer: nn.Module, after: nn.Module | None) -> Tensor:
    """A stored weight in the layout of torch's layer; `before` and `after` are the layer's neighbours."""
    if isinstance(layer, nn.Linear):
        weight = block.view(layer.in_features, layer.out_features).T
        if isinstance(after, nn.Unflatten):
            return _channels_first(weight, 0)
        return _channels_first(weight, 1) if isinstance(before, nn.Flatten) else weight
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        small, large = layer.weight.shape[:2]
        return block.view(small, 4, 4, large).permute(0, 3, 1, 2)  # ours has channels last
    return block


def _channels_first(weight: Tensor, dim: int) -> Tensor:
    """The features of a map, in dimension `dim`, from the order (h, w, c) to (c, h, w)."""
    return weight.unflatten(dim, (MAP, MAP, -1)).movedim(dim + 2, dim).flatten(dim, dim + 2)
