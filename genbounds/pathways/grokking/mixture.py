"""A small mixture of experts for two tokens: attention once, then blocks of experts where the answer is read out."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.models.randomness import stream
from genbounds.numerics.checks import count

__all__ = ["ExpertBlock", "Experts", "Mixture", "Routed", "Router"]


class Routed(NamedTuple):
    """What a router says of N tokens: logits (N, K), weights and indices (N, k) of executed experts, largest first."""

    logits: Tensor
    weights: Tensor
    indices: Tensor


class Router(nn.Module):
    """Softmax over experts without a bias; the k largest gates, divided by their sum, weigh the executed experts.

    Parameters
    ----------
    width : int
        Numbers in a token, d.
    experts : int
        Number of experts, K.
    executed : int
        Experts executed for a token, k, at most K.

    Attributes
    ----------
    weight : Parameter, shape (K, d)
        A row for each expert.
    """

    def __init__(self, width: int, experts: int, executed: int) -> None:
        super().__init__()
        self.executed = executed
        self.weight = nn.Parameter(torch.empty(experts, width))

    def forward(self, x: Tensor) -> Routed:
        """Route tokens.

        Parameters
        ----------
        x : Tensor, shape (N, d)
            The tokens.

        Returns
        -------
        Routed
            Logits, weights and indices.
        """
        logits = x @ self.weight.T
        weights, indices = logits.softmax(-1).topk(self.executed)
        return Routed(logits, weights / weights.sum(-1, keepdim=True), indices)


class Experts(nn.Module):
    """Experts of two layers with ReLU between them, summed with weights.

    Parameters
    ----------
    width : int
        Numbers in a token, d; also of the hidden layer of each expert.
    experts : int
        Number of experts, K.

    Attributes
    ----------
    widened, narrowed : Parameter, shape (K, d, d)
        The two layers of each expert, inputs first.
    """

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.widened = nn.Parameter(torch.empty(experts, width, width))
        self.narrowed = nn.Parameter(torch.empty(experts, width, width))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Apply all experts.

        All are computed though most weigh nothing: for so few and small ones this is faster than gathering rows.

        Parameters
        ----------
        x : Tensor, shape (N, d)
            Tokens.
        weights : Tensor, shape (N, K)
            Of each expert for each token; 0 for those that are not executed.

        Returns
        -------
        Tensor, shape (N, d)
            The weighted sums.
        """
        hidden = torch.matmul(x, self.widened).relu()
        return torch.matmul(hidden * weights.T.unsqueeze(-1), self.narrowed).sum(0)


class ExpertBlock(nn.Module):
    """A router and its experts, whose output is added to the input.

    Parameters
    ----------
    width : int
        Numbers in a token, d.
    experts, executed : int
        Number of experts, and of those executed for a token.
    """

    def __init__(self, width: int, experts: int, executed: int) -> None:
        super().__init__()
        self.router = Router(width, experts, executed)
        self.experts = Experts(width, experts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the block.

        Parameters
        ----------
        x : Tensor, shape (N, d)
            Tokens.

        Returns
        -------
        output : Tensor, shape (N, d)
            The tokens with what the experts added.
        balance : Tensor, shape ()
            ``K sum_k f_k P_k`` of Fedus et al. (2022), with f the shares of assignments (they sum to 1) and P the mean
            gates: 1 where all experts are used alike.
        """
        logits, weights, indices = self.router(x)
        nothing = torch.zeros_like(logits)
        shares = nothing.scatter(1, indices, 1 / indices.shape[1]).mean(0)
        balance = len(shares) * (shares * logits.softmax(-1).mean(0)).sum()
        return x + self.experts(x, nothing.scatter(1, indices, weights)), balance


class Mixture(nn.Module):
    """Two tokens in, logits of p answers out: attention at the last position, then blocks of experts; no normalisation.

    Attention comes once and only the last position is read, so that everything behind it is computed there alone and
    each router sees one token for each pair.

    Parameters
    ----------
    modulus : int
        Number of tokens and of answers, p.
    blocks : int
        Blocks of experts.
    experts, executed : int
        Experts of a block, and how many of them are executed for a pair.
    width : int
        Numbers in a token; `heads` divides it.
    heads : int
        Heads of attention.
    seed : int
        Of the initial weights. All are normal, of variance ``1 / width`` for embeddings and experts and a third of it
        for attention, routers and the map to answers, as in torch's linear layers.

    Raises
    ------
    ValueError
        If `heads` does not divide `width`, or more experts are to be executed than there are.
    """

    def __init__(
        self,
        modulus: int = 59,
        blocks: int = 3,
        *,
        experts: int = 4,
        executed: int = 2,
        width: int = 64,
        heads: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"modulus": modulus, "blocks": blocks, "experts": experts, "executed": executed, "heads": heads}
        for name, size in sizes.items():
            count(name, size)
        if width % heads or executed > experts:
            raise ValueError(
                f"heads must divide width, and executed be at most experts, got {heads} heads, width {width}, "
                f"{executed} of {experts} experts. Change one."
            )
        self.heads = heads
        self.embedding = nn.Parameter(torch.empty(modulus, width))
        self.positions = nn.Parameter(torch.empty(2, width))
        self.query = nn.Parameter(torch.empty(width, width))
        self.key = nn.Parameter(torch.empty(width, width))
        self.value = nn.Parameter(torch.empty(width, width))
        self.mixed = nn.Parameter(torch.empty(width, width))
        self.blocks = nn.ModuleList(ExpertBlock(width, experts, executed) for _ in range(blocks))
        self.unembedding = nn.Parameter(torch.empty(modulus, width))
        generator = stream(seed, "mixture")
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                large = name in ("embedding", "positions") or ".experts." in name
                scale = (width if large else 3 * width) ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)

    def attend(self, pairs: Tensor) -> Tensor:
        """Return the second token of each pair after its attention to both.

        Parameters
        ----------
        pairs : Tensor of int64, shape (N, 2)
            The two tokens.

        Returns
        -------
        Tensor, shape (N, width)
            Which the blocks of experts go on with.
        """
        x = F.embedding(pairs, self.embedding) + self.positions
        last = x.select(1, 1)
        query = (last @ self.query).unflatten(-1, (self.heads, -1))
        key, value = ((x @ part).unflatten(-1, (self.heads, -1)) for part in (self.key, self.value))
        scores = torch.einsum("nhd,nthd->nht", query, key) * query.shape[-1] ** -0.5
        return last + torch.einsum("nht,nthd->nhd", scores.softmax(-1), value).flatten(1) @ self.mixed

    def logits_and_balance(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the network, and say how evenly it uses its experts.

        Parameters
        ----------
        pairs : Tensor of int64, shape (N, 2)
            The two tokens.

        Returns
        -------
        logits : Tensor, shape (N, p)
            Of each answer.
        balance : Tensor, shape ()
            Sum over the blocks of `ExpertBlock`'s term.
        """
        x, balance = self.attend(pairs), self.embedding.new_zeros(())
        for block in self.blocks:
            x, term = block(x)
            balance = balance + term
        return x @ self.unembedding.T, balance

    def forward(self, pairs: Tensor) -> Tensor:
        """Apply the network.

        Parameters
        ----------
        pairs : Tensor of int64, shape (N, 2)
            The two tokens.

        Returns
        -------
        Tensor, shape (N, p)
            Logits of each answer.
        """
        return self.logits_and_balance(pairs)[0]
