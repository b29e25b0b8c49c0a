"""What ours is measured against: one GAN at a time, written the way the papers' public code is.

float32, contiguous, torch.optim.Adam. DCGAN as pytorch/examples has it (one batch of fakes serves both
players); the WGANs as their authors' repositories (fresh noise for every step, the network that is not
in training frozen); the penalty by autograd.grad with create_graph.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mlp(n_in: int, n_out: int, width: int) -> nn.Sequential:
    sizes = [n_in, width, width, width]
    hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU(True))]
    return nn.Sequential(*hidden, nn.Linear(width, n_out))


def dcgan_generator(latent_dim: int, width: int, channels: int, side: int) -> nn.Sequential:
    n = width * side // 8
    layers: list[nn.Module] = [
        nn.Unflatten(1, (latent_dim, 1, 1)),
        nn.ConvTranspose2d(latent_dim, n, 4, 1, 0, bias=False),
    ]
    while n > width:
        layers += [nn.BatchNorm2d(n), nn.ReLU(True), nn.ConvTranspose2d(n, n // 2, 4, 2, 1, bias=False)]
        n //= 2
    layers += [nn.BatchNorm2d(n), nn.ReLU(True), nn.ConvTranspose2d(n, channels, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*layers)


def dcgan_critic(width: int, channels: int, side: int, batch_norm: bool) -> nn.Sequential:
    n = width
    layers: list[nn.Module] = [nn.Conv2d(channels, n, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    while n < width * side // 8:
        layers.append(nn.Conv2d(n, 2 * n, 4, 2, 1, bias=not batch_norm))
        n *= 2
        layers += [nn.BatchNorm2d(n)] if batch_norm else []
        layers.append(nn.LeakyReLU(0.2, True))
    return nn.Sequential(*layers, nn.Conv2d(n, 1, 4, 1, 0), nn.Flatten(0))


def gradient_penalty(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    epsilon = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
    scores = D(between)
    (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
    return ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


class Textbook:
    """A generator G, a critic D, an Adam each, and the loop body of the model's public code."""

    def __init__(self, model: str, sample_shape: tuple[int, ...], width: int, latent_dim: int) -> None:
        if len(sample_shape) == 1:
            self.G, self.D = mlp(latent_dim, sample_shape[0], width), mlp(sample_shape[0], 1, width)
        else:
            channels, side = sample_shape[:2]
            self.G = dcgan_generator(latent_dim, width, channels, side)
            self.D = dcgan_critic(width, channels, side, batch_norm=model != "wgan_gp")
        self.model, self.latent_dim, self.n_critic = model, latent_dim, 1 if model == "dcgan" else 5

    def to(self, device: torch.device) -> "Textbook":
        self.G.to(device)
        self.D.to(device)
        self.optimiser_g = torch.optim.Adam(self.G.parameters(), 1e-4, betas=(0.5, 0.9))
        self.optimiser_d = torch.optim.Adam(self.D.parameters(), 1e-4, betas=(0.5, 0.9))
        return self

    def iteration(self, data: Tensor, batch_size: int) -> None:
        """`n_critic` updates of D, then one of G."""
        step = self.gan_iteration if self.model == "dcgan" else self.wgan_iteration
        step(data, batch_size)

    def batch(self, data: Tensor, batch_size: int) -> Tensor:
        return data[torch.randint(len(data), (batch_size,), device=data.device)]

    def noise(self, data: Tensor, batch_size: int) -> Tensor:
        return torch.randn(batch_size, self.latent_dim, device=data.device)

    def gan_iteration(self, data: Tensor, batch_size: int) -> None:
        self.optimiser_d.zero_grad()
        F.softplus(-self.D(self.batch(data, batch_size))).mean().backward()
        fake = self.G(self.noise(data, batch_size))
        F.softplus(self.D(fake.detach())).mean().backward()
        self.optimiser_d.step()
        self.optimiser_g.zero_grad()
        F.softplus(-self.D(fake)).mean().backward()
        self.optimiser_g.step()

    def wgan_iteration(self, data: Tensor, batch_size: int) -> None:
        self.D.requires_grad_(True)
        for _ in range(self.n_critic):
            real = self.batch(data, batch_size)
            with torch.no_grad():
                fake = self.G(self.noise(data, batch_size))
            self.optimiser_d.zero_grad()
            loss = self.D(fake).mean() - self.D(real).mean()
            if self.model == "wgan_gp":
                loss = loss + 10 * gradient_penalty(self.D, real, fake)
            loss.backward()
            self.optimiser_d.step()
            if self.model == "wgan_cp":
                with torch.no_grad():
                    for p in self.D.parameters():
                        p.clamp_(-0.01, 0.01)
        self.D.requires_grad_(False)
        self.optimiser_g.zero_grad()
        (-self.D(self.G(self.noise(data, batch_size))).mean()).backward()
        self.optimiser_g.step()
