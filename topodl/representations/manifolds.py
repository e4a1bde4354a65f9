"""Manifolds as latent spaces: projection, random walks, the divergence of heat kernels from the prior.

Pérez Rey, Menkovski, Portegies, "Diffusion Variational Autoencoders", IJCAI 2020. Coordinates are those of an
ambient Euclidean space, and lengths its.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from topodl._checks import as_real, check_dense, check_number, fail, reject_non_finite
from topodl._docs import shares_documentation
from topodl._precision import at_least_single

__all__ = ["Euclidean", "FlatTorus", "Manifold", "ProjectiveSpace", "SpecialOrthogonal3", "Sphere"]


class Manifold:
    """What latent manifolds have in common; `Sphere`, `FlatTorus` and the others are ones.

    Attributes
    ----------
    dim : int
        Dimension of the manifold.
    ambient_dim : int
        Number of coordinates of a point.
    scalar_curvature : float
        The same everywhere.
    log_volume : float
        Logarithm of the volume of the manifold.

    References
    ----------
    L. A. Pérez Rey, V. Menkovski, J. W. Portegies, "Diffusion Variational Autoencoders", IJCAI 2020.

    Examples
    --------
    >>> from topodl.representations.manifolds import Sphere
    >>> sphere = Sphere(2)
    >>> sphere.dim, sphere.ambient_dim, sphere.sample(5).shape
    (2, 3, torch.Size([5, 3]))
    """

    dim: int
    ambient_dim: int
    scalar_curvature: float = 0.0
    log_volume: float

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """Return the nearest points of the manifold, with gradient.

        Parameters
        ----------
        x : Tensor of shape (…, ambient_dim)
            Any points. Where all of a manifold is as near, as from the centre of a sphere, one point stands
            for the others, without a gradient.

        Returns
        -------
        Tensor of shape (…, ambient_dim)

        Raises
        ------
        InputError
            If a point is not finite, here and in the other methods.
        """
        return self._project(self._check("x", x))

    def diffuse(
        self,
        z: torch.Tensor,
        log_t: torch.Tensor,
        steps: int = 10,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Return where a random walk from `z` is after the time exp(`log_t`), with gradient to both.

        The variance along each direction of the manifold is the time, for times that are short against the
        square of its size: the walk takes steps in the ambient space, each projected.

        Parameters
        ----------
        z : Tensor of shape (…, ambient_dim)
            Points of the manifold.
        log_t : Tensor of shape (…)
            Logarithm of the time of each.
        steps : int, default=10
            Number of steps.
        generator : torch.Generator, optional
            Source of the steps; by default PyTorch's own.

        Returns
        -------
        Tensor of shape (…, ambient_dim)
        """
        check_number(f"{type(self).__name__}.diffuse", "steps", steps, low=1, integer=True)
        return self._diffuse(self._check("z", z), self._check_times(log_t), steps, generator)

    def _diffuse(
        self, z: torch.Tensor, log_t: torch.Tensor, steps: int, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        length = torch.exp(log_t / 2)[..., None] / math.sqrt(steps)
        for _ in range(steps):
            noise = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
            z = self._project(z + length * noise)
        return z

    def kl(self, z: torch.Tensor, log_t: torch.Tensor) -> torch.Tensor:
        r"""Return the KL divergence of the heat kernel around `z` from the uniform distribution.

        .. math:: -\frac d2 \log 2\pi t - \frac d2 + \log \text{Vol} + \frac{S t}{4}

        with the scalar curvature S, to first order in the time t = exp(`log_t`): on the sphere it is right to
        0.0002 for t up to 0.1. For times above 1 it is not the divergence any more, and may fall below 0.

        Parameters
        ----------
        z : Tensor of shape (…, ambient_dim)
            Points of the manifold.
        log_t : Tensor of shape (…)
            Logarithm of the time of each.

        Returns
        -------
        Tensor of shape (…)
        """
        return self._kl(self._check("z", z), self._check_times(log_t))

    def _kl(self, z: torch.Tensor, log_t: torch.Tensor) -> torch.Tensor:
        constant = self.log_volume - self.dim / 2 * (1 + math.log(2 * math.pi))
        return constant - self.dim / 2 * log_t + self.scalar_curvature / 4 * log_t.exp()

    def sample(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return points of the prior, the uniform distribution.

        Parameters
        ----------
        n : int
            Number of points.
        generator : torch.Generator, optional
            Source of randomness; by default PyTorch's own.

        Returns
        -------
        Tensor of shape (n, ambient_dim)
        """
        check_number(f"{type(self).__name__}.sample", "n", n, low=0, integer=True)
        return self._project(torch.randn(n, self.ambient_dim, generator=generator, device="cpu"))

    def distance(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the lengths of shortest paths between points of the manifold.

        Parameters
        ----------
        z, w : Tensor of shape (…, ambient_dim)
            Points; their shapes are broadcast.

        Returns
        -------
        Tensor of shape (…)

        Raises
        ------
        InputError
            If coordinates are not `ambient_dim` floating-point numbers, or the shapes do not fit.
        """
        z, w = self._check("z", z), self._check("w", w)
        try:
            torch.broadcast_shapes(z.shape, w.shape)
        except RuntimeError:
            came = f"has shape {tuple(w.shape)}"
            raise fail(type(self).__name__, "w", came, f"one that goes with {tuple(z.shape)}") from None
        return self._distance(z, w)

    def copies(self, z: torch.Tensor) -> list[torch.Tensor]:
        """Return the coordinates that stand for the same points: `z`, and −z in projective space.

        Parameters
        ----------
        z : Tensor of shape (…, ambient_dim)
            Points of the manifold.

        Returns
        -------
        list of Tensor of shape (…, ambient_dim)
        """
        return [z]

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def _distance(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def _check(self, argument: str, x: Any) -> torch.Tensor:
        x = check_dense(type(self).__name__, argument, x)
        if x.ndim == 0 or x.shape[-1] != self.ambient_dim or not x.is_floating_point():
            came = f"has shape {tuple(x.shape)} and dtype {x.dtype}"
            raise fail(type(self).__name__, argument, came, f"floats (…, {self.ambient_dim})")
        reject_non_finite(type(self).__name__, argument, x)
        return x

    def _check_times(self, log_t: Any) -> torch.Tensor:
        log_t = as_real(type(self).__name__, "log_t", log_t)
        reject_non_finite(type(self).__name__, "log_t", log_t)
        if log_t.numel() and not torch.compiler.is_compiling() and bool(log_t.amax().exp().isinf()):
            came = f"is {float(log_t.amax()):g} at most, whose exponential is infinite in {log_t.dtype}"
            raise fail(type(self).__name__, "log_t", came, "logarithms of finite times")
        return log_t

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dim})"


def _scale(x: torch.Tensor) -> torch.Tensor:
    """Return the largest coordinate of each point, 1 at the origin, so that squares do not overflow.

    Where multiples of a point have one projection, a constant in its place leaves the gradient right.
    """
    largest = x.detach().abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, largest, 1)


