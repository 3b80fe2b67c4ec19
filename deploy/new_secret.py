"""Prints the Secret that `kubernetes/base` asks for, with new random values; needs nothing but Python.

`create` and not `apply`, because the store and the databases keep the values of their first start:

    python deploy/new_secret.py | kubectl create --namespace framehouse --filename -
"""

import json
import secrets
from typing import Any

NAME = "framehouse-secrets"


def new_secret() -> dict[str, Any]:
    """The manifest. A key that begins with `framehouse_` is the file name of a setting of that name."""
    catalogue_password = secrets.token_hex(24)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME},
        "stringData": {
            "framehouse_store_access_key": "framehouse",
            "framehouse_store_secret_key": secrets.token_hex(20),
            "framehouse_url_signing_key": secrets.token_urlsafe(32),
            "framehouse_identity_key": secrets.token_urlsafe(32),
            "framehouse_admin_key": f"fh_{secrets.token_urlsafe(32)}",
            "framehouse_database_url": f"postgresql+psycopg://framehouse:{catalogue_password}@postgres:5432/framehouse",
            "catalogue_password": catalogue_password,
            "temporal_password": secrets.token_hex(24),
            "postgres_password": secrets.token_hex(24),
        },
    }


if __name__ == "__main__":
    print(json.dumps(new_secret(), indent=2))
