"""Archives that are the same each time: files in order, of nobody, at one time. Pure but for reading and writing files."""

import gzip
import io
import tarfile
from pathlib import Path


def repack(archive: Path, epoch: int) -> None:
    """Write a .tar.gz again with its own files, in the order of their names, all of `epoch` and of user 0."""
    with tarfile.open(archive, "r:gz") as old:
        members = sorted((one for one in old.getmembers() if one.isfile()), key=lambda one: one.name)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new:
            for member in members:
                content = old.extractfile(member)
                data = content.read() if content else b""
                plain = tarfile.TarInfo(member.name)
                plain.size, plain.mtime = len(data), epoch
                plain.mode = 0o755 if member.mode & 0o100 else 0o644
                new.addfile(plain, io.BytesIO(data))
    archive.write_bytes(gzip.compress(buffer.getvalue(), mtime=epoch))
