"""How we talk to the API server: what is lost here is forgotten for good."""

from tests.mutants.mutant import Mutant

REFLECTOR = "signer/kube/reflector.py"
PROTOBUF = "signer/kube/encoding/protobuf.py"
QUEUE = "signer/kube/queue.py"
LEASE = "signer/kube/leases/leader.py"
RECORD = "signer/kube/leases/record.py"
ERRORS = "signer/kube/errors.py"
FRAMING = "signer/kube/encoding/framing.py"
DEPTH = "signer/kube/encoding/depth.py"

WATCHING = ("tests/unit/kube/reflector",)
BYTES = ("tests/unit/kube/encoding/test_protobuf.py", "tests/unit/kube/encoding/test_codec.py")
DEEP = ("tests/unit/kube/encoding/test_depth.py",)
QUEUED = ("tests/unit/kube/test_queue.py",)

MUTANTS = (
    Mutant(
        "after a 410 the watch goes on from the version that is too old",
        REFLECTOR,
        "            except Gone:\n                return\n",
        "            except Gone:\n                continue\n",
        WATCHING,
    ),
    Mutant(
        "what was deleted while we did not watch stays in the store",
        REFLECTOR,
        "        for key in [key for key in (*self.store, *self._part.known()) if key not in seen]:\n",
        "        for key in [key for key in self.store if key not in seen and False]:\n",
        WATCHING,
    ),
    Mutant(
        "an object that is nested too deep for the decoder ends who reads it",
        DEPTH,
        "        except RecursionError:\n            return decode(cut(bytes(body)))\n",
        "        except ZeroDivisionError:\n            return decode(cut(bytes(body)))\n",
        DEEP,
    ),
    Mutant(
        "brackets in texts count as levels",
        DEPTH,
        'rest = b"".join(rest.split(b\'"\')[::2])',
        'rest = b"".join(rest.split(b\'"\'))',
        DEEP,
    ),
    Mutant(
        "an object that is too deep but not for the decoder is read",
        "signer/kube/encoding/codec.py",
        "        elif deeper(bytes(raw)):\n",
        "        elif deeper(bytes(raw), 500):\n",
        DEEP,
    ),
    Mutant(
        "only the first page of a list is read",
        "signer/kube/paging.py",
        "        if not (token := following(page)):\n",
        "        if (token := following(page)) or True:\n",
        WATCHING,
    ),
    Mutant(
        "bookmarks do not move the resourceVersion",
        REFLECTOR,
        "        if event.resource_version:\n",
        '        if event.resource_version and event.type != "BOOKMARK":\n',
        WATCHING,
    ),
    Mutant(
        "an object that became unreadable stays as it was last read",
        REFLECTOR,
        '        if event.object is None or event.type == "DELETED":\n',
        '        if event.type == "DELETED":\n',
        WATCHING,
    ),
    Mutant(
        "a handler that raises stops the watch",
        REFLECTOR,
        "        except Exception:  # a handler's fault must not stop the watch\n",
        "        except KeyError:\n",
        WATCHING,
    ),
    Mutant(
        "Retry-After of a refused list is not kept",
        REFLECTOR,
        "        retry_after = error.retry_after if isinstance(error, ApiError) else None\n",
        "        retry_after = None\n",
        WATCHING,
    ),
    Mutant(
        "a field that runs past the end of its message is read",
        PROTOBUF,
        "    if pos != end or end > len(buf):\n",
        "    if pos < end or end > len(buf):\n",
        BYTES,
    ),
    Mutant(
        "a varint of any length is read",
        PROTOBUF,
        "            if shift > 63:\n",
        "            if shift > 6300:\n",
        BYTES,
    ),
    Mutant(
        "an encoded (compressed) envelope is taken for the object",
        PROTOBUF,
        "        elif tag == 0x1A and a != b:",
        "        elif tag == 0x1A and a > b:",
        BYTES,
    ),
    Mutant(
        "a string that is not UTF-8 raises another error than ProtobufError",
        PROTOBUF,
        "    except UnicodeDecodeError:\n        raise ProtobufError",
        "    except KeyError:\n        raise ProtobufError",
        BYTES,
    ),
    Mutant(
        "one unreadable object of a list costs all others",
        "signer/kube/encoding/protobuf_codec.py",
        "            except Exception as error:  # noqa: BLE001 - as in JsonCodec._listed\n                listed = ",
        "            except KeyError as error:\n                listed = ",
        BYTES,
    ),
    Mutant(
        "a watch frame that comes in two chunks is cut",
        FRAMING,
        "        del buffer[:pos]\n",
        "        buffer.clear()\n",
        BYTES,
    ),
    Mutant(
        "a watch frame may be of any length",
        FRAMING,
        "            if size > LARGEST_FRAME:\n",
        "            if size > LARGEST_FRAME * 1_000_000:\n",
        BYTES,
    ),
    Mutant(
        "a key that is added while it is handled is lost",
        QUEUE,
        "                if key in self._dirty:\n                    self._offer(key)\n",
        "                self._dirty.discard(key)\n",
        QUEUED,
    ),
    Mutant(
        "a key whose handler raised is not tried again",
        QUEUE,
        '                self.add_backoff(key, getattr(error, "retry_after", None))\n',
        "                self.forget(key)\n",
        QUEUED,
    ),
    Mutant(
        "two workers handle one key at the same time",
        QUEUE,
        "        if key not in self._working:\n",
        "        if True:\n",
        QUEUED,
    ),
    Mutant(
        "a Lease is taken although it is not over",
        RECORD,
        "        return not self.holder or now > self.seen_at + self.duration\n",
        "        return not self.holder or now > self.seen_at\n",
        ("tests/unit/kube/leases/test_record.py",),
    ),
    Mutant(
        "a Lease that did not change counts as fresh each time it is read",
        RECORD,
        "    if before is not None and before.version == version:\n",
        "    if before is not None and before.version == version and False:\n",
        ("tests/unit/kube/leases/test_record.py",),
    ),
    Mutant(
        "members in another order make another owner",
        RECORD,
        "    return sorted(members, key=lambda member: (_weight(key, member), member), reverse=True)\n",
        "    return sorted(members, key=lambda member: _weight(key, members[0]))\n",
        ("tests/unit/kube/leases/test_record.py",),
    ),
    Mutant(
        "the Lease is given up before the work has ended",
        LEASE,
        "                await self._stop(work)\n",
        "                work.cancel()\n",
        ("tests/unit/kube/leases/test_leader.py",),
    ),
    Mutant(
        "Retry-After is not read",
        ERRORS,
        "    if value.isascii() and value.isdigit() and len(value) < 10:\n        return float(value)\n",
        "    if value.isascii() and value.isdigit() and len(value) < 10:\n        return None\n",
        ("tests/unit/kube/test_errors.py",),
    ),
    Mutant(
        "an expired watch reads as an ordinary refusal",
        ERRORS,
        "    410: Gone,\n",
        "",
        ("tests/unit/kube/test_errors.py", *WATCHING),
    ),
    Mutant(
        "a namespace that has more than its share is listed to its end before the others",
        "signer/kube/fair_lists.py",
        "                if last in found.crowded and page.metadata.following:\n",
        "                if last is None:\n",
        ("tests/unit/kube/test_fair_lists.py",),
    ),
)
