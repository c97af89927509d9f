"""torch 1.13 hands tensors to other processes as shared memory, which was seen to arrive with an older content.

jobs packs them by value: what a worker gets is what was there when it was called, whatever happens to it afterwards.
"""

import pickle

import torch

from kdasr import jobs


class Store:
    """Keeps the tensors that it was given and gives one back that it goes on changing."""

    def __init__(self, size: int) -> None:
        self.kept: list[torch.Tensor] = []
        self.own = torch.zeros(size)

    def keep(self, tensor: torch.Tensor) -> float:
        self.kept.append(tensor)
        return float(tensor.sum())

    def sums(self) -> list[float]:
        return [float(tensor.sum()) for tensor in self.kept]

    def count(self) -> torch.Tensor:
        self.own += 1
        return self.own


def test_round_trips_keep_every_value_apart():
    with jobs.Workers(Store, [1000, 1000], 1) as workers:
        tensor = torch.ones(1000)
        for number in range(1, 30):
            assert workers.each(Store.keep, tensor) == [1000.0 * number] * 2
            tensor += 1  # in place: what the workers hold must not follow
            tensor = tensor if number % 2 else tensor.clone()  # old storage freed, new storage reused
        assert workers.each(Store.sums) == [[1000.0 * number for number in range(1, 30)]] * 2
        counted = [workers.each(Store.count) for _ in range(10)]
    for number, results in enumerate(counted, start=1):
        assert all(torch.equal(result, torch.full((1000,), float(number))) for result in results)


def test_a_packed_call_is_of_the_moment_and_without_shared_memory():
    tensor = torch.arange(5.0)
    packed = pickle.dumps((torch.clone, (tensor,)))
    tensor.zero_()
    assert pickle.loads(jobs._call_packed(packed)[0]).tolist() == [0, 1, 2, 3, 4]
    assert not tensor.is_shared()
