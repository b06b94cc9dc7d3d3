"""`python -m sandbox`: run the three CRM stand-ins and their control door until told to stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from sandbox.serving import PortInUseError, Running, start
from sandbox.state import StateBusyError, write_private


def main() -> int:
    """Serve until SIGINT or SIGTERM; 0 when stopped, 1 when it could not start."""
    options = _options()
    stop = threading.Event()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if options.until_stdin_closes:
        threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    try:
        running = start(
            options.state, base_port=options.base_port, webhook_base=options.webhook_base
        )
    except (PortInUseError, StateBusyError, OSError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    try:
        if options.env_file is not None:
            _write_environment(options.env_file, running)
        _announce(running, options.env_file)
        stop.wait()
    finally:
        running.stop()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="keep everything here; else nothing"
    )
    parser.add_argument(
        "--base-port", type=int, default=8701, help="first of four ports; 0 = any free"
    )
    parser.add_argument(
        "--webhook-base", default="", metavar="URL", help="where webhooks go; else none"
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="write the settings, secrets included"
    )
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="also stop at the end of standard input, as when a parent process is killed",
    )
    options = parser.parse_args()
    if not 0 <= options.base_port <= 65532:
        parser.error("--base-port must be 0, or leave room for four ports below 65536")
    return options


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _write_environment(file: Path, running: Running) -> None:
    lines = [f"{name}={value}\n" for name, value in running.environment().items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, "".join(lines).encode())


def _announce(running: Running, env_file: Path | None) -> None:
    """Say where everything is, one line each."""
    lines = []
    for stand_in in running.crms.values():
        store = stand_in.org.store
        records = sum(len(store.rows(name)) for name in store.objects())
        lines.append(
            f"{stand_in.crm:<12} {stand_in.url}  org {stand_in.org.org_id}, {records} records"
        )
    lines.append(f"{'control':<12} {running.control_url}")
    if env_file is not None:
        lines.append(f"settings in {env_file}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
