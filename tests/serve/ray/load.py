"""Many clients at once, each with its connection: asks for its edits, asks again when told to wait, follows them to their ends."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx


@dataclass
class Load:
    """What was asked and answered."""

    url: str
    clip: Path
    picture: Path
    clients: int
    jobs: int
    poll_s: float = 1.0
    ids: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    admitted_s: list[float] = field(default_factory=list)
    """Of each POST that was accepted: from its first byte to its answer."""
    took_s: float = 0.0

    async def run(self) -> "Load":
        """Ask for all jobs and see all end."""
        began = time.monotonic()
        numbers = iter(range(self.jobs))
        files = {name: (name, path.read_bytes()) for name, path in (("source", self.clip), ("first_frame", self.picture))}
        async with asyncio.TaskGroup() as group:
            for _ in range(self.clients):
                group.create_task(self._client(numbers, files))
        self.took_s = time.monotonic() - began
        return self

    async def _client(self, numbers: Iterator[int], files: dict[str, tuple[str, bytes]]) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=120) as http:
            mine = [await self._submit(http, number, files) for number in numbers]
            for id in mine:
                while (await self._ask(http, f"/v1/edits/{id}")).json()["state"] in ("queued", "running"):
                    await asyncio.sleep(self.poll_s)

    async def _submit(self, http: httpx.AsyncClient, number: int, files: dict[str, tuple[str, bytes]]) -> str:
        while True:
            began = time.monotonic()
            answer = await http.post(
                "/v1/edits",
                data={"consent": "true", "seed": str(number)},
                files=files,
                headers={"idempotency-key": f"{id(self)}-{number}"},
            )
            self.statuses.append(answer.status_code)
            if answer.status_code == 429:
                await asyncio.sleep(int(answer.headers["retry-after"]))
                continue
            answer.raise_for_status()
            self.admitted_s.append(time.monotonic() - began)
            self.ids.append(answer.json()["id"])
            return self.ids[-1]

    async def _ask(self, http: httpx.AsyncClient, path: str) -> httpx.Response:
        answer = await http.get(path)
        self.statuses.append(answer.status_code)
        return answer.raise_for_status()

    def told(self) -> str:
        """One line."""
        ordered = sorted(self.admitted_s)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
        refused, failed = self.statuses.count(429), sum(status >= 500 for status in self.statuses)
        return (
            f"{self.clients} clients, {self.jobs} jobs in {self.took_s:.0f} s: admitted after {p50:.2f} s (median), {p99:.2f} s (99 %); "
            f"{refused} answers of 429, {failed} of 5xx"
        )
