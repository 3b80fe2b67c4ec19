"""How long a job took, by its own timestamps."""

from framehouse.client import Client
from framehouse.v1 import job_pb2


def read_job(client: Client, product: str) -> job_pb2.JobMetadata:
    """The job that made something: a dataset's uid or an export's name end in the job's id."""
    metadata = job_pb2.JobMetadata()
    for operation in client.watch_job(f"jobs/{product.rpartition('/')[2]}"):
        operation.metadata.Unpack(metadata)
    return metadata


def seconds_of_job(job: job_pb2.JobMetadata, before: str = "") -> float:
    """From its start to its end, or to the beginning of the stage `before`."""
    end = next(stage.start_time for stage in job.stages if stage.name == before) if before else job.end_time
    return (end.ToNanoseconds() - job.start_time.ToNanoseconds()) / 1e9


def seconds_of_stage(job: job_pb2.JobMetadata, name: str) -> float:
    """What one stage took."""
    stage = next(stage for stage in job.stages if stage.name == name)
    return (stage.end_time.ToNanoseconds() - stage.start_time.ToNanoseconds()) / 1e9


def seconds_of_stages(job: job_pb2.JobMetadata) -> str:
    """What each stage took, for notes. Stages may overlap."""
    return ", ".join(f"{stage.name} {seconds_of_stage(job, stage.name):.2f} s" for stage in job.stages)
