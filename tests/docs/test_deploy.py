"""The Dockerfile and the examples in deploy/ name things that exist: commands, routes, ports, files, variables."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess

import pytest

from paymux.cli import COMMANDS
from paymux.http.webhooks import _HEALTH
from paymux.providers import installed
from paymux.settings import load
from paymux.settings.accounts import build_accounts
from paymux.settings.environment import overridden
from paymux.settings.models import Server, Settings, split_address
from tests.cli.gateways import run
from tests.docs.pages import ROOT, read

DOCKERFILE = read("Dockerfile")
COMPOSE = read("deploy/docker-compose.yml")
UNIT = read("deploy/paymux.service")
EXAMPLE = ROOT / "deploy" / "paymux.example.toml"
VARIABLES = dict.fromkeys(
    re.findall(r'^[^#\n]*"env:(\w+)"', EXAMPLE.read_text("utf-8"), re.MULTILINE), "whsec_AAAAAAAAAAAAAAAAAAAAAAAA"
)
PUBLIC, PRIVATE = (split_address(Server.model_fields[name].default)[1] for name in ("listen", "admin_listen"))


def instruction(name: str) -> str:
    """The last one of that name, its continuation lines joined."""
    found = re.findall(rf"^{name} ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    return found[-1].replace("\\\n", " ")


def lines_of(section: str) -> list[str]:
    """The lines of a top-level service or key of the compose file, which has two blanks for each level."""
    found = re.search(rf"^  {section}:\n((?:    .*\n|\n)+)", COMPOSE, re.MULTILINE)
    return [line.strip() for line in found[1].splitlines() if line.strip()]


def environment_of(service: str) -> dict[str, str]:
    return dict(re.findall(r'^([A-Z_0-9]+): "([^"]*)"', "\n".join(lines_of(service)), re.MULTILINE))


# --- paymux.example.toml


def test_the_example_configuration_starts():
    """With its variables set, and without help of a default file."""
    settings = load(EXAMPLE, VARIABLES)
    assert len(build_accounts(settings, installed())) == len(settings.accounts) == 3


def test_the_example_configuration_is_explained(tmp_path):
    """`paymux check` finds nothing to put right, once the journal's folder is there."""
    journal = {"PAYMUX_JOURNAL__URL": f"sqlite:///{tmp_path}/paymux.db"}
    done = run("check", "--config", str(EXAMPLE), cwd=tmp_path, **VARIABLES | journal)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("line", re.findall(r"^# (\w+ = .*)$", EXAMPLE.read_text("utf-8"), re.MULTILINE))
def test_a_line_to_uncomment(line, tmp_path):
    """It is a setting of the section that it stands in."""
    file = tmp_path / "paymux.toml"
    file.write_text(EXAMPLE.read_text("utf-8").replace(f"# {line}", line))
    load(file, VARIABLES | {"KAFKA_PASSWORD": "x"})


# --- Dockerfile