def _unit_vectors(x: torch.Tensor) -> torch.Tensor:
    """Return vectors (…, d) divided by their lengths, and the first unit vector in place of 0."""
    scaled = x / _scale(x)
    at_origin = (x == 0).all(-1, keepdim=True)
    first = torch.zeros_like(x)
    first[..., 0] = 1
    scaled = torch.where(at_origin, first, scaled)
    return scaled / scaled.norm(dim=-1, keepdim=True)


class Sphere(Manifold):
    """The unit sphere of dimension `dim`, in `dim` + 1 coordinates.

    Parameters
    ----------
    dim : int
        1 is a circle.

    Raises
    ------
    InputError
        If `dim` is no integer of at least 1.

    References
    ----------
    L. A. Pérez Rey, V. Menkovski, J. W. Portegies, "Diffusion Variational Autoencoders", IJCAI 2020.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations.manifolds import Sphere
    >>> Sphere(1).project(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    def __init__(self, dim: int) -> None:
        check_number(type(self).__name__, "dim", dim, low=1, integer=True)
        self.dim, self.ambient_dim = dim, dim + 1
        self.scalar_curvature = float(dim * (dim - 1))
        self.log_volume = math.log(2) + (dim + 1) / 2 * math.log(math.pi) - math.lgamma((dim + 1) / 2)

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        return _unit_vectors(x)

    def _distance(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return 2 * torch.atan2((z - w).norm(dim=-1), (z + w).norm(dim=-1))


@shares_documentation(Sphere, sections=["Raises", "References"])
class ProjectiveSpace(Sphere):
    """The sphere of dimension `dim` with opposite points as one, in `dim` + 1 coordinates up to their sign.

    Parameters
    ----------
    dim : int
        2 is the projective plane.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations.manifolds import ProjectiveSpace
    >>> plane, z = ProjectiveSpace(2), torch.tensor([1.0, 0.0, 0.0])
    >>> plane.distance(z, -z).item()
    0.0
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.log_volume -= math.log(2)

    def _distance(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        angle = super()._distance(z, w)
        return torch.minimum(angle, super()._distance(z, -w))

    def copies(self, z: torch.Tensor) -> list[torch.Tensor]:
        """Return `z` and −z, which stand for the same points.

        Parameters
        ----------
        z : Tensor of shape (…, ambient_dim)
            Points of the manifold.

        Returns
        -------
        list of Tensor of shape (…, ambient_dim)
        """
        return [z, -z]


@shares_documentation(Sphere, sections=["Raises", "References"])
class FlatTorus(Manifold):
    """The product of `dim` unit circles, in 2 · `dim` coordinates: a cosine and a sine for each circle.

    Parameters
    ----------
    dim : int
        Number of circles.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations.manifolds import FlatTorus
    >>> FlatTorus(2).project(torch.tensor([[3.0, 4.0, 0.0, 2.0]]))
    tensor([[0.6000, 0.8000, 0.0000, 1.0000]])
    """

    def __init__(self, dim: int) -> None:
        check_number("FlatTorus", "dim", dim, low=1, integer=True)
        self.dim, self.ambient_dim = dim, 2 * dim
        self.log_volume = dim * math.log(2 * math.pi)

    def _circles(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.dim, 2))

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        return _unit_vectors(self._circles(x)).flatten(-2)

    def _distance(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        apart, together = self._circles(z - w).norm(dim=-1), self._circles(z + w).norm(dim=-1)
        return (2 * torch.atan2(apart, together)).norm(dim=-1)


@shares_documentation(Sphere, sections=["References"])
class SpecialOrthogonal3(Manifold):
    """The rotations of space, as matrices row by row in 9 coordinates; a rotation by α is √2 α from none.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations.manifolds import SpecialOrthogonal3
    >>> rotations = SpecialOrthogonal3()
    >>> rotations.project(2 * torch.eye(3).flatten()).reshape(3, 3).round(decimals=4) + 0.0
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """

    def __init__(self) -> None:
        self.dim, self.ambient_dim = 3, 9
        radius = 2 * math.sqrt(2)  # of the sphere of quaternions that covers it twice
        self.scalar_curvature = 6 / radius**2
        self.log_volume = math.log(math.pi**2 * radius**3)

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        matrices = (at_least_single(x) / _scale(x)).unflatten(-1, (3, 3))
        rotations: torch.Tensor = _NearestRotation.apply(matrices)  # type: ignore[no-untyped-call]
        return rotations.flatten(-2).to(x.dtype)

    def _distance(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        half = ((z - w).norm(dim=-1) / (2 * math.sqrt(2))).clamp(max=1.0)
        return 2 * math.sqrt(2) * torch.asin(half)

    def __repr__(self) -> str:
        return "SpecialOrthogonal3()"


class _NearestRotation(torch.autograd.Function):
    """The nearest rotations of matrices (…, 3, 3), with a gradient of their own.

    That of a singular value decomposition is infinite at rotations, whose singular values are equal. With S =
    RᵀM the change Ω of R, dR = R Ω, solves S Ω + Ω S = RᵀdM − dMᵀR, where sums of singular values stand
    below, not their differences.
    """

    @staticmethod
    def forward(ctx: Any, matrices: torch.Tensor) -> torch.Tensor:
        u, s, vh = torch.linalg.svd(matrices)
        sign = torch.linalg.det(u @ vh).sign()
        flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1)
        rotations = (u * flip[..., None, :]) @ vh
        ctx.save_for_backward(rotations, s * flip, vh)
        return rotations

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        rotations, s, vh = ctx.saved_tensors
        turned = rotations.mT @ gradient
        turned = vh @ ((turned - turned.mT) / 2) @ vh.mT
        sums = s[..., :, None] + s[..., None, :]
        turned = torch.where(sums.abs() > 1e-12, turned / sums, 0.0)
        return 2 * rotations @ vh.mT @ turned @ vh


@shares_documentation(Sphere, sections=["Raises"])
class Euclidean(Manifold):
    """Euclidean space with the standard normal distribution as prior: the latent space of a plain VAE.

    Parameters
    ----------
    dim : int
        Number of coordinates.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations.manifolds import Euclidean
    >>> Euclidean(2).kl(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.zeros(2)).round(decimals=4) + 0.0
    tensor([0., 1.])
    """

    log_volume = math.inf

    def __init__(self, dim: int) -> None:
        check_number("Euclidean", "dim", dim, low=1, integer=True)
        self.dim = self.ambient_dim = dim

    def kl(self, z: torch.Tensor, log_t: torch.Tensor) -> torch.Tensor:
        """Return the KL divergence of the normal distribution around `z` of variance t from the prior.

        Parameters
        ----------
        z : Tensor of shape (…, dim)
            Points.
        log_t : Tensor of shape (…)
            Logarithm of the variance of each.

        Returns
        -------
        Tensor of shape (…)
        """
        return super().kl(z, log_t)

    def _kl(self, z: torch.Tensor, log_t: torch.Tensor) -> torch.Tensor:
        return (z.square().sum(-1) + self.dim * (log_t.exp() - 1 - log_t)) / 2

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def _distance(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        difference = z - w
        scale = _scale(difference)
        return (difference / scale).norm(dim=-1) * scale[..., 0]
