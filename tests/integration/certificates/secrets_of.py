"""What is in a Certificate's Secret."""

import base64

from tests.integration.slow_controllers import Json, World


def data(secret: Json, key: str) -> bytes:
    return base64.b64decode(secret["data"][key])


async def secret_of(here: World, name: str) -> Json:
    found = await here.get("Secret", name)
    assert found is not None
    return found
