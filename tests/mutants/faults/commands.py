"""What people run: a restore that gives somebody's to another, and answers that sound well where they are not."""

from tests.mutants.mutant import Mutant

PLAN = "signer/commands/backups/plan.py"
ARCHIVE = "signer/commands/backups/archive.py"
STATUS = "signer/commands/summary.py"
DOCTOR = "signer/commands/doctor.py"
COMMAND = "signer/commands/command.py"
SITE = "signer/commands/page/site.py"
BOARD = "signer/commands/page/board.py"
HANDOVER = "signer/commands/handover.py"
TESTS = "tests/unit/commands"

MUTANTS = (
    Mutant(
        "the wall's policies go while the signer still signs",
        HANDOVER,
        "    steps = (*stops, *_deletions(found.admission), *_unmarked(found.definitions))\n",
        "    steps = (*_deletions(found.admission), *stops, *_unmarked(found.definitions))\n",
        (f"{TESTS}/test_handover.py",),
    ),
    Mutant(
        "a policy of somebody else's is deleted with ours",
        HANDOVER,
        "    return name_of(obj).endswith(_SUFFIX) or _labelled(obj)\n",
        "    return MESH_GROUP in name_of(obj) or _labelled(obj)\n",
        (f"{TESTS}/test_handover.py",),
    ),
    Mutant(
        "a Lease that somebody renews counts as left behind",
        HANDOVER,
        "for name, one in sightings if not one.expired(now)))\n",
        "for name, one in sightings if one.expired(now)))\n",
        (f"{TESTS}/test_handover.py",),
    ),
    Mutant(
        "a tenant's object says what a uid of somebody else's stands for",
        PLAN,
        "    found = {uid: now for uid, now in told if uid not in ours}\n",
        "    found = dict(told)\n",
        (f"{TESTS}/backups/test_plan.py",),
    ),
    Mutant(
        "an owner that is not there is kept, and the garbage collector takes what he owns",
        PLAN,
        '    owners = [one for one in _owners(found) if one.get("uid") in living]\n',
        "    owners = _owners(found)\n",
        (f"{TESTS}/backups/test_plan.py",),
    ),
    Mutant(
        "another's signer is adopted as one's own",
        PLAN,
        '    if resource in OWNERS and after["spec"] != wanted["spec"]:\n',
        '    if resource in OWNERS and after["spec"] != wanted["spec"] and not known:\n',
        (f"{TESTS}/backups/test_plan.py",),
    ),
    Mutant(
        "a CA's key that is missing is no problem",
        PLAN,
        "        if key not in archive.objects and key not in cluster.objects:\n",
        "        if key in archive.objects and key not in cluster.objects:\n",
        (f"{TESTS}/backups/test_plan.py",),
    ),
    Mutant(
        "an archive names an object of any kind",
        ARCHIVE,
        '    if resource is None or obj.get("apiVersion") != resource.api_version:\n',
        "    if resource is None:\n",
        (f"{TESTS}/backups/test_archive.py",),
    ),
    Mutant(
        "what may not be read counts as well",
        STATUS,
        '        return _row("requests", ok=None, text=requests.problem)\n',
        '        return _row("requests", ok=True, text=requests.problem)\n',
        (f"{TESTS}/test_status.py",),
    ),
    Mutant(
        "what could not be checked is fine where errors alone fail",
        DOCTOR,
        '    return UNKNOWN if "unknown" in severities else FINE\n',
        '    return UNKNOWN if "unknown" in severities and fail_on != "error" else FINE\n',
        (f"{TESTS}/test_checks_mesh.py",),
    ),
    Mutant(
        "roots of all revisions are held together",
        "signer/commands/checks/roots.py",
        "        name: [entry for entry in entries if ref in entry.signers] for name, entries in sorted(_listed(mesh).items())\n",
        "        name: [entry for entry in mesh.world.config.authorities if ref in entry.signers]\n"
        "        for name in sorted(_listed(mesh))\n",
        (f"{TESTS}/test_checks_roots.py",),
    ),
    Mutant(
        "a remedy of doctor's is not tried before it is printed",
        "signer/commands/checks/roots.py",
        "    if refused := edit_mesh_config(mesh.texts[name], found.pems, force=force).refused:\n",
        "    if (refused := edit_mesh_config(mesh.texts[name], found.pems, force=force).refused) and not refused:\n",
        (f"{TESTS}/test_checks_roots.py",),
    ),
    Mutant(
        "a leader who stopped leads for a minute",
        "signer/commands/checks/replicas.py",
        "if said else _ALIVE\n",
        "if said and seconds > 60 else _ALIVE\n",
        (f"{TESTS}/test_checks_webhooks.py",),
    ),
    Mutant(
        "a server that fell silent is asked for each list again",
        COMMAND,
        "        if self._silent is not None:\n            raise self._silent\n",
        "",
        (f"{TESTS}/test_command.py",),
    ),
    Mutant(
        "a page of elsewhere whose name leads to loopback gets the operator's page",
        SITE,
        '        if _HOST.fullmatch(fields.get("host", "")) is None:\n',
        '        if _HOST.match(fields.get("host", "")) is None:\n',
        (f"{TESTS}/page/test_site.py",),
    ),
    Mutant(
        "any token opens the operator's page",
        SITE,
        '        if scheme != "Bearer" or not right:\n',
        '        if scheme != "Bearer" or not (right or given):\n',
        (f"{TESTS}/page/test_site.py",),
    ),
    Mutant(
        "another page of the browser asks for the state",
        SITE,
        '    return opened or fields.get("sec-fetch-site", "none") in {"same-origin", "none"}\n',
        "    return True\n",
        (f"{TESTS}/page/test_site.py",),
    ),
    Mutant(
        "the page reads the cluster while nobody looks at it",
        BOARD,
        "        await self._asked.wait()\n",
        "        await asyncio.sleep(0)\n",
        (f"{TESTS}/page/test_board.py",),
    ),
)
