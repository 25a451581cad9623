"""`urt judges`: the released judges that are known by name."""

import argparse
import json

from urt_core.cli.terminal import wrapped
from urt_core.judges.released import LICENCE, OWN_WORDING, RELEASED, need_released

LINE = "{:<34} {:>5}  {:<44} {:<26} {}"


def run_judges(options: argparse.Namespace) -> int:
    found = [need_released(name) for name in options.names] or list(RELEASED.values())
    if options.json:
        print(json.dumps([judge.to_json() for judge in found], indent=2))
    elif options.names:
        for judge in found:
            facts = judge.to_json()
            print(
                "\n".join(
                    f"{name:22} {', '.join(value) if isinstance(value, list) else value}"
                    for name, value in facts.items()
                )
            )
            print()
    else:
        print(LINE.format("name", "size", "base", "contracts", "pixels x frames"))
        for judge in found:
            contracts = ", ".join((judge.dialect, *judge.point_contracts))
            shown = f"{judge.policy.max_pixels:,} x {judge.policy.num_frames}"
            print(LINE.format(judge.name, judge.size, f"{judge.base} ({judge.base_licence})", contracts, shown))
        print(
            f"\nLicence of all: {LICENCE}, and that of the base. `urt judges NAME` prints the vLLM command and the rest."
        )
        print(wrapped(f"With --judge NAME a judge is {OWN_WORDING}."))
    return 0
