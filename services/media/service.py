"""The servicer of `MediaService`. Decoders are imported by the first call, so that an idle process is small."""

import asyncio

from framehouse.v1 import media_pb2


class MediaService:
    """Probes, validates and measures images. Keeps no state."""

    async def ProcessShard(self, request: media_pb2.ProcessShardRequest) -> media_pb2.ProcessShardResponse:
        return await asyncio.to_thread(_process_shard, request)


def _process_shard(request: media_pb2.ProcessShardRequest) -> media_pb2.ProcessShardResponse:
    from framehouse.store.bucket import bucket
    from services.media.shard import process_shard

    return process_shard(bucket(), request)