def test_what_is_copied_is_there():
    """Every source of a COPY, or the image could not be built."""
    copied = [word for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    assert copied
    assert [word for word in copied if not (ROOT / word).exists()] == []
    ignored = read(".dockerignore").split()
    assert not set(copied) & set(ignored)


def test_the_command_of_the_image():
    """The entry point is our script, the command one of ours with an option that it has."""
    [entry] = json.loads(instruction("ENTRYPOINT"))
    command, option, path = json.loads(instruction("CMD"))
    assert f'{entry} = "paymux.cli:main"' in read("pyproject.toml")
    assert command in COMMANDS
    assert option == "--config"
    assert path == "/etc/paymux/paymux.toml"


def test_the_ports_of_the_image():
    """Those that paymux listens on by default; the health check asks a page of the public one."""
    assert [int(port) for port in instruction("EXPOSE").split()] == [PUBLIC, PRIVATE]
    [(port, path)] = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", instruction("HEALTHCHECK"))
    assert int(port) == PUBLIC
    assert path in _HEALTH


def test_the_image_runs_as_nobody_special():
    """A numeric user that was made for it, in a home that is a volume and the working directory."""
    user = instruction("USER")
    assert user.isdigit()
    assert int(user) > 0
    made = instruction("RUN")
    assert f"--uid {user}" in made
    assert f"--home-dir {instruction('VOLUME')}" in made
    assert instruction("VOLUME") == instruction("WORKDIR")
    assert instruction("STOPSIGNAL") == "SIGTERM"
    python = re.findall(r"^FROM python:3\.(\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert python
    assert all(int(minor) >= 11 for minor in python)


# --- docker-compose.yml


def test_the_compose_file_sets_every_secret():
    """All variables of the example configuration, and settings that exist."""
    told = environment_of("paymux")
    assert set(VARIABLES) <= set(told)
    settings = Settings.model_fields
    for name in overridden({}, {key: value for key, value in told.items() if "__" in key}):
        assert name in settings


def test_the_compose_file_mounts_what_is_there():
    """The example where the image looks for it, the volume where the journal is."""
    lines = lines_of("paymux")
    path = json.loads(instruction("CMD"))[-1]
    assert f"- ./{EXAMPLE.name}:{path}:ro" in lines
    assert f"- journal:{instruction('VOLUME')}" in lines
    assert load(EXAMPLE, VARIABLES).journal.path.startswith(f"{instruction('VOLUME')}/")
    assert re.search(r"^volumes:\n  journal:", COMPOSE, re.MULTILINE)
    assert "build: .." in lines


def test_the_compose_files_brokers():
    """paymux comes to the listener that is advertised inside, people on this machine to the one that is published."""
    told, kafka = environment_of("paymux"), environment_of("kafka")
    advertised = dict(one.split("://") for one in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listening = dict(one.split("://") for one in kafka["KAFKA_LISTENERS"].split(","))
    assert told["PAYMUX_KAFKA__BOOTSTRAP_SERVERS"] == advertised["INSIDE"]
    assert "hostname: kafka" in lines_of("kafka")
    assert {name: address.rpartition(":")[2] for name, address in advertised.items()} == {
        name: port.removeprefix(":") for name, port in listening.items() if name != "CONTROLLER"
    }
    outside = advertised["OUTSIDE"].rpartition(":")[2]
    assert f'- "127.0.0.1:{outside}:{outside}"' in lines_of("kafka")
    mapped = {one.split(":")[0] for one in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert mapped == set(listening)
    assert listening["CONTROLLER"] == f":{kafka['KAFKA_CONTROLLER_QUORUM_VOTERS'].rpartition(':')[2]}"


def test_the_compose_files_ports():
    """The public one for everybody, the private one for this machine only."""
    lines = lines_of("paymux")
    assert f'- "{PUBLIC}:{PUBLIC}"' in lines
    assert f'- "127.0.0.1:{PRIVATE}:{PRIVATE}"' in lines
    assert split_address(environment_of("paymux")["PAYMUX_SERVER__ADMIN_LISTEN"])[1] == PRIVATE


# --- paymux.service


def directive(name: str) -> str:
    [found] = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return found


def test_the_unit_starts_a_command_of_ours():
    """`paymux serve` with its option, and a reload by the signal that it listens to."""
    program, command, option, path = shlex.split(directive("ExecStart"))
    assert (program.rpartition("/")[2], command in COMMANDS, option) == ("paymux", True, "--config")
    assert path == json.loads(instruction("CMD"))[-1]
    assert directive("ExecReload") == "/bin/kill -HUP $MAINPID"
    assert directive("RestartPreventExitStatus") == "2"


def test_the_unit_may_write_the_journal():
    """The state directory is the one of the example configuration; all else is read-only."""
    assert f"/var/lib/{directive('StateDirectory')}/paymux.db" == load(EXAMPLE, VARIABLES).journal.path
    assert directive("ProtectSystem") == "strict"


def test_the_unit_waits_for_a_clean_end():
    """Longer than everything that SIGTERM may wait for."""
    defaults = {name: field.default for name, field in Server.model_fields.items()}
    waited = sum(defaults[name] for name in ("drain_delay", "shutdown_timeout", "relay_timeout"))
    assert int(directive("TimeoutStopSec")) > waited
    assert int(directive("LimitNOFILE")) > defaults["max_connections"]


def test_the_unit_ends_the_relay_by_its_parent():
    """SIGTERM is for `serve` alone: the relay's process outlives it, to publish what is committed."""
    assert directive("KillMode") == "mixed"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here to read the unit")
def test_the_unit_is_what_systemd_understands(tmp_path):
    """No unknown directive, no wrong value; only the program is not installed here."""
    file = tmp_path / "paymux.service"
    file.write_text(UNIT)
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=30, check=False)
    told = [line for line in done.stderr.splitlines() if "paymux.service" in line and "is not executable" not in line]
    assert told == []
