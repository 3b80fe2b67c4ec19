"""Settings, read from `FRAMEHOUSE_*` variables and, for secrets, from files.

The same names configure a laptop and a cluster. A secret may lie in a file named like its variable in the folder that
`FRAMEHOUSE_SECRETS_DIR` names.
"""

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything a process can be told. Fields that a service does not use are ignored by it."""

    model_config = SettingsConfigDict(env_prefix="FRAMEHOUSE_", extra="ignore")

    host: str = "127.0.0.1"
    """Address that servers listen on."""
    port: int | None = None
    """Port of the service's gRPC server; unset takes the one in `topology.PORTS`."""
    metrics_port: int | None = None
    """Port of `/metrics`; unset takes the gRPC port plus 1000. The gateway serves it on its HTTP port."""
    http_port: int = 8080
    """Port of the gateway's HTTP/JSON face."""
    public_url: str = ""
    """Where clients reach the gateway's HTTP face, for instance `https://framehouse.example.com`; the URLs of images
    begin with it. Empty takes `host` and `http_port`."""
    log_level: str = "info"
    drain_seconds: float = 20.0
    """How long calls in flight may go on after SIGTERM."""

    tls_certificate: str = ""
    """PEM file of the gateway's certificate, and after it of those that vouch for it; set, both its ports speak TLS."""
    tls_key: str = ""
    """PEM file of that certificate's private key."""
    tls: Literal["own", "proxy"] = "own"
    """Who speaks TLS with clients: the gateway by a certificate of its own, or what stands before it. Where keys are
    asked for, a gateway with neither listens on loopback alone."""

    auth: Literal["none", "api_key"] = "none"
    """Who may call: anybody, on loopback alone; or whoever shows a key."""
    identity_key: SecretStr = SecretStr("")
    """What the gateway signs with who calls: the same random text for all processes."""
    admin_key: SecretStr = SecretStr("")
    """A key with the scope admin that is in no catalogue; only ingest knows it. Empty means none."""
    key_cache_seconds: float = Field(10.0, ge=0)
    """How long a gateway takes a key for what it was when it was checked last."""
    limit_requests_per_second: int = Field(0, ge=0)
    """Of keys that have no limit of their own, in each gateway; 0 means none."""
    limit_concurrent_jobs: int = Field(0, ge=0)
    """Likewise, of the key's owner."""
    limit_stored_bytes: int = Field(0, ge=0)
    """Likewise, of the key's owner: uploads and the images of datasets together."""

    ingest_address: str = "127.0.0.1:50051"
    media_address: str = "127.0.0.1:50052"
    conversion_address: str = "127.0.0.1:50053"
    statistics_address: str = "127.0.0.1:50054"
    export_address: str = "127.0.0.1:50055"

    store_endpoint: str = "127.0.0.1:8333"
    """host:port of the S3 API."""
    store_public_endpoint: str = ""
    """host:port that presigned URLs name; empty takes `store_endpoint`."""
    store_secure: bool = False
    """Whether the S3 API is spoken over TLS."""
    store_region: str = "us-east-1"
    store_bucket: str = "framehouse"
    store_access_key: str = "framehouse"
    store_secret_key: SecretStr = SecretStr("")

    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    concurrent_activities: int = os.cpu_count() or 1
    """Steps of jobs that one process works on at once."""

    database_url: SecretStr = SecretStr("sqlite:///framehouse.db")
    """SQLAlchemy URL of the catalogue; only ingest opens it."""

    upload_expiry_seconds: int = 24 * 3600
    """Life of an upload's URLs; GetUpload renews them."""
    download_expiry_seconds: int = 24 * 3600
    """Life of an export's URL."""
    export_keep_seconds: int = Field(7 * 24 * 3600, ge=60, le=30 * 24 * 3600)
    """How long exports are kept, where nothing else is asked for."""
    image_url_expiry_seconds: int = Field(3600, ge=1, le=7 * 24 * 3600)
    """Life of the URL of an image or a preview, and up to five minutes more."""
    export_url_seconds: int = Field(7 * 24 * 3600, ge=1, le=7 * 24 * 3600)
    """Life of the URLs of images that an export is made of."""
    url_signing_key: SecretStr = SecretStr("")
    """What the URLs of images are signed with: the same random text for ingest, conversion and the gateway."""
    fetch_urls: Literal["off", "public", "any"] = "off"
    """Which URLs uploads are fetched from: none; those of public addresses; private and loopback ones too."""
    s3_sources_file: str = ""
    """JSON file of the buckets that uploads are fetched from, with their keys; empty means none."""
    pack_grace_seconds: int = 7 * 24 * 3600
    """How long packs and previews are kept that nothing refers to and nobody uses."""
    table_grace_seconds: int = Field(24 * 3600, ge=0)
    """How long a dataset can be read as it was before a change, by who began to read it then."""
    trash_seconds: int = Field(30 * 24 * 3600, ge=0)
    """How long datasets, and images that were removed from one, can be taken back."""
    shard_images: int = 500
    """Images of one shard at most."""
    shard_bytes: int = 64 << 20
    """Bytes of the images of one shard at most, unless a single image is larger."""
    max_image_bytes: int = 50 << 20
    max_image_pixels: int = 200_000_000
    max_archive_bytes: int = 100 << 30
    max_archive_entries: int = 5_000_000
    max_expansion_ratio: int = 200
    """Unpacked bytes of an entry, or of a compressed tar, over its packed bytes."""


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    folder = os.environ.get("FRAMEHOUSE_SECRETS_DIR", "")
    return Settings(_secrets_dir=folder if folder and Path(folder).is_dir() else None)  # type: ignore[call-arg]
